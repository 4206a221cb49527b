"""Training on co-occurrence counts: the whole corpus in each pass, whatever its length."""

import dataclasses
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer
from tqdm import tqdm

from ..config import CountsConfig, TrainConfig
from ..errors import InputError
from ..objectives.softmax_counts import CountBlocks, count_blocks, softmax_counts_loss, softmax_counts_sample
from ..params import Params
from ..text.cooccurrence import Cooccurrence
from ..text.corpus import Corpus
from ..vectors.keyed_vectors import KeyedVectors
from .ppmi_svd import ppmi_svd
from .reports import Callback, Report
from .rows import RowSparse
from .shared_newton import shared_newton

ROWS = 256  # centers whose scores against all words are held at once: 512 took a fifth longer, out of the cache
OUTSIDE = 0.3  # share of the outside table in the vectors; with none, and with all of it, analogies come out lower
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


def loss_and_gradient(params: Params, problem: Problem) -> tuple[tuple[Array, Array], Params]:
    """((nats a target, the same with the ridge's share), the gradient of the latter)."""
    losses, gradient = softmax_counts_loss(params, problem.blocks)
    loss = losses.sum()
    ridged = loss + problem.ridge / 2 * optax.tree.norm(params, squared=True)
    return (loss, ridged), jax.tree.map(lambda g, p: g + problem.ridge * p, gradient, params)


