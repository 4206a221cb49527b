"""Replicas of the tables that train on blocks of their own, merged every so many steps (local SGD: Stich, 2019).

Devices that share every block wait for each other's rows at every step. Replicas all start from the same
tables, each takes many steps by itself, on the next blocks of the text, and only then are they merged.

The sum of their changes is what one device would have made of all these blocks, while the steps are short.
But where each replica by itself has brought a row near its minimum, n such changes together go n times too
far. Along a direction of curvature κ, replica i with steps of size s leaves of the distance to the minimum

    c_i = exp(−Σ s κ)

and all of them one after the other would leave Π c_i. Each of their changes is 1 − c_i of the distance.
So the share of the summed changes that counts is

    share = (1 − Π c_i) / Σ (1 − c_i)

which is 1 where a row has hardly moved, or one replica alone has moved it; and 1/n, which gives the mean,
where each has reached the minimum. Of a row's curvature a bound on the sum over all D directions is known,
and it is taken to be spread evenly over them. But a direction that had all of it must not overshoot its
minimum by more than 1/(n − 1) of the distance: share ≤ n / (n − 1) / Σ (1 − c_i), with that direction's
c_i. (This never binds two replicas. Four and eight diverge without it.)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..params import Tables
from ..tiling import fold_tiles
from .collectives import DATA

ROWS_PER_TILE = 4096  # rows merged at once: tables are long, and memory never used before is slow
SIMD_WIDTH = 8  # numbers in a CPU's vector


class ReplicaState(NamedTuple):
    """A train state as of the last merge, and the tables that each replica moves by itself."""

    state: Any
    tables: Tables
    """With padded columns (`pad_columns`), in buffers of their own."""


def init_replicas(state: Any) -> ReplicaState:
    """Return what replicas start from."""
    return ReplicaState(state, jax.tree.map(lambda table: jnp.copy(pad_columns(table)), state.tables))


def pad_columns(table: Float[Array, "V D"]) -> Float[Array, "V E"]:
    """Append columns of zeros, so that every row begins at a multiple of the SIMD width.

    The columns stay zeros, having no gradient. A vector that crosses two cache lines is slow where neither is
    in the cache: XLA's CPU adds rows of 104 numbers to a large table 1.6 times as fast as rows of 100.

    >>> pad_columns(jnp.ones((3, 100))).shape
    (3, 104)
    """
    return jnp.pad(table, ((0, 0), (0, -table.shape[1] % SIMD_WIDTH)))


def merge_replicas(
    merged: Float[Array, "V D"], table: Float[Array, "V E"], moved: Float[Array, " V"]
) -> Float[Array, "V D"]:
    """Merge the replicas of one table, on every device of the `data` axis.

    Args:
      merged: the table as of the last merge.
      table: this device's replica, perhaps with padded columns.
      moved: Σ step · curvature of each row since the last merge, summed over directions.

    Returns:
      The table that the replicas have reached together.
    """
    dim, moved, replicas = merged.shape[1], moved[:, None], jax.lax.axis_size(DATA)
    approach = lambda exponent: -jnp.expm1(-exponent)  # 1 − c, the share of the distance to the minimum that is covered
    per_direction = moved / dim
    one_after_another = approach(jax.lax.psum(per_direction, DATA))
    summed = jax.lax.psum(approach(per_direction), DATA)
    cap = replicas / max(1, replicas - 1) / jax.lax.psum(approach(moved), DATA)
    share = jnp.where(summed > 0, jnp.minimum(one_after_another / summed, cap), 1)
    tile = min(ROWS_PER_TILE, len(merged))

    def merge(merged: Array, start: Int[Array, ""], is_new: Bool[Array, " tile"]) -> Array:
        rows = lambda array: jax.lax.dynamic_slice_in_dim(array, start, tile)
        change = rows(share) * jax.lax.psum(rows(table)[:, :dim] - rows(merged), DATA)
        new_rows = rows(merged) + jnp.where(is_new[:, None], change, 0)
        return jax.lax.dynamic_update_slice_in_dim(merged, new_rows, start, 0)

    return fold_tiles(merge, merged, len(merged), tile)
