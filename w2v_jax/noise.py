"""Every random choice on the device, each a function of (seed, step) alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray


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


def draw(key: PRNGKeyArray, table: AliasTable, count: int) -> Int[Array, " K"]:
    """`count` independent words from the table's distribution.

    >>> import jax
    >>> draw(jax.random.key(0), alias_table(np.array([0.0, 1.0])), 3).tolist()
    [1, 1, 1]
    """
    box_key, side_key = jax.random.split(key)
    box = jax.random.randint(box_key, (count,), 0, len(table.alias), jnp.int32)
    stays = jax.random.uniform(side_key, (count,)) < table.threshold[box]
    return jnp.where(stays, box, table.alias[box])


def draw_reach(key: PRNGKeyArray, count: int, window: int) -> Int[Array, " T"]:
    """How far each center looks: uniform from 1 to `window`, so that near words count more (word2vec.c, 2013)."""
    return jax.random.randint(key, (count,), 1, window + 1, jnp.int32)