def sampled_loss(params: Params, problem: Problem) -> Float[Array, ""]:
    """The ridged loss, from four of the blocks."""
    some = jax.tree.map(lambda part: part[:: max(1, len(part) // 4)][:4], problem.blocks)
    return softmax_counts_sample(params, some) + problem.ridge / 2 * optax.tree.norm(params, squared=True)


def start_from_ppmi(counts: Cooccurrence, dim: int, seed: int) -> Params:
    """PPMI's factors, with one of the D numbers for what PMI leaves out: log P(o), by which u_o·v_c differs from it."""
    center, outside = ppmi_svd(counts, dim - 1, seed)
    totals = np.asarray(counts.matrix.sum(0), np.float64)
    log_share = np.log(np.maximum(totals, 1e-12 * totals.sum()))
    log_share -= log_share.mean()
    length = max(float(np.sqrt(log_share.std())), 1e-3)  # as long in one table as in the other
    first = lambda table, column: jnp.asarray(np.column_stack([column, table]), jnp.float32)
    return Params(first(center, np.full(len(counts), length)), first(outside, log_share / length))


def tempered(counts: Cooccurrence, config: CountsConfig) -> Cooccurrence:
    """The counts to a power, their columns' totals too; in all as many as before. At power 1, the counts.

    The likelihood of raw counts is spent on what frequent words do; both powers move it to the others.
    """
    if config.count_power == config.context_power == 1:
        return counts
    values = np.asarray(counts.values, np.float64) ** config.count_power
    totals = np.bincount(counts.columns, values, len(counts))
    values *= np.where(totals > 0, totals, 1)[counts.columns] ** (config.context_power - 1)
    values *= counts.values.sum(dtype=np.float64) / values.sum()
    return dataclasses.replace(counts, values=values.astype(np.float32))


def balanced(params: Params, counts: Integer[np.ndarray, " V"]) -> Params:
    """The same scores, from tables of the same covariance, words weighing the square root of their counts.

    Scores, and so the loss, stay as they are under center · A, outside · A⁻ᵀ, for any A; cosines do not.
    Of all A this takes the symmetric one that treats both tables alike: A² is the geometric mean of
    the center covariance's inverse and the outside covariance.
    """
    center, outside = (np.asarray(table, np.float64) for table in params)
    covariance = lambda table: np.cov(table, rowvar=False, aweights=np.sqrt(counts)).reshape(2 * table.shape[1:])
    root, inverse = _power(covariance(center), 0.5), _power(covariance(center), -0.5)
    squared = inverse @ _power(root @ covariance(outside) @ root, 0.5) @ inverse
    tables = center @ _power(squared, 0.5), outside @ _power(squared, -0.5)
    return Params(*(jnp.asarray(table, jnp.float32) for table in tables))


def as_vectors(params: Params, counts: Integer[np.ndarray, " V"]) -> Float[np.ndarray, "V D"]:
    """Word vectors from balanced tables: center and some of the outside, without what all words share.

    The means hold how frequent words are, and nothing of any word.
    """
    center, outside = (
        np.asarray(table) - np.average(np.asarray(table), axis=0, weights=np.sqrt(counts)) for table in params
    )
    return (center + OUTSIDE * outside).astype(np.float32)


def _power(matrix: Float[np.ndarray, "D D"], exponent: float) -> Float[np.ndarray, "D D"]:
    """Of a symmetric matrix; what has no extent in some direction is given a little."""
    values, basis = np.linalg.eigh(matrix)
    return basis * np.maximum(values, 1e-9 * max(values[-1], 1e-30)) ** exponent @ basis.T


def train_on_counts(
    corpus: Corpus,
    config: TrainConfig,
    counts_config: CountsConfig,
    *,
    optimizer: optax.GradientTransformation | None,
    callbacks: Iterable[Callback],
) -> KeyedVectors:
    """`train` for the objectives that see the corpus as its counts; an epoch is a pass over them."""
    counts = tempered(Cooccurrence.from_corpus(corpus, config, counts_config), counts_config)
    if not len(counts.values):
        raise InputError(
            "no word has another beside it on its line, so there is nothing to count; "
            "give longer lines, or a larger --sample, which keeps more of the frequent words"
        )
    if isinstance(optimizer, RowSparse):
        raise InputError("every row moves in a pass over the counts; give an optimizer that row_sparse has not wrapped")
    words_in_order, word_counts = corpus.vocabulary.words, corpus.vocabulary.counts
    if config.objective == "ppmi-svd":
        center, outside = ppmi_svd(counts, config.dim, config.seed)
        return KeyedVectors(words_in_order, center, word_counts, Params(jnp.asarray(center), jnp.asarray(outside)))

    params, problem = start_from_ppmi(counts, config.dim, config.seed), make_problem(counts)
    newton = shared_newton(problem.center_share, problem.outside_share, ridge=float(problem.ridge))
    chosen = optax.with_extra_args_support(optimizer or newton)
    state = jax.tree.map(jnp.copy, chosen.init(params))  # some give one buffer twice, which cannot be donated

    def one_pass(params: Params, state: Any, problem: Problem) -> tuple[Array, Params, Any]:
        (loss, ridged), gradient = loss_and_gradient(params, problem)
        sampled = lambda params: sampled_loss(params, problem)
        updates, state = chosen.update(gradient, state, params, value=ridged, value_fn=sampled, grad=gradient)
        return loss, optax.apply_updates(params, updates), state

    began = time.perf_counter()
    run = jax.jit(one_pass, donate_argnums=(1,)).lower(params, state, problem).compile()
    compile_seconds, started = time.perf_counter() - began, time.perf_counter()
    callbacks, words = tuple(callbacks), len(corpus.ids)
    bar: tqdm[Any] = tqdm(total=config.epochs * words, unit="words", unit_scale=True, disable=None)
    best, best_loss = params, np.inf
    with bar:
        for done in range(config.epochs + 1):  # the last pass tells what the one before it reached
            tried = params
            loss, params, state = run(params, state, problem)
            if not np.isfinite(nats := float(loss)):
                raise FloatingPointError(f"the loss is {nats} after {done} passes; lower the optimizer's rate")
            if nats < best_loss:
                best, best_loss = tried, nats
            bar.update(done * words - bar.n)
            bar.set_postfix(loss=f"{nats:.4f}")
            seconds = time.perf_counter() - started
            report = Report(
                step=done, words=done * words, epoch=float(done), loss=nats, targets=float(problem.targets),
                held_out_loss=None, seconds=seconds, compile_seconds=compile_seconds,
                words_per_second=done * words / seconds, resumed=False,
            )  # fmt: skip
            for callback in callbacks:
                callback(report, tried)
    best = balanced(best, word_counts)
    return KeyedVectors(words_in_order, as_vectors(best, word_counts), word_counts, best)
