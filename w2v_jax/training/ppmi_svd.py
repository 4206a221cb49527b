"""Word vectors without training: the positive pointwise mutual information of counts, factored."""

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import linalg, sparse

from ..text.cooccurrence import Cooccurrence

OVERSAMPLE = 10
ITERATIONS = 2


def ppmi_svd(
    counts: Cooccurrence, dim: int, seed: int = 0
) -> tuple[Float[np.ndarray, "V D"], Float[np.ndarray, "V D"]]:
    """(center, outside) with center · outsideᵀ the best approximation of rank D of the PPMI matrix.

    Its singular values are split evenly between the two (Levy, Goldberg, Dagan, 2015, §3.3).
    """
    left, values, right = randomized_svd(ppmi(counts.matrix), dim, seed)
    return left * np.sqrt(values), right * np.sqrt(values)


def ppmi(matrix: Any) -> Any:
    """max(0, log P(c, o) / (P(c) P(o))), where the counts are not 0 (Bullinaria and Levy, 2007).

    >>> found = ppmi(sparse.csr_array(np.array([[0.0, 4.0], [4.0, 8.0]])))  # log(4·16 / 4·12) is .288
    >>> found.toarray().astype(float).round(3).tolist()
    [[0.0, 0.288], [0.288, 0.0]]
    """
    row, column = (np.asarray(matrix.sum(axis), np.float64) for axis in (1, 0))
    inverse = lambda totals: sparse.diags_array(1 / np.where(totals > 0, totals, 1))
    lift = (inverse(row) @ matrix @ inverse(column) * row.sum()).tocsr()
    lift.data = np.log(lift.data, dtype=np.float32, casting="same_kind").clip(0)
    lift.eliminate_zeros()
    return lift


def randomized_svd(
    matrix: Any, rank: int, seed: int = 0
) -> tuple[Float[np.ndarray, "V D"], Float[np.ndarray, " D"], Float[np.ndarray, "W D"]]:
    """(left, values, right) with left · diag(values) · rightᵀ near the matrix's best approximation of that rank.

    Halko, Martinsson, Tropp: Finding Structure with Randomness (2011), Algorithms 4.4 and 5.1. Columns beyond
    the matrix's own rank, or its size, are zero.
    """
    width = min(rank + OVERSAMPLE, *matrix.shape)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], width), np.float32)
    orthonormal = lambda columns: linalg.qr(columns, mode="economic", check_finite=False)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        times, transposed_times = _by_rows(matrix, pool), _by_rows(matrix.T, pool)
        for _ in range(ITERATIONS):
            basis, _ = orthonormal(times(basis))
            basis, _ = orthonormal(transposed_times(basis))
        basis, _ = orthonormal(times(basis))
        across, triangle = orthonormal(transposed_times(basis))
    small_left, values, small_right = linalg.svd(triangle.T)
    fill = lambda part: np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, rank)])[..., :rank]
    return fill(basis @ small_left), fill(values), fill(across @ small_right.T)


def _by_rows(matrix: Any, pool: ThreadPoolExecutor) -> Callable[[Any], Any]:
    """columns → matrix · columns, some rows in each thread: scipy's own product knows one."""
    rows = sparse.csr_array(matrix)
    ends = np.linspace(0, rows.shape[0], (os.cpu_count() or 1) + 1).astype(int)
    parts = [rows[first:last] for first, last in itertools.pairwise(ends)]
    return lambda columns: np.concatenate(list(pool.map(lambda part: part @ columns, parts)))
