"""train_counts learns, reports and returns the best tables, repeats itself, and refuses what it cannot do."""

import dataclasses
from typing import Any

import jax
import numpy as np
import optax
import pytest

from w2v_jax.counts import train as module
from w2v_jax.counts.coarse_to_fine import coarse_to_fine
from w2v_jax.counts.config import CountsConfig
from w2v_jax.counts.cooccurrence import Cooccurrence
from w2v_jax.counts.preconditioned_lbfgs import preconditioned_lbfgs
from w2v_jax.counts.softmax import loss_and_gradient, make_problem
from w2v_jax.counts.train import fit_ppmi_svd, fit_softmax, train_counts
from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.reports import Report
from w2v_jax.training.row_sparse import row_sparse
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.whitening import balance_covariances, combine_tables

pytestmark = pytest.mark.usefixtures("several_blocks")
CONFIG = CountsConfig(dim=8, window=3, epochs=6, sample=0.0)


def train_reports(
    corpus: Corpus, config: CountsConfig = CONFIG, optimizer: Any = None
) -> tuple[KeyedVectors, list[Report], list[KeyedVectors]]:
    """Train; return the vectors, and the reports and exports of each callback."""
    reports, exports = list[Report](), list[KeyedVectors]()
    callback: Any = lambda report, export: (reports.append(report), exports.append(export()))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax's Adam and L-BFGS
        return train_counts(corpus, config, optimizer=optimizer, callbacks=[callback]), reports, exports


def scores(vectors: KeyedVectors) -> np.ndarray:
    assert vectors.params is not None
    return np.asarray(vectors.params.center @ vectors.params.outside.T, np.float64)


@pytest.mark.parametrize("fit", [fit_softmax, fit_ppmi_svd])
def test_words_that_co_occur_end_together(fit: Any, corpus: Corpus, groups: tuple[list[str], ...]) -> None:
    vectors = train_counts(corpus, CONFIG, fit=fit)
    assert vectors.params is not None
    assert vectors.vectors.shape == vectors.params.outside.shape == (12, 8)
    for group in groups:
        assert {word for word, _ in vectors.most_similar(group[0], topn=4)} == set(group[1:])


def test_each_pass_is_reported_and_lowers_the_loss(corpus: Corpus) -> None:
    vectors, reports, exports = train_reports(corpus)
    assert [report.epoch for report in reports] == list(range(7))
    nats = [report.loss for report in reports]
    assert (np.diff(nats) < 0).all()
    dense = Cooccurrence.from_corpus(corpus, CONFIG).matrix.toarray()
    np.testing.assert_allclose(reports[0].targets, dense.sum(), rtol=1e-6)
    for loss, export in zip(nats, exports, strict=True):
        log_y_hat = scores(export) - np.log(np.exp(scores(export)).sum(1, keepdims=True))
        np.testing.assert_allclose(loss, -(dense * log_y_hat).sum() / dense.sum(), rtol=1e-5)
    np.testing.assert_array_equal(vectors.vectors, exports[-1].vectors)


@pytest.mark.parametrize("optimizer", [optax.adam(0.03), optax.lbfgs()])
def test_any_optimizer_of_optax_trains(optimizer: Any, corpus: Corpus) -> None:
    _, reports, _ = train_reports(corpus, optimizer=optimizer)
    assert reports[-1].loss < reports[0].loss


def test_without_counts_or_a_second_word_training_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to count"):
        train_counts(Corpus.from_sentences([["a"], ["b"]] * 20), CONFIG)
    with pytest.raises(InputError, match="needs two words or more"):
        train_counts(Corpus.from_sentences([["a", "a"]] * 20), CONFIG)


def test_several_processes_are_refused(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match="runs in one process"):
        train_counts(corpus, CONFIG)


@pytest.mark.parametrize("power", ["count_power", "context_smoothing"])
def test_counts_are_smoothed(power: str, corpus: Corpus) -> None:
    plain = train_counts(corpus, CONFIG, fit=fit_ppmi_svd)
    smoothed = train_counts(corpus, dataclasses.replace(CONFIG, **{power: 0.5}), fit=fit_ppmi_svd)
    assert not np.allclose(plain.vectors, smoothed.vectors, atol=1e-2)


