"""Gather the rows that a step reads, and scatter the rows that it changes, wherever they are held.

| array                                                       | split over            |
|-------------------------------------------------------------|-----------------------|
| tables, and what an optimizer keeps for each of their rows  | `vocabulary`, by rows |
| the tiles of a block, and all that is computed from them    | `data` × `vocabulary` |
| everything else                                             | nothing: replicated   |

Of tables gathered by id, only rows and their gradients are sent. The rows that a device's tiles ask for come
from the devices that hold them. The gradients of all tiles go to every device, which adds those of its own
rows. The gradient of a `WHOLE` table is summed over `data`. A model that gathers rows by id needs no knowledge
of sharding; one that asks for a `WHOLE` table receives a `TableShard`. Without mesh axes nothing is sent.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..params import PAD_ID, Tables
from .collectives import Axes, all_gather, all_gather_tree, psum, psum_scatter

WHOLE = "whole"
"""In place of ids: every row of the table."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TableShard:
    """A whole table, of which this device holds some rows; all of them, where the table is not sharded."""

    rows: Float[Array, "v D"]
    axes: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})
    """The mesh axes that the table is split over."""

    @property
    def offset(self) -> Int[Array, ""] | int:
        """The id of this device's first row."""
        return shard_offset(len(self.rows), self.axes)

    def whole(self) -> Float[Array, "V D"]:
        """Return all rows on every device, with the padding at their end where the table is sharded."""
        return all_gather(self.rows, self.axes)

    def sum_to_shard(self, x: Float[Array, "V *n"]) -> Float[Array, "v *n"]:
        """Sum over devices what each computed for the whole table, and return the part of this device's rows."""
        return psum_scatter(x, self.axes)

    def take(self, ids: Int[Array, "G N"]) -> Float[Array, "G N D"]:
        """Return the rows of the ids from the devices that hold them; an arbitrary row for an id of no row."""
        if not self.axes:
            return self.rows.at[ids].get(mode="clip")
        return _take_remote(self.rows, all_gather(ids, self.axes), self.axes)


class RowUpdates(NamedTuple):
    """Changes to some rows of a table, or their gradient; an id that occurs twice counts twice."""

    ids: Int[Array, " N"]
    """`PAD_ID` stands for no row."""
    values: Float[Array, "N D"]
    curvature: Float[Array, " N"] | None = None
    """Bounds on the trace of the loss's Hessian in each row, for the part of the loss behind `values`."""


def is_row_updates(leaf: object) -> bool:
    """Return whether a node is a `RowUpdates`."""
    return isinstance(leaf, RowUpdates)


def gather_rows(tables: Tables, ids: Any, axes: Axes) -> Any:
    """Return for each table the rows that its ids name; for `WHOLE`, a `TableShard`.

    Devices along `vocabulary` send each other their ids, answer for the rows that they hold, and
    receive the sum of the answers. An id of no row gives an arbitrary row.
    """
    asked = all_gather_tree(jax.tree.map(lambda request: () if request is WHOLE else request, ids), axes.vocabulary)

    def gather(table: Array, request: Any, remote: Any) -> Any:
        if request is WHOLE:
            return TableShard(table, axes.vocabulary)
        if not axes.vocabulary:
            return table.at[request].get(mode="clip")
        return _take_remote(table, remote, axes.vocabulary)

    return jax.tree.map(gather, tables, ids, asked)


def _take_remote(table: Array, ids: Int[Array, "*n"], axes: tuple[str, ...]) -> Array:
    local = to_local_ids(ids, len(table), axes)
    held = (local < len(table))[..., None]
    return psum_scatter(jnp.where(held, table.at[local].get(mode="clip"), 0), axes)


def row_updates(tables: Tables, ids: Any, gradients: Any, curvature: Any, targets: Array, axes: Axes) -> Any:
    """Pair the gradients of gathered rows with their ids: a `RowUpdates` for each table.

    The rows of a whole table get ids only where the block has targets: a block beyond the text moves nothing.
    """

    def pair(table: Array, request: Any, gradient: Any, bound: Any = None) -> RowUpdates:
        if request is WHOLE:
            row = shard_offset(len(table), axes.vocabulary) + jnp.arange(len(table), dtype=jnp.int32)
            return RowUpdates(jnp.where(targets > 0, row, PAD_ID), gradient.rows, bound)
        bound = None if bound is None else bound.ravel()
        return RowUpdates(request.ravel(), gradient.reshape(request.size, -1), bound)

    return jax.tree.map(pair, tables, ids, gradients, *([] if curvature is None else [curvature]))


def exchange_updates(tables: Tables, ids: Any, updates: Any, axes: Axes) -> Any:
    """Send every device the updates of all tiles, with local ids for the rows that it holds.

    The gradient of a whole table is on the devices that hold its rows; it is summed over `data`.
    """
    if not axes.all:
        return updates
    sent = all_gather_tree(jax.tree.map(lambda r, u: () if r is WHOLE else u, ids, updates), axes.all)

    def receive(table: Array, request: Any, update: RowUpdates, received: Any) -> RowUpdates:
        update = RowUpdates(update.ids, *psum(update[1:], axes.data)) if request is WHOLE else received
        ids = to_local_ids(update.ids, len(table), axes.vocabulary)
        curvature = None if update.curvature is None else jnp.where(ids < len(table), update.curvature, 0)
        return RowUpdates(ids, update.values, curvature)

    return jax.tree.map(receive, tables, ids, updates, sent)


def scatter_add(tables: Tables, updates: Any) -> Tables:
    """Add the rows of each `RowUpdates` to its table, as `optax.apply_updates` adds whole tables."""
    add = lambda table, rows: table.at[rows.ids].add(rows.values.astype(table.dtype), mode="drop")
    return jax.tree.map(add, tables, updates)


def drop_rows(updates: Any, frozen: Tables) -> Any:
    """Replace the updates of the rows that each table's mask marks by updates of no row."""

    def drop(mask: Bool[Array, " V"] | Bool[np.ndarray, " V"], rows: RowUpdates) -> RowUpdates:
        gone = jnp.asarray(mask).at[rows.ids].get(mode="fill", fill_value=False)
        curvature = None if rows.curvature is None else jnp.where(gone, 0, rows.curvature)
        return RowUpdates(jnp.where(gone, PAD_ID, rows.ids), jnp.where(gone[:, None], 0, rows.values), curvature)

    return jax.tree.map(drop, frozen, updates)


def to_local_ids(ids: Int[Array, "*n"], rows: int, axes: tuple[str, ...]) -> Int[Array, "*n"]:
    """Return where among this device's `rows` rows each id is; `PAD_ID` for the rows that other devices hold."""
    if not axes:
        return ids
    local = ids - shard_offset(rows, axes)
    return jnp.where((local >= 0) & (local < rows), local, PAD_ID)


def shard_offset(rows: int, axes: tuple[str, ...]) -> Int[Array, ""] | int:
    """Return the id of this device's first row, where each device holds `rows` rows."""
    return jax.lax.axis_index(axes) * rows if axes else 0
