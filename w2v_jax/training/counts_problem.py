"""The loss of all of a corpus's counts as an optimizer sees it: in nats a target, with a ridge, one pass a step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from ..objectives.softmax_counts import CountBlocks, count_blocks, mean_softmax_loss, softmax_counts_loss
from ..params import Params
from ..text.cooccurrence import Cooccurrence
from .shared_newton import shared_newton

ROWS = 256  # centers whose scores against all words are held at once: 512 took a fifth longer, out of the cache
RIDGE = 0.1  # targets' worth: what keeps the vectors of words with few targets finite


class Problem(NamedTuple):
    """The exact softmax of some counts, in nats a target."""

    blocks: CountBlocks
    center_share: Float[Array, " V"]
    """n_c: the share of all targets whose center each word is."""
    outside_share: Float[Array, " V"]
    ridge: Float[Array, ""]
    targets: Float[Array, ""]
    """How many targets the counts are in all."""


def make_problem(counts: Cooccurrence, ridge: float = RIDGE) -> Problem:
    """Counts on the device, as shares of all of them."""
    total = counts.values.sum(dtype=np.float64)
    blocks = count_blocks(counts.row_ends, counts.columns, counts.values, rows=ROWS)
    share = lambda axis: jnp.asarray(np.asarray(counts.matrix.sum(axis), np.float64) / total, jnp.float32)
    blocks = blocks._replace(counts=blocks.counts / jnp.float32(total))
    return Problem(blocks, share(1), share(0), jnp.float32(ridge / total), jnp.float32(total))


def newton_for(problem: Problem) -> optax.GradientTransformationExtraArgs:
    """The optimizer that knows the problem's shares and ridge."""
    return shared_newton(problem.center_share, problem.outside_share, ridge=float(problem.ridge))


class Losses(NamedTuple):
    """Where some tables stand."""

    nats: Float[Array, ""]
    """A target."""
    ridged: Float[Array, ""]
    """The same with the ridge's share: what is made less."""


def with_ridge(nats: Float[Array, ""], params: Params, problem: Problem) -> Losses:
    return Losses(nats, nats + problem.ridge / 2 * optax.tree.norm(params, squared=True))


def losses(params: Params, problem: Problem) -> Losses:
    """For a third of what the gradient costs too."""
    return with_ridge(mean_softmax_loss(params, problem.blocks), params, problem)


def loss_and_gradient(params: Params, problem: Problem) -> tuple[Losses, Params]:
    """The losses, and the gradient of the ridged one."""
    by_block, gradient = softmax_counts_loss(params, problem.blocks)
    gradient = jax.tree.map(lambda g, p: g + problem.ridge * p, gradient, params)
    return with_ridge(by_block.sum(), params, problem), gradient


def sampled_loss(params: Params, problem: Problem) -> Float[Array, ""]:
    """The ridged loss, as four of the blocks tell it."""
    some = jax.tree.map(lambda part: part[:: max(1, len(part) // 4)][:4], problem.blocks)
    return losses(params, problem._replace(blocks=some)).ridged


def make_pass(optimizer: optax.GradientTransformation) -> Callable[[Params, Any, Problem], Any]:
    """(params, state, problem) → ((losses, norm of the gradient) where params are, new params, new state)."""
    chosen = optax.with_extra_args_support(optimizer)

    def one_pass(params: Params, state: Any, problem: Problem) -> tuple[tuple[Losses, Array], Params, Any]:
        here, gradient = loss_and_gradient(params, problem)
        sampled = lambda params: sampled_loss(params, problem)
        updates, state = chosen.update(gradient, state, params, value=here.ridged, value_fn=sampled, grad=gradient)
        return (here, optax.tree.norm(gradient)), optax.apply_updates(params, updates), state

    return one_pass
