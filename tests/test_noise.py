"""Draws: from the right distribution, and a function of (seed, step) alone."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.frequency import noise_distribution
from w2v_jax.noise import alias_table, draw, step_noise

COUNTS = np.array([5000, 900, 300, 40, 7, 7, 1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300))
def test_the_alias_table_holds_the_distribution(counts: list[int]) -> None:
    probabilities = noise_distribution(np.array(counts), 0.75)
    table = alias_table(probabilities)
    held = np.zeros(len(counts))
    np.add.at(held, np.arange(len(counts)), np.asarray(table.threshold, np.float64))
    np.add.at(held, np.asarray(table.alias), 1 - np.asarray(table.threshold, np.float64))
    np.testing.assert_allclose(held / len(counts), probabilities, rtol=1e-4, atol=1e-7 / len(counts))


def test_draws_follow_the_unigram_distribution_to_the_three_quarters() -> None:
    bits = jax.random.bits(jax.random.key(0), (2, 200_000), jnp.uint32)
    drawn = np.bincount(draw(bits, alias_table(noise_distribution(COUNTS, 0.75))), minlength=len(COUNTS))
    expected = COUNTS**0.75 / (COUNTS**0.75).sum() * drawn.sum()
    assert scipy.stats.chisquare(drawn, expected).pvalue > 1e-3
    assert scipy.stats.chisquare(drawn, COUNTS / COUNTS.sum() * drawn.sum()).pvalue < 1e-9  # not the unigram itself


def test_a_step_draws_the_same_again_and_another_step_does_not() -> None:
    table = alias_table(noise_distribution(COUNTS, 0.75))
    drawn = lambda seed, step: step_noise(seed, jnp.int32(step), table, tiles=2, noise=32).tolist()
    assert drawn(3, 7) == drawn(3, 7)
    assert drawn(3, 7) != drawn(3, 8)
    assert drawn(3, 7) != drawn(4, 7)


def test_each_tile_draws_its_own() -> None:
    table = alias_table(noise_distribution(np.full(1_000, 5), 0.75))
    noise = step_noise(0, jnp.int32(0), table, tiles=64, noise=32)
    assert len({tuple(tile) for tile in noise.tolist()}) == 64
    assert scipy.stats.chisquare(np.bincount(np.asarray(noise).ravel(), minlength=1_000)).pvalue > 1e-3
