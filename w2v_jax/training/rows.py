"""Optax on the rows that a step touched, and on no other.

A word2vec step has gradients for a few thousand of a table's V rows. Dense optax would read and
write the whole [V, D] table, and every table of its state, at each step; this wrapper gathers the
touched rows of the state, lets the optimizer work on them as if they were the parameters, and
scatters them back.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ..errors import InputError
from ..params import Params
from .mesh import here

NO_ROW = 2**31 - 1  # an id
LANES = 8  # numbers in a CPU's vector


class Rows(NamedTuple):
    """Some rows of a [V, D] table; an id of V or more stands for no row."""

    ids: Int[Array, " N"]
    values: Float[Array, "N D"]
    curvature: Float[Array, " N"]
    """Of a gradient: a bound on the loss's curvature along each row, from that row's own share of the loss.
    Of an update of `bounded_sgd`: the same, times the step."""


class ParamRows(NamedTuple):
    """Rows of both tables: a gradient, or an update, of `Params`."""

    center: Rows
    outside: Rows


class RowSparse(optax.GradientTransformation):
    """What `row_sparse` returns: an (init, update) pair like optax's, whose updates are `ParamRows`."""


def row_sparse(optimizer: optax.GradientTransformation) -> RowSparse:
    """An (init, update) pair like `optimizer`'s, whose updates are `Rows` of the tables instead of tables.

    Equal to the dense optimizer where a row with no gradient would not move: SGD and Adagrad
    always; momentum, Adam and weight decay on the rows touched at every step (an untouched row
    waits, its momentum with it). What an optimizer reckons over a whole table, such as LAMB's norms,
    it reckons over the touched rows; and where tables are split over devices, over those that each of them holds,
    which differ. Rows that stand twice are summed first, for an optimizer need
    not be linear in its gradients.

    Raises (from init):
      InputError: the optimizer's state does not follow the tables row by row (Adafactor, SM3).

    >>> import jax.numpy as jnp, optax
    >>> params = Params(jnp.zeros((3, 1)), jnp.zeros((3, 1)))
    >>> optimizer = row_sparse(optax.adagrad(1.0, initial_accumulator_value=0.0))
    >>> gradient = Rows(jnp.array([2, 2]), jnp.array([[3.0], [1.0]]), jnp.zeros(2))
    >>> updates, _ = optimizer.update(ParamRows(gradient, gradient), optimizer.init(params), params)
    >>> apply_rows(params, updates).center.ravel().round(3).tolist()
    [0.0, 0.0, -1.0]
    """

    def init(params: Params) -> optax.OptState:
        state = optimizer.init(params)
        same = lambda leaf, table: leaf.shape == table.shape
        try:
            follows = optax.tree.map_params(optimizer, same, state, params, transform_non_params=lambda _: True)
        except (TypeError, ValueError):
            follows = False
        if not all(jax.tree.leaves(follows)):
            raise InputError("this optimizer keeps other state than a step count or a number for each parameter; "
                             "give one that does, such as adagrad, adam or momentum")  # fmt: skip
        return state

    def update(
        updates: ParamRows, state: optax.OptState, params: Params | None = None
    ) -> tuple[ParamRows, optax.OptState]:
        updates = ParamRows(*map(sum_duplicates, updates))
        ids = Params(*(rows.ids for rows in updates))
        # For every leaf of the state, the ids of the table that it follows, or None (a step count).
        follows = optax.tree.map_params(optimizer, lambda _, ids: ids, state, ids, transform_non_params=lambda _: None)
        state_rows = jax.tree.map(
            lambda ids, leaf: leaf if ids is None else take(leaf, ids), follows, state, is_leaf=_is_none
        )
        params_rows = None if params is None else Params(*map(take, params, ids))
        values = Params(*(rows.values for rows in updates))
        new_values, new_rows = optimizer.update(values, state_rows, params_rows)
        new_state = jax.tree.map(
            lambda ids, leaf, rows: rows if ids is None else leaf.at[here(ids, len(leaf))].set(rows, mode="drop"),
            follows, state, new_rows, is_leaf=_is_none,
        )  # fmt: skip
        moved = (rows._replace(values=new) for rows, new in zip(updates, new_values, strict=True))
        return ParamRows(*moved), new_state

    return RowSparse(init, update)


def apply_rows(params: Params, updates: ParamRows) -> Params:
    """Add each of the rows to its table: `optax.apply_updates` for the updates of `row_sparse`."""
    return Params(*(
        table.at[here(rows.ids, len(table))].add(rows.values.astype(table.dtype), mode="drop")
        for table, rows in zip(params, updates, strict=True)
    ))  # fmt: skip


def widened(table: Float[Array, "V D"]) -> Float[Array, "V E"]:
    """The table with columns of zeros at its end, so that every row begins where one of a CPU's vectors may.

    They stay zeros, having no gradient. A vector that lies across two cache lines is slow where neither is in the
    cache: XLA's CPU adds rows of 104 numbers to a large table 1.6 times as fast as rows of 100.

    >>> import jax.numpy as jnp
    >>> widened(jnp.ones((3, 100))).shape
    (3, 104)
    """
    return jnp.pad(table, ((0, 0), (0, -table.shape[1] % LANES)))


def take(table: Float[Array, "V D"], ids: Int[Array, " N"]) -> Float[Array, "N D"]:
    """The rows `ids` of a table; an id that stands for no row here gives some row."""
    return table.at[here(ids, len(table))].get(mode="clip")


def sum_duplicates(rows: Rows) -> Rows:
    """The same gradient with each id once: equal ids' rows summed, the places left over empty.

    >>> import jax.numpy as jnp
    >>> summed = sum_duplicates(Rows(jnp.array([4, 1, 4]), jnp.array([[1.0], [2.0], [3.0]]), jnp.ones(3)))
    >>> summed.ids.tolist()[:2], summed.values.tolist()
    ([1, 4], [[2.0], [4.0], [0.0]])
    """
    size = len(rows.ids)
    order = jnp.argsort(rows.ids, stable=True)
    ids = rows.ids[order]
    starts = jnp.concatenate([jnp.ones(1, bool), ids[1:] != ids[:-1]])
    place = jnp.cumsum(starts, dtype=jnp.int32) - 1
    unique = jnp.full(size, NO_ROW, ids.dtype).at[place].set(ids)
    values = jnp.zeros_like(rows.values).at[place].add(rows.values[order])
    curvature = jnp.zeros_like(rows.curvature).at[place].add(rows.curvature[order])
    return Rows(unique, values, curvature)


def _is_none(leaf: object) -> bool:
    return leaf is None
