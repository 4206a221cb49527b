"""Training on counts: it learns, tells what it reached, repeats itself, and refuses what it cannot do."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from w2v_jax.config import CheckpointConfig, CountsConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.text.cooccurrence import Cooccurrence
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import counts as counts_module
from w2v_jax.training.coarse_to_fine import coarse_to_fine
from w2v_jax.training.counts import tempered
from w2v_jax.training.counts_problem import losses, make_problem
from w2v_jax.training.loop import train
from w2v_jax.training.reports import Report
from w2v_jax.training.rows import row_sparse
from w2v_jax.training.shared_newton import shared_newton
from w2v_jax.vectors.balanced import as_vectors, balanced

pytestmark = pytest.mark.usefixtures("several_blocks")
CONFIG = TrainConfig(dim=8, window=3, epochs=6, sample=0.0, objective="softmax-counts")


@pytest.mark.parametrize("objective", ["softmax-counts", "ppmi-svd"])
def test_words_that_occur_together_end_together(objective: str, corpus: Corpus, groups: tuple[list[str], ...]) -> None:
    vectors = train(corpus, TrainConfig(**{**CONFIG.__dict__, "objective": objective}))
    assert vectors.params is not None
    assert vectors.vectors.shape == vectors.params.outside.shape == (12, 8)
    for group in groups:
        assert {word for word, _ in vectors.most_similar(group[0], topn=4)} == set(group[1:])


def test_reports_tell_what_each_pass_reached_and_it_falls(corpus: Corpus) -> None:
    reports: list[Report] = []
    vectors = train(corpus, CONFIG, callbacks=[lambda report, _: reports.append(report)])
    assert [report.epoch for report in reports] == list(range(7))
    found = [report.loss for report in reports]
    assert (np.diff(found) < 0).all()
    counts = Cooccurrence.from_corpus(corpus, CONFIG)
    dense = counts.matrix.toarray()
    assert vectors.params is not None
    logits = np.asarray(vectors.params.center @ vectors.params.outside.T, np.float64)
    log_y_hat = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found[-1], -(dense * log_y_hat).sum() / dense.sum(), rtol=1e-5)
    np.testing.assert_allclose(reports[0].targets, dense.sum(), rtol=1e-6)


def test_any_optimizer_of_optax_will_do(corpus: Corpus) -> None:
    reports: list[Report] = []
    with jax.numpy_dtype_promotion("standard"):
        train(corpus, CONFIG, optimizer=optax.adam(0.03), callbacks=[lambda report, _: reports.append(report)])
    assert reports[-1].loss < reports[0].loss


def test_the_same_seed_gives_the_same_bits(corpus: Corpus) -> None:
    first, second = train(corpus, CONFIG), train(corpus, CONFIG)
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_tempered_counts_are_their_formula(corpus: Corpus) -> None:
    counts = Cooccurrence.from_corpus(corpus, CONFIG)
    assert tempered(counts, CountsConfig()) is counts
    found = tempered(counts, CountsConfig(count_power=0.5, context_power=0.75)).matrix.toarray()
    expected = np.sqrt(counts.matrix.toarray().astype(np.float64))
    expected *= expected.sum(0) ** -0.25
    np.testing.assert_allclose(found, expected * counts.matrix.sum() / expected.sum(), rtol=1e-5)


@pytest.mark.parametrize("refused", ["held out", "checkpoints"])
def test_what_it_cannot_do_is_refused(refused: str, corpus: Corpus, tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = TrainConfig(**{**CONFIG.__dict__, "held_out": 0.2 * (refused == "held out")})
    checkpoints = CheckpointConfig(tmp_path / "saved" if refused == "checkpoints" else None)
    with pytest.raises(InputError, match="it holds no text out and writes no checkpoints"):
        train(corpus, config, checkpoints=checkpoints)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_count_is_refused() -> None:
    corpus = Corpus.from_sentences([["a"], ["b"]] * 20)
    with pytest.raises(InputError, match="nothing to count"):
        train(corpus, CONFIG)


def test_counts_in_a_named_folder_are_used_again(corpus: Corpus, tmp_path) -> None:  # type: ignore[no-untyped-def]
    named = CountsConfig(tmp_path / "counts")
    first = train(corpus, CONFIG, counts=named)
    assert (tmp_path / "counts").is_dir()
    np.testing.assert_array_equal(train(corpus, CONFIG, counts=named).vectors, first.vectors)
    with pytest.raises(InputError, match="holds counts of window 3, not 4"):
        train(corpus, TrainConfig(**{**CONFIG.__dict__, "window": 4}), counts=named)


def test_the_powers_are_used(corpus: Corpus) -> None:
    plain = train(corpus, TrainConfig(**{**CONFIG.__dict__, "objective": "ppmi-svd"}))
    powers = CountsConfig(count_power=0.5)
    other = train(corpus, TrainConfig(**{**CONFIG.__dict__, "objective": "ppmi-svd"}), counts=powers)
    assert not np.allclose(plain.vectors, other.vectors, atol=1e-2)


def test_the_best_pass_is_what_is_kept(corpus: Corpus) -> None:
    """With a rate at which the loss rises, the start is the best."""
    seen: list[tuple[float, Params]] = []
    see = lambda report, params: seen.append((report.loss, params))
    with jax.numpy_dtype_promotion("standard"):
        kept = train(corpus, CONFIG, optimizer=optax.adam(2.0), callbacks=[see])
    nats = [loss for loss, _ in seen]
    best = seen[int(np.argmin(nats[:-1]))][1]
    assert nats[-1] == min(nats) < nats[-2]  # the last report is of what is kept
    assert kept.params is not None
    np.testing.assert_allclose(kept.params.center @ kept.params.outside.T, best.center @ best.outside.T, atol=1e-2)


def test_row_sparse_optimizers_are_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="every row moves"):
        train(corpus, CONFIG, optimizer=row_sparse(optax.sgd(0.1)))


def test_optax_s_own_line_search_works(corpus: Corpus) -> None:
    reports: list[Report] = []
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        train(corpus, CONFIG, optimizer=optax.lbfgs(), callbacks=[lambda report, _: reports.append(report)])
    assert reports[-1].loss < reports[0].loss


def test_vectors_come_from_the_best_tables_balanced(corpus: Corpus) -> None:
    seen: list[Params] = []
    found = train(corpus, CONFIG, callbacks=[lambda report, params: seen.append(params)])
    expected = balanced(seen[-1], corpus.vocabulary.counts)
    np.testing.assert_allclose(found.vectors, as_vectors(expected, corpus.vocabulary.counts), rtol=1e-4, atol=1e-5)
    assert found.params is not None
    np.testing.assert_allclose(found.params.outside, expected.outside, rtol=1e-4, atol=1e-5)


def test_the_default_optimizer_is_shared_newton(corpus: Corpus) -> None:
    reports: dict[str, list[float]] = {"default": [], "given": []}
    see = lambda name: [lambda report, _: reports[name].append(report.loss)]
    train(corpus, CONFIG, callbacks=see("default"))
    _, problem = coarse_to_fine(Cooccurrence.from_corpus(corpus, CONFIG), CONFIG.dim, CONFIG.seed)
    newton = shared_newton(problem.center_share, problem.outside_share, ridge=float(problem.ridge))
    train(corpus, CONFIG, optimizer=newton, callbacks=see("given"))
    assert reports["given"] == reports["default"]


def ring_with_loners() -> Corpus:
    """Words that stand beside their two neighbours alone, and words that stand beside nothing."""
    ring = [[f"n{i}", f"n{(i + 1) % 60}"] for i in range(60) for _ in range(10)]
    return Corpus.from_sentences(ring + [[f"solo{i}"] for i in range(60) for _ in range(20)])


@pytest.mark.parametrize("dim", [4, 30])
def test_words_beside_nothing_get_numbers_and_the_loss_told_is_that_of_what_is_returned(dim: int) -> None:
    corpus, config = ring_with_loners(), dataclasses.replace(CONFIG, dim=dim)
    reports: list[Report] = []
    found = train(corpus, config, callbacks=[lambda report, _: reports.append(report)])
    assert found.params is not None
    assert np.isfinite(found.vectors).all()
    assert all(np.isfinite(table).all() for table in map(np.asarray, found.params))
    problem = make_problem(Cooccurrence.from_corpus(corpus, config))
    assert reports[-1].loss == pytest.approx(float(losses(found.params, problem).nats), abs=1e-4)
    assert reports[-1].loss < reports[0].loss


def test_a_loss_that_is_no_number_ends_the_training(corpus: Corpus) -> None:
    with pytest.raises(FloatingPointError, match=r"^the loss is \S+ after \d+ passes; lower the optimizer's rate$"):
        train(corpus, CONFIG, optimizer=optax.sgd(1e9))


def test_more_words_than_memory_holds_are_refused_before_the_work(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts_module.os, "sysconf", lambda name: 100)
    with pytest.raises(InputError, match="^12 words of 8 numbers take about .* GB .*; give fewer words"):
        train(corpus, CONFIG)


def test_the_ridge_counts_in_what_is_best(corpus: Corpus) -> None:
    """Steps that lower the loss, and add so much to all outside vectors, which the loss does not see."""

    def update(gradient: Params, state: optax.EmptyState, params: object = None) -> tuple[Params, optax.EmptyState]:
        return Params(-0.1 * gradient.center, 3e3 - 0.1 * gradient.outside), state

    reports: list[Report] = []
    farther = optax.GradientTransformation(lambda _: optax.EmptyState(), update)
    train(corpus, CONFIG, optimizer=farther, callbacks=[lambda report, _: reports.append(report)])
    assert reports[1].loss < reports[0].loss
    assert reports[-1].loss == reports[0].loss
