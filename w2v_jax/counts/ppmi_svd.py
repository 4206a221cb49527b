"""Word vectors without training: the factored positive pointwise mutual information (PPMI) of counts."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import linalg, sparse

from .cooccurrence import Cooccurrence

OVERSAMPLING = 10
POWER_ITERATIONS = 2


def ppmi_svd(
    counts: Cooccurrence, dim: int, seed: int = 0
) -> tuple[Float[np.ndarray, "V D"], Float[np.ndarray, "V D"]]:
    """Return (center, outside) with center · outsideᵀ the best approximation of rank D of the PPMI matrix.

    Each table takes the square root of the singular values (Levy, Goldberg, Dagan, 2015, §3.3).
    """
    left, values, right = randomized_svd(ppmi(counts.matrix), dim, seed)
    return left * np.sqrt(values), right * np.sqrt(values)


def ppmi(matrix: Any) -> Any:
    """Return max(0, log P(c, o) / (P(c) P(o))) of the nonzero counts (Bullinaria and Levy, 2007).

    >>> pmi = ppmi(sparse.csr_array(np.array([[0.0, 4.0], [4.0, 8.0]])))  # log(4·16 / 4·12) is .288
    >>> pmi.toarray().astype(float).round(3).tolist()
    [[0.0, 0.288], [0.288, 0.0]]
    """
    row, column = (np.asarray(matrix.sum(axis), np.float64) for axis in (1, 0))
    inverse = lambda totals: sparse.diags_array(1 / np.where(totals > 0, totals, 1))
    pmi = (inverse(row) @ matrix @ inverse(column) * row.sum()).tocsr()
    pmi.data = np.log(pmi.data, dtype=np.float32, casting="same_kind").clip(0)
    pmi.eliminate_zeros()
    return pmi


def randomized_svd(
    matrix: Any, rank: int, seed: int = 0
) -> tuple[Float[np.ndarray, "V D"], Float[np.ndarray, " D"], Float[np.ndarray, "W D"]]:
    """Return (left, values, right), the truncated singular value decomposition of a sparse matrix.

    Columns beyond the size of the matrix are zero. Halko, Martinsson, Tropp: Finding Structure
    with Randomness (2011), Algorithms 4.4 and 5.1.
    """
    width = min(rank + OVERSAMPLING, *matrix.shape)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], width), np.float32)
    qr = lambda columns: linalg.qr(columns, mode="economic", check_finite=False)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        matmul, transposed_matmul = _threaded_matmul(matrix, pool), _threaded_matmul(matrix.T, pool)
        for _ in range(POWER_ITERATIONS):
            basis, _ = qr(matmul(basis))
            basis, _ = qr(transposed_matmul(basis))
        basis, _ = qr(matmul(basis))
        right_basis, triangle = qr(transposed_matmul(basis))
    left, values, right = linalg.svd(triangle.T)
    pad = lambda part: np.pad(part, [(0, 0)] * (part.ndim - 1) + [(0, rank)])[..., :rank]
    return pad(basis @ left), pad(values), pad(right_basis @ right.T)


def _threaded_matmul(matrix: Any, pool: ThreadPoolExecutor) -> Callable[[Any], Any]:
    """Return columns → matrix · columns, with rows split over threads; scipy's product uses one thread."""
    rows, size = sparse.csr_array(matrix), -(-matrix.shape[0] // (os.cpu_count() or 1))
    parts = [rows[first : first + size] for first in range(0, matrix.shape[0], size)]
    return lambda columns: np.concatenate(list(pool.map(lambda part: part @ columns, parts)))
