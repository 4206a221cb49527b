"""One training step: a block of text in, a moved state out."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from ..config import TILE, TrainConfig
from ..frequency import noise_distribution
from ..noise import alias_table, step_noise
from ..objectives.blockwise_softmax import expectations, log_normalizers
from ..objectives.negative_sampling import logistic, logistic_curvature
from ..objectives.residual import pull_back, pull_back_curvature, scores
from ..objectives.softmax import log_normalizer, softmax, softmax_curvature
from ..params import Params
from ..text.vocabulary import Vocabulary
from ..windows import Block, context_weights
from .mesh import (
    BOTH,
    DATA,
    device_count,
    everyones,
    fetch,
    first_row,
    joined,
    over_devices,
    own_share,
    shared,
    summed_share,
    total,
)  # fmt: skip
from .rows import NO_ROW, ParamRows, Rows, RowSparse, apply_rows, row_sparse, take
from .state import TrainState

VOCAB_BLOCK = 1024  # words of the vocabulary that softmax scores at once


class Metrics(NamedTuple):
    """What a step tells: the mean loss of the block is loss / targets."""

    loss: Float[Array, ""]
    """Summed over the block's targets."""
    targets: Float[Array, ""]
    """(center, outside) pairs in the block, each as often as it is expected."""


Gradients = Callable[[Params, Block, Int[Array, ""]], tuple[Metrics, ParamRows]]
"""(params, block, step) → the summed loss of the block, and its gradient."""


def make_train_step(
    config: TrainConfig, vocabulary: Vocabulary, optimizer: optax.GradientTransformation, mesh: Mesh | None = None
) -> Callable[[TrainState, Block], tuple[TrainState, Metrics]]:
    """The jitted step, (state, block) → (state, metrics); the state that goes in is donated.

    The optimizer is any of optax's, or one that `row_sparse` has wrapped; it sees the gradient of the
    loss summed over the block, on the rows that the block touched. With a mesh, the same over its devices; one that
    splits the vocabulary needs an optimizer that takes each number by itself (SGD, momentum, Adagrad, Adam, weight
    decay): a norm over rows, of clipping or LAMB, would be another on each device.
    """
    optimizer = optimizer if isinstance(optimizer, RowSparse) else row_sparse(optimizer)
    gradients = make_gradients(config, vocabulary)

    def train_step(state: TrainState, block: Block) -> tuple[TrainState, Metrics]:
        metrics, rows = gradients(state.params, block, state.step)
        updates, opt_state = optimizer.update(rows, state.opt_state, state.params)
        return TrainState(apply_rows(state.params, updates), opt_state, state.step + 1), metrics

    return jax.jit(over_devices(train_step, mesh), donate_argnums=0)


def make_gradients(config: TrainConfig, vocabulary: Vocabulary) -> Gradients:
    """The loss of a block and its hand-written gradient, for the config's objective."""
    table = alias_table(noise_distribution(vocabulary.counts, config.noise_power))

    def gradients(params: Params, block: Block, step: Int[Array, ""]) -> tuple[Metrics, ParamRows]:
        if config.objective == "naive-softmax":
            return _naive_softmax(params, block, config)
        if config.objective == "softmax":
            return _softmax(params, block, config, len(vocabulary))
        noise = step_noise(config.seed, step, table, tiles=len(block.tokens) * device_count(), noise=config.noise)
        return _negative_sampling(params, block, own_share(noise, BOTH), config)

    return gradients


def _negative_sampling(
    params: Params, block: Block, noise: Int[Array, "G K"], config: TrainConfig
) -> tuple[Metrics, ParamRows]:
    """Each center against its tile's tokens, its own outside words among them, and its tile's K noise words.

    A center whose outside words weigh n counts each noise word n·negative/K times: in expectation,
    that many draws of its own.
    """
    # A tile beyond the text touches no row, not even with a gradient of zero: momentum would move it.
    has_center = (_centers(block.lines, config) >= 0).any(1, keepdims=True)
    noise = jnp.where(has_center, noise, NO_ROW)
    # One gather a table, and one scatter: XLA's CPU copies the whole table for a second.
    candidates = jnp.concatenate([block.tokens, noise], axis=1)
    lines = jnp.pad(block.lines, ((0, 0), (0, config.noise)))  # noise stands beyond every window
    centers = _centers(block.tokens, config)
    h, rows = fetch(params, centers, candidates)

    outside_weight = jax.vmap(functools.partial(context_weights, window=config.window))(lines)
    targets = outside_weight.sum(-1, keepdims=True)
    is_noise = jnp.arange(candidates.shape[1])[None, None] >= block.tokens.shape[1]
    weight = outside_weight + targets * jnp.where(is_noise, config.negative / config.noise, 0)
    observed = jnp.broadcast_to(jnp.where(is_noise, 0.0, 1.0), weight.shape)

    loss, residual = jax.vmap(jax.vmap(logistic, (0, 0, 0, None)), (0, 0, 0, None))(
        jax.vmap(scores)(h, rows), observed, weight, None
    )
    dh, drows = jax.vmap(pull_back)(residual, h, rows)
    curve_h, curve_rows = jax.vmap(pull_back_curvature)(logistic_curvature(residual, weight), h, rows)
    gradient = ParamRows(
        Rows(centers.ravel(), dh.reshape(centers.size, -1), curve_h.ravel()),
        Rows(candidates.ravel(), drows.reshape(candidates.size, -1), curve_rows.ravel()),
    )
    return total(Metrics(loss.sum(), targets.sum())), everyones(gradient)


