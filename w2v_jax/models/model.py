"""What a model is: four pure functions, which training composes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from ..params import Tables
from ..sampling.windows import Block
from ..text.vocabulary import Vocabulary


class Batch(NamedTuple):
    """What a step needs of a block."""

    ids: Any
    """For each table the ids of the rows to gather, of any shape; or `WHOLE`, for all its rows. `PAD_ID` is no row."""
    inputs: Any
    """Whatever else the loss reads."""


class Aux(NamedTuple):
    """What a loss returns beside its value."""

    targets: Float[Array, ""]
    """(center, outside) pairs in the block, each with its window weight: the mean loss is loss / targets."""
    curvature: Any = None
    """For each table a bound on the trace of the loss's Hessian in each gathered row: one for each id, or [v] for the
    v rows of a `TableShard`.

    `bounded_sgd` needs it; a model without it trains with any other optimizer."""


class Model(NamedTuple):
    """Four pure functions: everything that distinguishes one model from another.

    The step gathers the rows that `batch` names, differentiates `loss` with respect to them, lets the
    optimizer update them, and scatters them back. It knows nothing else of a model.
    """

    init: Callable[[PRNGKeyArray, Vocabulary], Tables]
    """(key, vocabulary) → tables: a NamedTuple or dict of [rows, D] arrays."""
    batch: Callable[[Block, PRNGKeyArray], Batch]
    """(block of G tiles, a key for each tile [G]) → batch."""
    loss: Callable[[Any, Batch], tuple[Float[Array, ""], Aux]]
    """(gathered rows, batch) → (loss summed over the block, aux); differentiated in the rows."""
    vectors: Callable[[Tables, Integer[np.ndarray, " V"]], Any]
    """(trained tables, word counts) → the word vectors [V, D]."""
    whitening: float = 0.0
    """Power of the partial whitening after training, unless the user gives another (`partial_whiten`)."""
