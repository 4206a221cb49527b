"""Replicas of the tables that train on blocks of their own, merged every so many steps (local SGD: Stich, 2019).

Devices that share every block wait for each other's rows at every step. Replicas all start from the same
tables, each takes many steps by itself, on the next blocks of the text, and only then are they merged.

For short steps, the sum of the replicas' changes is what one device makes of all blocks. But n replicas that
each reach a row's minimum go n times too far together. Replica i takes steps of size s. Along a direction of
curvature κ it leaves of the distance to the minimum

    c_i = exp(−Σ s κ)

and replicas in sequence leave Π c_i. A replica's change is 1 − c_i of the distance. So the summed changes are
scaled by

    scale = (1 − Π c_i) / Σ (1 − c_i)

which is 1 where a row has hardly moved, or one replica alone has moved it; and 1/n, which gives the mean,
where each has reached the minimum. Only a bound on a row's Hessian trace is known; it is spread evenly over
the D directions. But a direction that had all of it must not overshoot its minimum by more than 1/(n − 1)
of the distance: scale ≤ n / (n − 1) / Σ (1 − c_i), with that direction's c_i. (This never binds two
replicas. Four and eight diverge without it.)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..params import Tables
from ..tiling import update_tiles
from .collectives import DATA

ROWS_PER_TILE = 4096  # rows merged at once: tables are long, and memory never used before is slow
SIMD_WIDTH = 8  # numbers in a CPU's vector


class ReplicaState(NamedTuple):
    """A train state as of the last merge, and the tables that each replica moves by itself."""

    state: Any
    tables: Tables
    """With padded columns (`pad_columns`), in buffers of their own."""


def init_replicas(state: Any) -> ReplicaState:
    """Return the replicas before their first step."""
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
    merged: Float[Array, "V D"], table: Float[Array, "V E"], exponent: Float[Array, " V"]
) -> Float[Array, "V D"]:
    """Merge the replicas of one table, on every device of the `data` axis.

    Args:
      merged: the table as of the last merge.
      table: this device's replica, perhaps with padded columns.
      exponent: Σ step · curvature of each row since the last merge, summed over directions.

    Returns:
      The table that the replicas have reached together.
    """
    dim, exponent, replicas = merged.shape[1], exponent[:, None], jax.lax.axis_size(DATA)
    approach = lambda e: -jnp.expm1(-e)  # 1 − c, the share of the distance to the minimum that is covered
    per_direction = exponent / dim
    one_after_another = approach(jax.lax.psum(per_direction, DATA))
    summed = jax.lax.psum(approach(per_direction), DATA)
    cap = replicas / max(1, replicas - 1) / jax.lax.psum(approach(exponent), DATA)
    scale = jnp.where(summed > 0, jnp.minimum(one_after_another / summed, cap), 1)

    def merge(start: Int[Array, ""], rows: Float[Array, "tile D"]) -> Float[Array, "tile D"]:
        of_tile = lambda array: jax.lax.dynamic_slice_in_dim(array, start, len(rows))
        return rows + of_tile(scale) * jax.lax.psum(of_tile(table)[:, :dim] - rows, DATA)

    return update_tiles(merge, merged, ROWS_PER_TILE)
