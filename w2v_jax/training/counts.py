"""Training on co-occurrence counts: the whole corpus in each pass, whatever its length."""

import dataclasses
import os
import time
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from ..config import CountsConfig, TrainConfig
from ..errors import InputError
from ..params import Params
from ..text.cooccurrence import Cooccurrence
from ..text.corpus import Corpus
from ..vectors.keyed_vectors import KeyedVectors
from .coarse_to_fine import coarse_to_fine
from .counts_problem import losses, make_pass, newton_for
from .ppmi_svd import ppmi_svd
from .reports import Callback, Report
from .rows import RowSparse
from .vectors_of import vectors_of

TABLES = 60  # of V·D numbers: what a pass, shared_newton's state and its trials hold at once


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


def train_on_counts(
    corpus: Corpus,
    config: TrainConfig,
    counts_config: CountsConfig,
    *,
    optimizer: optax.GradientTransformation | None,
    callbacks: Iterable[Callback],
) -> KeyedVectors:
    """`train` for the objectives that see the corpus as its counts; an epoch is a pass over them."""
    if isinstance(optimizer, RowSparse):
        raise InputError("every row moves in a pass over the counts; give an optimizer that row_sparse has not wrapped")
    counts = tempered(Cooccurrence.from_corpus(corpus, config, counts_config), counts_config)
    if not len(counts.values):
        raise InputError(
            "no word has another beside it on its line, so there is nothing to count; "
            "give longer lines, or a larger --sample, which keeps more of the frequent words"
        )
    if config.objective == "ppmi-svd":
        center, outside = ppmi_svd(counts, config.dim, config.seed)
        return vectors_of(Params(jnp.asarray(center), jnp.asarray(outside)), corpus.vocabulary, config.objective)

    if optimizer is None:
        _check_that_it_fits(len(counts), len(counts.values), config.dim)
    began = time.perf_counter()
    params, problem = coarse_to_fine(counts, config.dim, config.seed)
    chosen = optimizer or newton_for(problem)
    state = jax.tree.map(jnp.copy, chosen.init(params))  # some give one buffer twice, which cannot be donated
    compiling = time.perf_counter()
    run = jax.jit(make_pass(chosen), donate_argnums=1).lower(params, state, problem).compile()
    losses_alone = jax.jit(losses).lower(params, problem).compile()
    compile_seconds = time.perf_counter() - compiling
    callbacks, words = tuple(callbacks), len(corpus.ids)
    bar: tqdm[Any] = tqdm(total=config.epochs * words, unit="words", unit_scale=True, disable=None)
    best, best_nats, lowest = params, np.inf, np.inf
    with bar:
        for done in range(config.epochs + 1):
            tried, seconds = params, time.perf_counter() - began - compile_seconds
            if done < config.epochs:
                (found, _), params, state = run(params, state, problem)
            else:
                found = losses_alone(params, problem)
            nats, ridged = map(float, found)
            if not np.isfinite(ridged) and (optimizer or not done):  # shared_newton takes such a step back
                raise FloatingPointError(f"the loss is {ridged} after {done} passes; lower the optimizer's rate")
            if ridged < lowest:
                best, best_nats, lowest = tried, nats, ridged
            if done == config.epochs:  # the last report is of what is returned
                tried, nats = best, best_nats
            bar.update(done * words - bar.n)
            bar.set_postfix(loss=f"{nats:.4f}")
            report = Report(
                step=done, words=done * words, epoch=float(done), loss=nats, targets=float(problem.targets),
                held_out_loss=None, seconds=seconds, compile_seconds=compile_seconds,
                words_per_second=done * words / seconds, resumed=False,
            )  # fmt: skip
            asked = [callback(report, tried) is True for callback in callbacks]
            if any(asked):
                break
    return vectors_of(best, corpus.vocabulary, config.objective)


def _check_that_it_fits(vocab_size: int, entries: int, dim: int) -> None:
    """Raise now what the system would otherwise do to the process after minutes of work."""
    needed = 4 * TABLES * vocab_size * dim + 12 * entries
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if not limit and hasattr(os, "sysconf"):  # Windows has no such question
        limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if limit and needed > limit:
        raise InputError(
            f"{vocab_size:,} words of {dim} numbers take about {needed / 1e9:.0f} GB to train on counts, and there are "
            f"{limit / 1e9:.0f} in all; give fewer words (--max-vocab) or numbers (--dim)"
        )
