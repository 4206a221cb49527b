"""PPMI against its formula, and its factors against numpy's singular value decomposition."""

import numpy as np
import pytest
from scipy import sparse

from w2v_jax.counts.ppmi_svd import ppmi, randomized_svd


def low_rank(rank: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(60, rank)) @ rng.normal(size=(rank, 50)) + noise * rng.normal(size=(60, 50))
    return matrix.astype(np.float32)


def test_ppmi_equals_its_formula() -> None:
    counts = np.array([[0, 4, 1], [4, 8, 0], [1, 0, 0.5]])
    total = counts.sum()
    with np.errstate(divide="ignore"):
        expected = np.log(counts * total / np.outer(counts.sum(1), counts.sum(0))).clip(0)
    result = ppmi(sparse.csr_array(counts))
    np.testing.assert_allclose(result.toarray(), expected, rtol=1e-6)
    assert (result.data > 0).all()
    assert result.dtype == np.float32


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_factors_are_the_best_of_their_rank(noise: float) -> None:
    matrix = low_rank(7, noise)
    left, values, right = randomized_svd(sparse.csr_array(matrix), 5, seed=1)
    u, s, vt = np.linalg.svd(matrix)
    np.testing.assert_allclose(values, s[:5], rtol=1e-4)
    best = u[:, :5] * s[:5] @ vt[:5]
    np.testing.assert_allclose(left * values @ right.T, best, atol=2e-3)
    for part in (left, right):
        np.testing.assert_allclose(part.T @ part, np.eye(5), atol=1e-5)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(left[:, ::-1] * values @ right.T, best, atol=2e-3)


def test_columns_beyond_the_matrix_rank_are_zero() -> None:
    left, values, right = randomized_svd(sparse.csr_array(low_rank(50, 0.0)[:4, :4]), 9)
    assert (left.shape, values.shape, right.shape) == ((4, 9), (9,), (4, 9))
    np.testing.assert_array_equal(values[4:], 0)
    np.testing.assert_allclose(left * values @ right.T, low_rank(50, 0.0)[:4, :4], atol=1e-3)
