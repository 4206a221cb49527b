"""Subsampling, by its formula."""

import numpy as np

from w2v_jax.sampling.subsampling import keep_probabilities


def test_keep_probabilities_are_those_of_word2vec() -> None:
    counts = np.array([60_000, 3_000, 100, 1])
    threshold = 1e-3 * counts.sum()
    expected = np.minimum((np.sqrt(counts / threshold) + 1) * threshold / counts, 1)  # as word2vec.c writes it
    np.testing.assert_allclose(keep_probabilities(counts, 1e-3), expected, rtol=1e-12)
    assert expected[0] < 0.05
    assert expected[-1] == 1
    np.testing.assert_array_equal(keep_probabilities(np.array([10**9, 1]), 0.0), 1)
