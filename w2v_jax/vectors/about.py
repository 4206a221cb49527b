"""What is in some vectors, in a few numbers."""

from typing import NamedTuple

import numpy as np

from .keyed_vectors import KeyedVectors


class About(NamedTuple):
    """How many, how long, which words, and what came with them."""

    words: int
    dim: int
    dtype: str
    lengths: list[float]
    """The vectors' least length, its quartiles, the greatest; nothing where there are no vectors."""
    first: list[str]
    """The first words: where words stand by falling count, the most frequent."""
    counts: bool
    """Whether the words' counts are known."""
    outside: bool
    """Whether the outside vectors are there."""


def about(vectors: KeyedVectors) -> About:
    """Sum up some vectors.

    >>> about(KeyedVectors(["up", "down"], np.array([[3, 4], [0, 1]], np.float32)))[:4]
    (2, 2, 'float32', [1.0, 2.0, 3.0, 4.0, 5.0])
    """
    table = vectors.vectors
    single = table.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum("vd,vd->v", single, single, dtype=np.float64))
    quartiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1]).tolist() if len(table) else []
    return About(
        len(table), table.shape[1], str(table.dtype), quartiles, list(vectors.words[:10]),
        vectors.counts is not None, vectors.params is not None,
    )  # fmt: skip