def test_the_best_tables_are_returned(corpus: Corpus) -> None:
    """At a rate at which the loss rises, those are the initial ones."""
    vectors, reports, exports = train_reports(corpus, optimizer=optax.adam(2.0))
    nats = [report.loss for report in reports]
    best = exports[int(np.argmin(nats[:-1]))]
    assert nats[-1] == min(nats) < nats[-2]  # the last report describes what is returned
    np.testing.assert_allclose(scores(vectors), scores(best), atol=1e-2)


def test_unsuited_optimizers_and_callbacks_are_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="every row moves"):
        train_counts(corpus, CONFIG, optimizer=row_sparse(optax.sgd(0.1)))
    given: list[dict[str, Any]] = [{"optimizer": optax.sgd(0.1)}, {"callbacks": [lambda *_: None]}]
    for options in given:
        with pytest.raises(InputError, match="makes no passes over the counts; leave out the optimizer, callbacks"):
            train_counts(corpus, CONFIG, fit=fit_ppmi_svd, **options)


def test_vectors_combine_balanced_tables(corpus: Corpus) -> None:
    params, _ = coarse_to_fine(Cooccurrence.from_corpus(corpus, CONFIG), CONFIG.dim, CONFIG.seed)
    expected = balance_covariances(params, corpus.vocabulary.counts)
    _, _, (first, *_) = train_reports(corpus)
    np.testing.assert_allclose(first.vectors, combine_tables(expected, corpus.vocabulary.counts), rtol=1e-4, atol=1e-5)
    assert first.params is not None
    np.testing.assert_allclose(first.params.outside, expected.outside, rtol=1e-4, atol=1e-5)


def test_the_default_optimizer_is_preconditioned_lbfgs(corpus: Corpus) -> None:
    _, problem = coarse_to_fine(Cooccurrence.from_corpus(corpus, CONFIG), CONFIG.dim, CONFIG.seed)
    _, default, _ = train_reports(corpus)
    _, given, _ = train_reports(corpus, optimizer=preconditioned_lbfgs(problem.share, ridge=float(problem.ridge)))
    assert [report.loss for report in given] == [report.loss for report in default]


@pytest.mark.parametrize("dim", [4, 30])
def test_isolated_words_get_finite_vectors_and_the_last_report_is_of_the_result(dim: int) -> None:
    """Some words co-occur only with their two neighbours, and others with none."""
    ring = [[f"n{i}", f"n{(i + 1) % 60}"] for i in range(60) for _ in range(10)]
    corpus = Corpus.from_sentences(ring + [[f"solo{i}"] for i in range(60) for _ in range(20)])
    config = dataclasses.replace(CONFIG, dim=dim)
    vectors, reports, _ = train_reports(corpus, config)
    assert vectors.params is not None
    assert all(np.isfinite(table).all() for table in (vectors.vectors, *map(np.asarray, vectors.params)))
    problem = make_problem(Cooccurrence.from_corpus(corpus, config))
    assert reports[-1].loss == pytest.approx(float(loss_and_gradient(vectors.params, problem)[0][0]), abs=1e-4)
    assert reports[-1].loss < reports[0].loss


def test_a_loss_that_is_not_finite_ends_the_training(corpus: Corpus) -> None:
    with pytest.raises(FloatingPointError, match=r"^the loss is \S+ after \d+ passes; lower the optimizer's rate$"):
        train_counts(corpus, CONFIG, optimizer=optax.sgd(1e9))


def test_tables_larger_than_memory_are_refused(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "sysconf", lambda name: 100)
    with pytest.raises(InputError, match="^12 words of 8 numbers take about .* GB .*; give fewer words"):
        train_counts(corpus, CONFIG)


def test_the_best_tables_have_the_lowest_regularized_loss(corpus: Corpus) -> None:
    """Each step lowers the loss and shifts all outside vectors, which changes the ridge alone."""

    def update(gradient: Params, state: optax.EmptyState, params: object = None) -> tuple[Params, optax.EmptyState]:
        return Params(-0.1 * gradient.center, 3e3 - 0.1 * gradient.outside), state

    _, reports, _ = train_reports(corpus, optimizer=optax.GradientTransformation(lambda _: optax.EmptyState(), update))
    assert reports[1].loss < reports[0].loss
    assert reports[-1].loss == reports[0].loss
