"""Noise words: their distribution, and draws that a key alone decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.sampling.noise import alias_table, draw_negatives, hash_bits, noise_distribution, noise_table

COUNTS = np.array([5000, 900, 300, 40, 7, 7, 1])


@pytest.mark.parametrize("power", [0.75, 1.0, 0.0])
def test_noise_distribution_is_counts_to_a_power(power: float) -> None:
    noise = noise_distribution(np.array([81, 16, 1]), power)
    np.testing.assert_allclose(noise, np.array([81**power, 16**power, 1]) / (81**power + 16**power + 1), rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300))
def test_alias_table_keeps_every_probability(counts: list[int]) -> None:
    probabilities = noise_distribution(np.array(counts))
    table = alias_table(probabilities)
    threshold, sums = np.asarray(table.threshold, np.float64), np.zeros(len(counts))
    np.add.at(sums, np.arange(len(counts)), threshold)
    np.add.at(sums, np.asarray(table.alias), 1 - threshold)
    np.testing.assert_allclose(sums / len(counts), probabilities, rtol=1e-4, atol=1e-7 / len(counts))


def test_draws_follow_counts_to_the_three_quarters() -> None:
    negatives = draw_negatives(jax.random.split(jax.random.key(0), 2_000), noise_table(COUNTS), 100)
    drawn = np.bincount(negatives.ravel(), minlength=len(COUNTS))
    expected = COUNTS**0.75 / (COUNTS**0.75).sum() * drawn.sum()
    assert scipy.stats.chisquare(drawn, expected).pvalue > 1e-3
    assert scipy.stats.chisquare(drawn, COUNTS / COUNTS.sum() * drawn.sum()).pvalue < 1e-9  # not the unigram itself


def test_each_tile_draws_from_its_own_key() -> None:
    keys, table = jax.random.split(jax.random.key(0), 64), noise_table(np.full(1_000, 5))
    negatives = draw_negatives(keys, table, 32)
    np.testing.assert_array_equal(draw_negatives(keys[40:], table, 32), negatives[40:])
    assert len({tuple(tile) for tile in negatives.tolist()}) == 64
    assert scipy.stats.chisquare(np.bincount(np.asarray(negatives).ravel(), minlength=1_000)).pvalue > 1e-3


def test_bits_of_consecutive_keys_and_counters_are_independent() -> None:
    """The keys of a step's tiles are consecutive (`tile_keys`): bits agree with their neighbours' half of the time."""
    words = jnp.stack([jnp.full(1_000, 7, jnp.uint32), jnp.arange(1_000, dtype=jnp.uint32)], axis=1)
    hashed = np.asarray(hash_bits(jax.random.wrap_key_data(words), 32))
    bits = np.unpackbits(hashed.view(np.uint8)).reshape(1_000, 32, 32)
    for sample in (bits, bits[1:] ^ bits[:-1], bits[:, 1:] ^ bits[:, :-1]):
        np.testing.assert_allclose(sample.mean((0, 1)), 0.5, atol=5 * 0.5 / np.sqrt(31_000))
