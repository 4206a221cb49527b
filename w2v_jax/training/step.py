"""One training step: a block of text in, a moved state out."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ..config import TrainConfig
from ..frequency import noise_distribution
from ..noise import alias_table, step_draws
from ..objectives.negative_sampling import logistic
from ..objectives.residual import pull_back, scores
from ..objectives.softmax import log_normalizer, softmax
from ..params import Params
from ..text.vocabulary import Vocabulary
from ..windows import Block, Tiles, tiles
from .rows import Rows, RowSparse, apply_rows, row_sparse, take
from .state import TrainState


class Metrics(NamedTuple):
    """What a step tells: the mean loss of the block is loss / targets."""

    loss: Float[Array, ""]
    """Summed over the block's targets."""
    targets: Int[Array, ""]
    """(center, outside) pairs in the block."""


Gradients = Callable[[Params, Block, Int[Array, ""]], tuple[Metrics, Params]]
"""(params, block, step) → the summed loss of the block, and its gradient as `Params` of `Rows`."""


def make_train_step(
    config: TrainConfig, vocabulary: Vocabulary, optimizer: optax.GradientTransformation
) -> Callable[[TrainState, Block], tuple[TrainState, Metrics]]:
    """The jitted step, (state, block) → (state, metrics); the state that goes in is donated.

    The optimizer is any of optax's, or one that `row_sparse` has wrapped; it sees the gradient of the
    loss summed over the block, on the rows that the block touched.
    """
    optimizer = optimizer if isinstance(optimizer, RowSparse) else row_sparse(optimizer)
    gradients = make_gradients(config, vocabulary)

    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(state: TrainState, block: Block) -> tuple[TrainState, Metrics]:
        metrics, rows = gradients(state.params, block, state.step)
        updates, opt_state = optimizer.update(rows, state.opt_state, state.params)
        return TrainState(apply_rows(state.params, updates), opt_state, state.step + 1), metrics

    return train_step


def make_gradients(config: TrainConfig, vocabulary: Vocabulary) -> Gradients:
    """The loss of a block and its hand-written gradient, for the config's objective."""
    table = alias_table(noise_distribution(vocabulary.counts))
    objective = _naive_softmax if config.objective == "naive-softmax" else _negative_sampling

    def gradients(params: Params, block: Block, step: Int[Array, ""]) -> tuple[Metrics, Params]:
        draws = step_draws(
            config.seed, step, table, block=config.block, window=config.window, noise=config.noise
        )
        return objective(params, tiles(block, draws.reach, window=config.window), draws.noise, config.negative)

    return gradients


def _negative_sampling(
    params: Params, block: Tiles, noise: Int[Array, " K"], negative: int
) -> tuple[Metrics, Params]:
    """Each center against its own outside words, and against K noise words that the block shares.

    A center with n outside words counts each noise word n·negative/K times: in expectation, that
    many draws of its own.
    """
    centers, ids = block.centers.ravel(), jnp.concatenate([block.context.ravel(), noise])
    # One gather a table, and one scatter: XLA's CPU copies the whole table for a second.
    rows = take(params.outside, ids)
    context = rows[: block.context.size].reshape(*block.context.shape, -1)
    noise_rows = rows[block.context.size :]
    h = take(params.center, centers)
    h_tiles = h.reshape(*block.centers.shape, -1)

    is_context = block.is_context.astype(h.dtype)
    targets = is_context.sum(-1).ravel()
    weight = jnp.broadcast_to(targets[:, None] * (negative / len(noise)), (len(h), len(noise)))

    positive = jax.vmap(scores)(h_tiles, context)
    negative = scores(h, noise_rows)
    batched = jax.vmap(logistic, (0, 0, 0, None))
    loss, residual = jax.vmap(batched, (0, 0, 0, None))(positive, jnp.ones_like(positive), is_context, None)
    noise_loss, noise_residual = batched(negative, jnp.zeros_like(negative), weight, None)

    dh_tiles, dcontext = jax.vmap(pull_back)(residual, h_tiles, context)
    dh, dnoise = pull_back(noise_residual, h, noise_rows)
    outside = jnp.concatenate([dcontext.reshape(-1, h.shape[1]), dnoise])
    gradient = Params(Rows(centers, dh + dh_tiles.reshape(h.shape)), Rows(ids, outside))
    return Metrics(loss.sum() + noise_loss.sum(), targets.sum().astype(jnp.int32)), gradient


def _naive_softmax(
    params: Params, block: Tiles, noise: Int[Array, " K"], negative: int
) -> tuple[Metrics, Params]:
    """Each center against the whole vocabulary: Equation 4 for every pair, Equation 8 for every center."""
    centers, vocab_size = block.centers.ravel(), len(params.outside)
    h = take(params.center, centers)
    is_context = block.is_context.reshape(len(h), -1).astype(h.dtype)
    context = jnp.repeat(block.context, len(h) // len(block.context), axis=0)
    count = jax.vmap(lambda ids, seen: jnp.zeros(vocab_size, h.dtype).at[ids].add(seen, mode="drop"))
    observed = count(context, is_context)

    all_scores = scores(h, params.outside)
    weight = jnp.ones_like(all_scores)
    loss, residual = jax.vmap(softmax)(all_scores, observed, weight, jax.vmap(log_normalizer)(all_scores, weight))
    dh, doutside = pull_back(residual, h, params.outside)
    gradient = Params(Rows(centers, dh), Rows(jnp.arange(vocab_size), doutside))
    return Metrics(loss.sum(), is_context.sum().astype(jnp.int32)), gradient
