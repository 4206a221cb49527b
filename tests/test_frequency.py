"""Subsampling and noise, by their formulas."""

import numpy as np
import pytest

from w2v_jax.frequency import keep_probabilities, noise_distribution


def test_keep_probabilities_are_word2vecs() -> None:
    counts = np.array([60_000, 3_000, 100, 1])
    threshold = 1e-3 * counts.sum()
    # word2vec.c's own way to write it
    expected = np.minimum((np.sqrt(counts / threshold) + 1) * threshold / counts, 1)
    np.testing.assert_allclose(keep_probabilities(counts, 1e-3), expected, rtol=1e-12)
    assert expected[0] < 0.05
    assert expected[-1] == 1


def test_sample_0_keeps_everything() -> None:
    np.testing.assert_array_equal(keep_probabilities(np.array([10**9, 1]), 0.0), 1)


@pytest.mark.parametrize("power", [0.75, 1.0, 0.0])
def test_noise_is_a_distribution(power: float) -> None:
    noise = noise_distribution(np.array([81, 16, 1]), power)
    np.testing.assert_allclose(noise, np.array([81**power, 16**power, 1]) / (81**power + 16**power + 1), rtol=1e-12)
