"""Every random choice on the device, each a function of (seed, step) alone."""

from array import array
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
    shares = np.asarray(probabilities, np.float64) * len(probabilities)
    share, alias = (
        array("d", shares.tobytes()),
        array("q", range(len(shares))),
    )  # lists take three times the memory and time
    poor, rich = (array("q", np.flatnonzero(of).tobytes()) for of in (shares < 1, shares >= 1))
    while poor and rich:
        word, donor = poor.pop(), rich[-1]
        alias[word] = donor
        share[donor] -= 1 - share[word]
        if share[donor] < 1:
            poor.append(rich.pop())
    for word in poor + rich:  # whole but for rounding
        share[word] = 1.0
    return AliasTable(jnp.asarray(np.array(share, np.float32)), jnp.asarray(np.array(alias, np.int32)))


def draw(bits: UInt32[Array, "2 *n"], table: AliasTable) -> Int[Array, "*n"]:
    """A word from the table's distribution for each pair of 32 random bits: one picks a box, one a side of it.

    >>> import jax
    >>> draw(jax.random.bits(jax.random.key(0), (2, 3)), alias_table(np.array([0.0, 1.0]))).tolist()
    [1, 1, 1]
    """
    box = (bits[0] % jnp.uint32(len(table.alias))).astype(jnp.int32)
    side = (bits[1] >> 8).astype(jnp.float32) * jnp.float32(2**-24)
    return jnp.where(side < table.threshold[box], box, table.alias[box])


def step_noise(
    seed: int, step: Int[Array, ""], table: AliasTable, *, tiles: int, noise: int
) -> Int[Array, "{tiles} {noise}"]:
    """The noise words that each of a step's tiles draws, all from one call to the generator.

    The generator is the backend's own ("rbg"): Threefry costs a CPU 3 % of the step.
    """
    key = jax.random.fold_in(jax.random.key(seed, impl="rbg"), step)
    return draw(jax.random.bits(key, (2, tiles, noise), jnp.uint32), table)
