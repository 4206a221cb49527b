"""The noise distribution of negative sampling, and draws from it on the device."""

from array import array
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, UInt32

GOLDEN = 0x9E3779B9  # 2³² over the golden ratio


def noise_distribution(counts: Integer[np.ndarray, " V"], power: float = 0.75) -> Float[np.ndarray, " V"]:
    """Return the unigram distribution raised to `power` and normalized (Mikolov et al., 2013b, §2.2), in float64.

    >>> noise_distribution(np.array([16, 1])).round(3).tolist()
    [0.889, 0.111]
    """
    weights = np.asarray(counts, np.float64) ** power
    return weights / weights.sum()


class AliasTable(NamedTuple):
    """A discrete distribution over V words from which one draw costs two look-ups (Walker, 1977; Vose, 1991).

    Unlike float32 cumulative sums, it keeps the probability of a rare word in a large vocabulary accurate.
    """

    threshold: Float[Array, " V"]
    alias: Int[Array, " V"]


def alias_table(probabilities: Float[np.ndarray, " V"]) -> AliasTable:
    """Lay V probabilities, in float64, into V columns of equal size, each shared by at most two words.

    >>> table = alias_table(np.array([0.75, 0.25]))
    >>> table.threshold.tolist(), table.alias.tolist()
    ([1.0, 0.5], [0, 0])
    """
    shares = np.asarray(probabilities, np.float64) * len(probabilities)
    share, alias = array("d", shares.tobytes()), array("q", range(len(shares)))  # a third of the memory of lists
    small, large = (array("q", np.flatnonzero(mask).tobytes()) for mask in (shares < 1, shares >= 1))
    while small and large:
        word, donor = small.pop(), large[-1]
        alias[word] = donor
        share[donor] -= 1 - share[word]
        if share[donor] < 1:
            small.append(large.pop())
    for word in small + large:  # whole but for rounding
        share[word] = 1.0
    return AliasTable(jnp.asarray(np.array(share, np.float32)), jnp.asarray(np.array(alias, np.int32)))


def noise_table(counts: Integer[np.ndarray, " V"], power: float = 0.75) -> AliasTable:
    """Return the noise distribution of word counts, ready to draw from."""
    return alias_table(noise_distribution(counts, power))


def draw_negatives(keys: Key[Array, " G"], table: AliasTable, count: int) -> Int[Array, "G {count}"]:
    """Draw `count` noise words for each tile, from the tile's own key: the same on any number of devices."""
    column = (hash_bits(keys, count) % jnp.uint32(len(table.alias))).astype(jnp.int32)
    uniform = (hash_bits(keys, count, offset=count) >> 8).astype(jnp.float32) * jnp.float32(2**-24)
    return jnp.where(uniform < table.threshold[column], column, table.alias[column])


def hash_bits(keys: Key[Array, " G"], count: int, offset: int = 0) -> UInt32[Array, "G {count}"]:
    """Hash (key, counter) to 32 random bits: MurmurHash3's finalizer (Appleby, 2011), once for each integer of the key.

    JAX's own generators do not serve here: Threefry takes a tenth of a step on a CPU, and the backend's
    generator ("rbg") ignores all but the first key under `vmap`.
    """
    seeds = jax.random.key_data(keys)
    bits = jnp.uint32(GOLDEN) * (offset + jnp.arange(count, dtype=jnp.uint32))[None]
    for i in (0, -1):
        bits = bits + seeds[:, i, None]
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
        bits = bits ^ (bits >> 16)
    return bits
