"""Every random choice on the device, each a function of (seed, step) alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32


class AliasTable(NamedTuple):
    """A discrete distribution over V words from which one draw costs two look-ups (Walker, 1977; Vose, 1991).

    Unlike a float32 table of cumulative sums, it keeps the probability of a rare word in a large
    vocabulary to full relative precision.
    """

    threshold: Float[Array, " V"]
    alias: Int[Array, " V"]


def alias_table(probabilities: Float[np.ndarray, " V"]) -> AliasTable:
    """Lay V probabilities, in float64, into V boxes of equal size, each shared by at most two words.

    >>> table = alias_table(np.array([0.75, 0.25]))
    >>> table.threshold.tolist(), table.alias.tolist()
    ([1.0, 0.5], [0, 0])
    """
    share = (np.asarray(probabilities, np.float64) * len(probabilities)).tolist()
    alias = list(range(len(share)))
    poor = [word for word, part in enumerate(share) if part < 1]
    rich = [word for word, part in enumerate(share) if part >= 1]
    while poor and rich:
        word, donor = poor.pop(), rich[-1]
        alias[word] = donor
        share[donor] -= 1 - share[word]
        if share[donor] < 1:
            poor.append(rich.pop())
    for word in poor + rich:  # whole but for rounding
        share[word] = 1.0
    return AliasTable(jnp.asarray(share, jnp.float32), jnp.asarray(alias, jnp.int32))


def draw(bits: UInt32[Array, "2 K"], table: AliasTable) -> Int[Array, " K"]:
    """A word from the table's distribution for each pair of 32 random bits: one picks a box, one a side of it.

    >>> import jax
    >>> draw(jax.random.bits(jax.random.key(0), (2, 3)), alias_table(np.array([0.0, 1.0]))).tolist()
    [1, 1, 1]
    """
    box = (bits[0] % jnp.uint32(len(table.alias))).astype(jnp.int32)
    side = (bits[1] >> 8).astype(jnp.float32) * jnp.float32(2**-24)
    return jnp.where(side < table.threshold[box], box, table.alias[box])


def draw_reach(bits: UInt32[Array, " T"], window: int) -> Int[Array, " T"]:
    """How far each center looks: uniform from 1 to `window`, so that near words count more (word2vec.c, 2013)."""
    return 1 + (bits % jnp.uint32(window)).astype(jnp.int32)


class Draws(NamedTuple):
    """All that one step draws."""

    reach: Int[Array, " T"]
    noise: Int[Array, " K"]


def step_bits(seed: int, step: Int[Array, ""], block: int, noise: int) -> UInt32[Array, " bits"]:
    """A step's random bits, from one call to the generator: a call for each use would cost a CPU a tenth of the step."""
    return jax.random.bits(jax.random.fold_in(jax.random.key(seed), step), (block + 2 * noise,), jnp.uint32)


def step_draws(seed: int, step: Int[Array, ""], table: AliasTable, *, block: int, window: int, noise: int) -> Draws:
    """All the draws of a step."""
    bits = step_bits(seed, step, block, noise)
    return Draws(draw_reach(bits[:block], window), draw(bits[block:].reshape(2, noise), table))
