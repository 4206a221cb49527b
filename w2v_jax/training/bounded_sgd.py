"""Stochastic gradient descent that stays stable where a row occurs many times in a block."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ..errors import InputError


def bounded_sgd(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformationExtraArgs:
    """Return SGD in which no row steps past the minimum that its gradient and curvature point to.

    word2vec takes its steps one pair at a time, and each sees what the one before has done. A block
    takes them together: a row that occurs in it m times, or a noise row that a tile's centers share,
    moves by m stale steps at once, and past lr·curvature = 2 such steps grow without end. (Plain SGD's
    do: `python -m experiments.stability_sweep TEXT --plain`.) So each row steps by

        min(lr, 1 / curvature)

    with the curvature bound summed over all the places where the row occurs: at most to the minimum
    of the quadratic above its loss. (A single table is stable up to 2 / curvature; here both move at once.)
    A row with little curvature in the block takes plain SGD's step. Negative sampling's bound
    holds as long as residuals do not grow; softmax's only at the current scores, and at twelve times the
    default rate, with thousands of words, it has been seen to diverge.

    Args:
      learning_rate: a number, which may be traced, or an optax schedule.

    Returns:
      An optax transformation of [N, D] gradients whose `update` takes `curvature`, an [N] array for each,
      as extra argument.

    >>> optimizer = bounded_sgd(0.5)
    >>> gradient, curvature = jnp.ones((2, 1)), jnp.array([0.1, 10.0])
    >>> updates, _ = optimizer.update(gradient, optimizer.init(gradient), curvature=curvature)
    >>> updates.ravel().round(3).tolist()
    [-0.5, -0.10000000149011612]
    """

    def init(params: Any) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

    def update(
        updates: Any, state: optax.ScaleByScheduleState, params: Any = None, *, curvature: Any = None, **_: Any
    ) -> tuple[Any, optax.ScaleByScheduleState]:
        if curvature is None:
            raise InputError("bounded_sgd needs a model that bounds its curvature; "
                             "give this one another optimizer, such as optax.adagrad(0.1)")  # fmt: skip
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate

        def step(values: Array, bound: Array) -> Array:
            lr = jnp.asarray(rate).astype(bound.dtype)
            return (-lr / jnp.maximum(1, lr * bound))[:, None].astype(values.dtype) * values

        return jax.tree.map(step, updates, curvature), optax.ScaleByScheduleState(state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)
