"""Train word vectors on co-occurrence counts: each pass sees the whole corpus, whatever its length."""

import functools
import os
import time
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..errors import InputError
from ..params import Params
from ..progress import progress
from ..text.corpus import Corpus
from ..text.vocabulary import Vocabulary
from ..training.reports import Callback, Report
from ..training.row_sparse import RowSparse
from ..vectors.keyed_vectors import KeyedVectors
from ..vectors.whitening import balance_covariances, combine_tables
from .coarse_to_fine import coarse_to_fine
from .config import CountsConfig
from .cooccurrence import Cooccurrence, smooth_counts
from .ppmi_svd import ppmi_svd
from .preconditioned_lbfgs import preconditioned_lbfgs
from .softmax import loss_and_gradient, make_pass

TABLES_HELD = 60  # V·D numbers held by a pass, the state of preconditioned_lbfgs and its trials


def fit_softmax(
    counts: Cooccurrence, corpus: Corpus, config: CountsConfig, *,
    optimizer: optax.GradientTransformation | RowSparse | None = None, callbacks: Iterable[Callback] = (),
) -> KeyedVectors:  # fmt: skip
    """Minimize the exact softmax loss of the counts, with one step per pass; return the best tables."""
    if isinstance(optimizer, RowSparse):
        raise InputError("every row moves in a pass over the counts; give an optimizer without row_sparse")
    if optimizer is None:
        _check_memory(len(counts), counts.matrix.nnz, config.dim)
    began = time.perf_counter()
    params, problem = coarse_to_fine(counts, config.dim, config.seed)
    chosen = optimizer or preconditioned_lbfgs(problem.share, ridge=float(problem.ridge))
    state = jax.tree.map(jnp.copy, chosen.init(params))  # a buffer that occurs twice cannot be donated
    compiling = time.perf_counter()
    run = jax.jit(make_pass(chosen), donate_argnums=1).lower(params, state, problem).compile()
    loss_alone = jax.jit(lambda *args: loss_and_gradient(*args)[0]).lower(params, problem).compile()
    compile_seconds = time.perf_counter() - compiling
    callbacks, words = tuple(callbacks), len(corpus.ids)
    lowest, best = np.inf, (np.inf, params)
    with progress(config.epochs * words, "words") as bar:
        for done in range(config.epochs + 1):
            tables, seconds = params, time.perf_counter() - began - compile_seconds
            if done < config.epochs:
                (losses, _), params, state = run(params, state, problem)
            else:
                losses = loss_alone(params, problem)
            nats, regularized = map(float, losses)
            if not np.isfinite(regularized) and (optimizer or not done):  # preconditioned_lbfgs undoes such a step
                raise FloatingPointError(f"the loss is {regularized} after {done} passes; lower the optimizer's rate")
            if regularized < lowest:
                lowest, best = regularized, (nats, tables)
            if done == config.epochs:  # the last report describes the tables that are returned
                nats, tables = best
            bar.set_postfix(loss=f"{nats:.4f}", refresh=False)
            bar.update(done * words - bar.n)
            report = Report(
                step=done, words=done * words, epoch=float(done), loss=nats, targets=float(problem.targets),
                held_out_loss=None, seconds=seconds, compile_seconds=compile_seconds,
                words_per_second=done * words / seconds, resumed=False,
            )  # fmt: skip
            export = functools.partial(_export_balanced, tables, corpus.vocabulary)
            stops = [callback(report, export) is True for callback in callbacks]
            if any(stops):
                break
    return _export_balanced(best[1], corpus.vocabulary)


def fit_ppmi_svd(
    counts: Cooccurrence, corpus: Corpus, config: CountsConfig, *,
    optimizer: object = None, callbacks: Iterable[Callback] = (),
) -> KeyedVectors:  # fmt: skip
    """Factor the PPMI matrix of the counts, without training; the vectors are the center table as it is."""
    if optimizer is not None or list(callbacks):
        raise InputError("PPMI-SVD makes no passes over the counts; leave out the optimizer, callbacks and --metrics")
    center, outside = ppmi_svd(counts, config.dim, config.seed)
    params = Params(jnp.asarray(center), jnp.asarray(outside))
    return KeyedVectors(corpus.vocabulary.words, center, corpus.vocabulary.counts, params)


def train_counts(
    corpus: Corpus, config: CountsConfig | None = None, *, fit: Callable[..., KeyedVectors] = fit_softmax,
    optimizer: optax.GradientTransformation | RowSparse | None = None, callbacks: Iterable[Callback] = (),
) -> KeyedVectors:  # fmt: skip
    """Train word vectors on the co-occurrence counts of a corpus; the tables are the result's `.params`.

    Args:
      fit: `fit_softmax`, or `fit_ppmi_svd`, which takes no optimizer and no callbacks.
      optimizer: any of optax's; by default `preconditioned_lbfgs`.
      callbacks: each is called as callback(report, export) after each pass, on the tables before it, and at the
        end; `export()` returns the vectors of those tables. One that returns True ends the training.

    Raises:
      InputError: there is nothing to count; the counts cannot be read or written; or the tables do not fit into memory.
      FloatingPointError: the loss is not finite.

    >>> corpus = Corpus.from_sentences([["to", "be", "or", "not", "to", "be"]] * 5)
    >>> train_counts(corpus, CountsConfig(dim=8, sample=0.0)).vectors.shape
    (4, 8)
    """
    if jax.process_count() > 1:
        raise InputError("training on counts runs in one process; start a single one")
    if len(corpus.vocabulary) < 2:
        raise InputError(f"the vocabulary is {corpus.vocabulary.words}; training needs two words or more")
    config = config or CountsConfig()
    counts = smooth_counts(Cooccurrence.from_corpus(corpus, config), config.count_power, config.context_smoothing)
    if not counts.matrix.nnz:
        raise InputError("no word has another beside it on its line, so there is nothing to count; give longer lines, "
                         "or a larger --sample, which keeps more of the frequent words")  # fmt: skip
    return fit(counts, corpus, config, optimizer=optimizer, callbacks=callbacks)


def _export_balanced(params: Params, vocabulary: Vocabulary) -> KeyedVectors:
    """Return copies of the tables with equal covariances, and vectors that combine them."""
    params = balance_covariances(params, vocabulary.counts)
    return KeyedVectors(vocabulary.words, combine_tables(params, vocabulary.counts), vocabulary.counts, params)


def _check_memory(vocab_size: int, entries: int, dim: int) -> None:
    """Refuse tables that the system would kill the process for after minutes of work."""
    needed = 4 * TABLES_HELD * vocab_size * dim + 12 * entries
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if not limit and hasattr(os, "sysconf"):  # absent on Windows
        limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if limit and needed > limit:
        raise InputError(f"{vocab_size:,} words of {dim} numbers take about {needed / 1e9:.0f} GB to train on counts, "
                         f"and there are {limit / 1e9:.0f} in all; give fewer words (--max-vocab) or numbers (--dim)"
                         )  # fmt: skip
