"""What a query is made of, and the arrays that it becomes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from ..errors import InputError
from ..text.vocabulary import Vocabulary
from .queries import Method

Vector = Float[np.ndarray, " _"]
Term = str | Vector | tuple[str | Vector, float]
"""A word or a vector, or either with its weight."""
Terms = str | Vector | Sequence[Term]
Query = str | tuple[Terms, Terms]
"""A word, or (positive terms, negative terms)."""
Among = Sequence[str] | Bool[np.ndarray, " V"]
"""Words, or a mask over the vocabulary."""


class Asked(NamedTuple):
    """Q queries of up to n terms each."""

    terms: Float[np.ndarray, "Q n D"]
    """The words' unit vectors, and vectors as they are; zeros where there are fewer than n."""
    weight: Float[np.ndarray, "Q n"]
    """Below 0 for negative terms; 0 where there is none."""
    known: Integer[np.ndarray, "Q n"]
    """The ids of the words, which are no answers; V where there is none."""


def as_arrays(
    queries: Sequence[Query], vocabulary: Vocabulary, unit: Float[np.ndarray, "V D"], method: Method
) -> Asked:
    """Look up the words of the queries, and weigh them.

    Raises:
      InputError: a word is not in the vocabulary, a query is empty, or a term is none.
    """
    if isinstance(queries, str):
        raise InputError(f"a list of queries is needed; here is {queries!r}")
    parsed = [[*_weighted(query)] for query in queries]
    if not all(parsed):
        raise InputError("a query needs at least one word")
    width = max(map(len, parsed), default=1)
    terms = np.zeros((len(parsed), width, unit.shape[1]), np.float32)
    weight = np.zeros((len(parsed), width), np.float32)
    known = np.full((len(parsed), width), len(vocabulary))
    for i, query in enumerate(parsed):
        for j, (what, sign, own) in enumerate(query):
            if method == "3cosmul" and own is not None:
                raise InputError(f"3cosmul knows no weights; here is {own} for {what!r}")
            if isinstance(what, str):
                known[i, j] = vocabulary[what]
            elif np.shape(what) != unit.shape[1:]:
                raise InputError(f"a query is of words and of vectors of {unit.shape[1]} numbers; here is {what!r}")
            terms[i, j] = unit[known[i, j]] if isinstance(what, str) else what
            weight[i, j] = sign if own is None else own
    return Asked(terms, weight, known)


def _weighted(query: Query) -> list[tuple[str | Vector, int, float | None]]:
    """Words and vectors, which side each is on, and the weights that some bring."""
    positive, negative = (query, []) if isinstance(query, str) else query
    signed = [(term, 1) for term in _listed(positive)] + [(term, -1) for term in _listed(negative)]
    return [(term[0], sign, term[1]) if isinstance(term, tuple) else (term, sign, None) for term, sign in signed]


def _listed(given: Terms) -> Sequence[Term]:
    return [given] if isinstance(given, str | np.ndarray) else given


def ids_among(among: Among, vocabulary: Vocabulary) -> Integer[np.ndarray, " n"]:
    """The words' ids, rising, each once.

    Raises:
      InputError: a word is not in the vocabulary, or the mask is for another one.
    """
    if isinstance(among, str):
        raise InputError(f"a list of words, or a mask, is needed; here is {among!r}")
    if not isinstance(among, np.ndarray):
        return np.array(sorted({vocabulary[word] for word in among}), np.int64)
    if among.shape != (len(vocabulary),):
        raise InputError(f"a mask of shape {among.shape} for {len(vocabulary)} words; each word needs one entry")
    return np.flatnonzero(among)
