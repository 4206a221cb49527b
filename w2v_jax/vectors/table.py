"""The content of a vectors file."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import DTypeLike

Matrix = Float[np.ndarray, "_ _"]
Tables = Mapping[str, Matrix]
Word = TypeVar("Word", str, bytes)
NO_TABLES: Tables = MappingProxyType({})
CACHE_LINE = 64  # bytes; XLA on a CPU uses an array in place if it starts at a multiple of this


class Table(NamedTuple, Generic[Word]):
    """Words, their vectors, and what else training kept; a reader may return more rows than words."""

    words: Sequence[Word]
    vectors: Float[np.ndarray, "V D"]
    counts: Integer[np.ndarray, " V"] | None = None
    tables: Tables = NO_TABLES
    """The parameter tables by name, such as center and outside; not all have one row per word."""


def cast(rows: Matrix, dtype: DTypeLike) -> Matrix:
    """Convert to another precision without warnings; `load` and `save` refuse infinities."""
    with np.errstate(over="ignore", invalid="ignore"):
        return rows.astype(dtype, copy=False)


def empty_aligned(rows: int, dim: int, dtype: DTypeLike) -> Matrix:
    """Return an empty array that `jax.numpy.from_dlpack` can take over without a copy."""
    size = rows * dim * np.dtype(dtype).itemsize
    buffer = np.empty(size + CACHE_LINE, np.uint8)
    start = -buffer.ctypes.data % CACHE_LINE
    return buffer[start : start + size].view(dtype).reshape(rows, dim)
