"""Optax on the rows that a step touched, and on no other.

A word2vec step has gradients for a few thousand of a table's V rows. Dense optax would read and
write the whole [V, D] table, and every table of its state, at each step. This wrapper gathers the
touched rows of the state, lets the optimizer update them as if they were the parameters, and
scatters them back.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ..distributed.gather import RowUpdates, is_row_updates
from ..errors import InputError
from ..params import PAD_ID, Tables

SLOT_BITS = 16
MULTIPLIER = 0x9E3779B1  # odd, its bits without a pattern (Knuth's multiplicative hashing)


class RowSparse(NamedTuple):
    """An (init, update) pair like optax's, whose updates are `RowUpdates` of each table."""

    init: Callable[[Tables], optax.OptState]
    update: Callable[..., tuple[Any, optax.OptState]]
    """(updates, state, tables, step=…) → (updates, state)."""


def row_sparse(optimizer: optax.GradientTransformation | RowSparse, *, merge_duplicates: bool = True) -> RowSparse:
    """Return an (init, update) pair like `optimizer`'s, whose updates are `RowUpdates` instead of tables.

    SGD and Adagrad give the dense optimizer's result. Momentum, Adam and weight decay give it for rows
    touched at every step; an untouched row and its momentum stay as they are. What an optimizer computes
    over a whole table, such as LAMB's norms, it computes over the touched rows; and where tables are
    sharded, over those that each device holds.

    The optimizer receives the curvature of each row as the extra argument `curvature`, where the model bounds it.

    Args:
      optimizer: any of optax's; one that is wrapped already is returned as it is.
      merge_duplicates: sum the gradients of equal ids first. False saves a sort, for an optimizer that is
        linear in the gradient and keeps no state for each row, such as `bounded_sgd`.

    Raises (from init):
      InputError: the optimizer's state does not follow the tables row by row (Adafactor, SM3).

    >>> from w2v_jax.distributed.gather import scatter_add
    >>> table = {"center": jnp.zeros((3, 1))}
    >>> optimizer = row_sparse(optax.adagrad(1.0, initial_accumulator_value=0.0))
    >>> gradient = {"center": RowUpdates(jnp.array([2, 2]), jnp.array([[3.0], [1.0]]))}
    >>> updates, _ = optimizer.update(gradient, optimizer.init(table), table, step=jnp.int32(0))
    >>> scatter_add(table, updates)["center"].ravel().round(3).tolist()
    [0.0, 0.0, -1.0]
    """
    if isinstance(optimizer, RowSparse):
        return optimizer
    dense = optax.with_extra_args_support(optimizer)

    def init(tables: Tables) -> optax.OptState:
        state = dense.init(tables)
        same_shape = lambda leaf, table: leaf.shape == table.shape
        try:
            follows = map_table_leaves(dense, same_shape, state, tables, others=lambda _: True)
        except (TypeError, ValueError):
            follows = False
        if not all(jax.tree.leaves(follows)):
            raise InputError("an optimizer's state must be step counts and arrays shaped like the tables; "
                             "give one such as adagrad, adam or momentum")  # fmt: skip
        return state

    def update(
        updates: Any, state: optax.OptState, tables: Tables, *, step: Int[Array, ""]
    ) -> tuple[Any, optax.OptState]:
        if merge_duplicates:
            updates = map_updates(sum_duplicates, updates)
        is_bounded = all(rows.curvature is not None for rows in jax.tree.leaves(updates, is_leaf=is_row_updates))
        total = (lambda rows: rows.curvature) if merge_duplicates else (lambda rows: total_curvature(rows, step))
        curvature = map_updates(total, updates) if is_bounded else None
        ids = map_updates(lambda rows: rows.ids, updates)
        values = map_updates(lambda rows: rows.values, updates)
        take = lambda leaf, ids: leaf.at[ids].get(mode="clip")
        # For every leaf of the state, the ids of the table that it follows, or None (a step count).
        follows = map_table_leaves(dense, lambda _, ids: ids, state, ids, others=lambda _: None)
        map_leaves = functools.partial(jax.tree.map, is_leaf=lambda leaf: leaf is None)
        state_rows = map_leaves(lambda ids, leaf: leaf if ids is None else take(leaf, ids), follows, state)
        extra = {} if curvature is None else {"curvature": curvature}
        new_values, new_rows = dense.update(values, state_rows, jax.tree.map(take, tables, ids), **extra)
        put = lambda ids, leaf, rows: rows if ids is None else leaf.at[ids].set(rows, mode="drop")
        updates = map_updates(lambda rows, new: rows._replace(values=new), updates, new_values)
        return updates, map_leaves(put, follows, state, new_rows)

    return RowSparse(init, update)


def map_table_leaves(
    optimizer: optax.GradientTransformation | RowSparse, function: Callable[..., Any], state: optax.OptState,
    *rest: Any, others: Callable[[Any], Any] = lambda leaf: leaf,
) -> Any:  # fmt: skip
    """Map over the leaves of an optimizer's state that follow a table, each row of theirs with a row of the table.

    Args:
      optimizer: the optimizer that made the state.
      function: takes such a leaf, and the leaves of `rest`.
      rest: trees like the tables, or states like `state`.
      others: takes each other leaf, such as a step count.
    """
    return optax.tree.map_params(optimizer, function, state, *rest, transform_non_params=others)


def total_curvature(rows: RowUpdates, step: Int[Array, ""]) -> Float[Array, " N"]:
    """Return for each place the curvature summed over all places of its id.

    Ids are hashed into 2¹⁶ slots, not V, so that the cost does not grow with the vocabulary. Two ids that
    share a slot are both held to their sum, which is on the safe side. Which two share one changes with the
    step (multiplicative hashing), so that no rare word always shares a frequent one's slot.
    """
    assert rows.curvature is not None
    odd = jnp.uint32(MULTIPLIER) * (2 * step.astype(jnp.uint32) + 1)
    slot = (rows.ids.astype(jnp.uint32) * odd) >> (32 - SLOT_BITS)
    return jnp.zeros(1 << SLOT_BITS, rows.curvature.dtype).at[slot].add(rows.curvature)[slot]


def sum_duplicates(rows: RowUpdates) -> RowUpdates:
    """Return the same gradient with each id once: the rows of equal ids summed, the places left over empty.

    >>> summed = sum_duplicates(RowUpdates(jnp.array([4, 1, 4]), jnp.array([[1.0], [2.0], [3.0]])))
    >>> summed.ids.tolist()[:2], summed.values.tolist()
    ([1, 4], [[2.0], [4.0], [0.0]])
    """
    order = jnp.argsort(rows.ids, stable=True)
    ids = rows.ids[order]
    is_first = jnp.concatenate([jnp.ones(1, bool), ids[1:] != ids[:-1]])
    place = jnp.cumsum(is_first, dtype=jnp.int32) - 1
    unique = jnp.full_like(ids, PAD_ID).at[place].set(ids)
    add = lambda x: jnp.zeros_like(x).at[place].add(x[order])
    return RowUpdates(unique, add(rows.values), None if rows.curvature is None else add(rows.curvature))


def map_updates(function: Callable[..., Any], updates: Any, *rest: Any) -> Any:
    """Map over the `RowUpdates` of each table, and the leaves of `rest` beside them."""
    return jax.tree.map(function, updates, *rest, is_leaf=is_row_updates)
