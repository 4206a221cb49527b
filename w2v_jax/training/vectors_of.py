"""From trained tables to the vectors that users get."""

import numpy as np

from ..config import Objective
from ..params import Params
from ..text.vocabulary import Vocabulary
from ..vectors.balanced import as_vectors, balanced
from ..vectors.keyed_vectors import KeyedVectors
from .mesh import gathered


def vectors_of(params: Params, vocabulary: Vocabulary, objective: Objective) -> KeyedVectors:
    """The vectors that tables trained with an objective stand for."""
    params = gathered(params, len(vocabulary))
    if objective == "softmax-counts":
        params = balanced(params, vocabulary.counts)
        return KeyedVectors(vocabulary.words, as_vectors(params, vocabulary.counts), vocabulary.counts, params)
    return KeyedVectors(vocabulary.words, np.asarray(params.center), vocabulary.counts, params)