def _softmax(params: Params, block: Block, config: TrainConfig, vocab_size: int) -> tuple[Metrics, ParamRows]:
    """Each center against the whole vocabulary, a block of it at a time; its outside words in its tile's product."""
    centers, here = _centers(block.tokens, config), len(params.outside)
    h, rows = fetch(params, centers, block.tokens)
    weights = jax.vmap(functools.partial(context_weights, window=config.window))(block.lines)
    n, own_h = weights.sum(-1).ravel(), h.reshape(centers.size, -1)
    every_h, every_n = shared(own_h), shared(n)
    every_id = first_row(here) + jnp.arange(here, dtype=centers.dtype)
    words = None if here == vocab_size else jnp.clip(vocab_size - every_id[0], 0, here)
    normalizers = joined(log_normalizers(every_h, params.outside, block_size=VOCAB_BLOCK, words=words))
    loss = n @ own_share(normalizers) - (weights * jax.vmap(scores)(h, rows)).sum()
    metrics = total(Metrics(loss, n.sum()))

    # Equation 8's n ŷ, with softmax's curvature bound, which is n ŷ too, in one more column; then its −y.
    with_square = lambda table: jnp.concatenate([table, (table**2).sum(1, keepdims=True)], axis=1)
    of_outside, of_h = expectations(
        every_h, params.outside, normalizers, with_square(params.outside), every_n[:, None] * with_square(every_h),
        block_size=VOCAB_BLOCK, words=words,
    )  # fmt: skip
    of_outside, of_h = n[:, None] * summed_share(of_outside), total(of_h, DATA)
    seen_h, seen_rows = jax.vmap(pull_back)(-weights, h, rows)

    flat = lambda tiles: tiles.reshape(-1, tiles.shape[-1])
    center, seen = everyones((
        Rows(centers.ravel(), of_outside[:, :-1] + flat(seen_h), of_outside[:, -1]),
        Rows(block.tokens.ravel(), flat(seen_rows), jnp.zeros(block.tokens.size, h.dtype)),
    ))  # fmt: skip
    every = Rows(jnp.where(metrics.targets > 0, every_id, NO_ROW), of_h[:, :-1], of_h[:, -1])  # none, beyond the text
    return metrics, ParamRows(center, Rows(*map(jnp.concatenate, zip(every, seen, strict=True))))


def _naive_softmax(params: Params, block: Block, config: TrainConfig) -> tuple[Metrics, ParamRows]:
    """Each center against the whole vocabulary: Equation 4 for every pair, Equation 8 for every center."""
    centers, vocab_size = _centers(block.tokens, config).ravel(), len(params.outside)
    h = take(params.center, centers)
    weights = jax.vmap(functools.partial(context_weights, window=config.window))(block.lines)
    count = lambda ids, seen: jnp.zeros(vocab_size, h.dtype).at[ids].add(seen, mode="drop")
    observed = jax.vmap(jax.vmap(count, (None, 0)))(block.tokens, weights).reshape(len(h), vocab_size)

    all_scores = scores(h, params.outside)
    weight = jnp.ones_like(all_scores)
    loss, residual = jax.vmap(softmax)(all_scores, observed, weight, jax.vmap(log_normalizer)(all_scores, weight))
    dh, doutside = pull_back(residual, h, params.outside)
    curve_h, curve_outside = pull_back_curvature(softmax_curvature(residual, observed), h, params.outside)
    targets = weights.sum()
    every_id = jnp.where(targets > 0, jnp.arange(vocab_size, dtype=centers.dtype), NO_ROW)  # none, beyond the text
    gradient = ParamRows(Rows(centers, dh, curve_h), Rows(every_id, doutside, curve_outside))
    return Metrics(loss.sum(), targets), gradient


def _centers(part: Int[Array, "G C"], config: TrainConfig) -> Int[Array, "G S"]:
    """The tokens, or lines, of each tile without its halo."""
    return part[:, config.window : config.window + TILE]
