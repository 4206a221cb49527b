"""Stochastic gradient descent that a crowded block cannot throw off."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ..params import Params
from .rows import ParamRows, Rows, RowSparse

SLOT_BITS = 16
MIX = 0x9E3779B1  # odd, its bits without a pattern: 2³² over the golden ratio


def bounded_sgd(schedule: optax.Schedule) -> RowSparse:
    """SGD in which no row steps past the minimum that its gradient and curvature point to.

    word2vec takes its steps one pair at a time, and each sees what the one before has done. A block
    takes them together: a row that stands in it m times, or a noise row that a tile's centers share,
    moves by m stale steps at once, and past lr·curvature = 2 such steps grow without end. (Plain SGD
    does: `python -m experiments.stability_sweep TEXT --plain`.) So each row steps by

        min(lr, 1 / curvature)

    with the curvature bound summed over all the places where the row stands: at most to the minimum
    of the quadratic above its loss. (Half of what would do for one table alone, because both move at
    once.) A row with little in the block takes plain SGD's step. Negative sampling's bound holds all
    the way down; softmax's only where the scores stand, and at twelve times the default rate, with
    thousands of words, it has been seen to diverge.
    """

    def init(params: Params) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

    def update(
        updates: ParamRows, state: optax.ScaleByScheduleState, params: Params | None = None
    ) -> tuple[ParamRows, optax.ScaleByScheduleState]:
        lr = jnp.asarray(schedule(state.count), jnp.float32)

        def step(rows: Rows) -> Rows:
            size = lr / jnp.maximum(1, lr * total_curvature(rows, state.count))
            return Rows(rows.ids, -size[:, None] * rows.values, size * rows.curvature)

        return ParamRows(*map(step, updates)), optax.ScaleByScheduleState(state.count + 1)

    return RowSparse(init, update)


def total_curvature(rows: Rows, step: Int[Array, ""]) -> Float[Array, " N"]:
    """For each place, the curvature summed over all places of its id.

    Ids meet in 2¹⁶ slots, not V, so that the cost does not grow with the vocabulary. Two that share
    one are both held to their sum, which is on the safe side; which two those are changes with the
    step (multiplicative hashing), so that no rare word always shares a frequent one's slot.
    """
    odd = jnp.uint32(MIX) * (2 * step.astype(jnp.uint32) + 1)
    slot = (rows.ids.astype(jnp.uint32) * odd) >> (32 - SLOT_BITS)
    return jnp.zeros(1 << SLOT_BITS, rows.curvature.dtype).at[slot].add(rows.curvature)[slot]
