"""Loops over the rows of an array, a tile at a time."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Carry = TypeVar("Carry")
Body = Callable[[Carry, Int[Array, ""], Bool[Array, " tile"]], Carry]


def fold_tiles(
    body: Body[Carry], init: Carry, rows: int, tile: int, limit: Int[Array, ""] | int | None = None
) -> Carry:
    """Fold `body(carry, start, is_new)` over tiles of consecutive rows.

    The last tile starts early enough to be full, and `is_new` masks the rows that the tile before has had.
    So `rows`, which is at least `tile`, need not be a multiple of it, and nothing is padded or copied.
    Only the first `limit` rows are visited, by default all.

    >>> x = jnp.arange(5.0)
    >>> add = lambda total, start, is_new: total + (jax.lax.dynamic_slice_in_dim(x, start, 2) * is_new).sum()
    >>> float(fold_tiles(add, jnp.float32(0), rows=5, tile=2))
    10.0
    """
    end = rows if limit is None else limit

    def step(i: Int[Array, ""], carry: Carry) -> Carry:
        start = jnp.minimum(i * tile, rows - tile)
        row = start + jnp.arange(tile, dtype=start.dtype)
        return body(carry, start, (row >= i * tile) & (row < end))

    return jax.lax.fori_loop(0, -(-end // tile), step, init)


def update_tiles(
    update: Callable[[Int[Array, ""], Float[Array, "tile D"]], Float[Array, "tile D"]], table: Float[Array, "V D"],
    tile: int,
) -> Float[Array, "V D"]:  # fmt: skip
    """Replace the rows of a table by `update(start, rows)`, a tile at a time, in the table's own memory."""
    tile = min(tile, len(table))

    def step(table: Array, start: Int[Array, ""], is_new: Bool[Array, " tile"]) -> Array:
        rows = jax.lax.dynamic_slice_in_dim(table, start, tile)
        new_rows = jnp.where(is_new[:, None], update(start, rows), rows)
        return jax.lax.dynamic_update_slice_in_dim(table, new_rows, start, 0)

    return fold_tiles(step, table, len(table), tile)
