"""Rows that training leaves as they are, and their optimizer state with them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool

from ..params import Params
from .rows import NO_ROW, ParamRows, Rows, RowSparse, row_sparse


class Frozen(NamedTuple):
    """Which rows of each table stay as they are."""

    center: Bool[np.ndarray, " V"]
    outside: Bool[np.ndarray, " V"]


def freeze(optimizer: optax.GradientTransformation, frozen: Frozen) -> RowSparse:
    """The same optimizer, blind to the gradients of frozen rows: neither they nor their state ever move.

    >>> optimizer = freeze(optax.sgd(1.0), Frozen(np.array([True, False]), np.array([False, False])))
    >>> params = Params(jnp.zeros((2, 1)), jnp.zeros((2, 1)))
    >>> gradient = Rows(jnp.array([0, 1]), jnp.ones((2, 1)), jnp.ones(2))
    >>> updates, _ = optimizer.update(ParamRows(gradient, gradient), optimizer.init(params), params)
    >>> from w2v_jax.training.rows import apply_rows
    >>> [table.ravel().tolist() for table in apply_rows(params, updates)]
    [[0.0, -1.0], [-1.0, -1.0]]
    """
    sparse = optimizer if isinstance(optimizer, RowSparse) else row_sparse(optimizer)
    masks = [jnp.asarray(mask) for mask in frozen]

    def update(
        updates: ParamRows, state: optax.OptState, params: Params | None = None
    ) -> tuple[ParamRows, optax.OptState]:
        return sparse.update(ParamRows(*map(_without, updates, masks)), state, params)

    return RowSparse(sparse.init, update)


def _without(rows: Rows, frozen: Bool[Array, " V"]) -> Rows:
    """The frozen rows made rows of no id, and zero, for what an optimizer reckons over all rows."""
    gone = frozen.at[rows.ids].get(mode="fill", fill_value=False)
    ids = jnp.where(gone, NO_ROW, rows.ids)
    return Rows(ids, jnp.where(gone[:, None], 0, rows.values), jnp.where(gone, 0, rows.curvature))
