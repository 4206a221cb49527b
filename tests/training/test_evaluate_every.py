"""Measured on the way: at the same steps every time, the best kept, and no longer than patience lasts."""

import itertools
import math

import numpy as np
import pytest

from w2v_jax.config import Objective, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import loop, reports
from w2v_jax.training.evaluate_every import EvaluateEvery
from w2v_jax.training.loop import train
from w2v_jax.training.reports import Report
from w2v_jax.vectors.keyed_vectors import KeyedVectors

CONFIG = TrainConfig(dim=8, window=3, epochs=6, sample=0.0, block=1024)


@pytest.fixture(autouse=True)
def short_dispatches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "DISPATCH", 2)


def nearness(vectors: KeyedVectors) -> float:
    return vectors.similarity("cat", "dog")


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_the_steps_alone_decide_where(seconds: float, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "REPORT_SECONDS", seconds)
    measured = EvaluateEvery(5, nearness, corpus.vocabulary)
    train(corpus, CONFIG, callbacks=[measured])
    steps = [step for step, _ in measured.scores]
    last = EvaluateEvery(1, nearness, corpus.vocabulary)
    train(corpus, CONFIG, callbacks=[last])
    ends = [0] + [step for step, _ in last.scores]  # of every dispatch
    assert steps == [end for before, end in itertools.pairwise(ends) if end // 5 > before // 5]
    assert len(steps) > 2


@pytest.mark.parametrize("objective", ["negative-sampling", "softmax-counts"])
def test_the_best_is_kept_as_it_was(objective: Objective, corpus: Corpus) -> None:
    """Scores rise, then fall: what is kept is what was measured at the top, whatever training did since."""
    seen: list[np.ndarray] = []

    def measure(vectors: KeyedVectors) -> float:
        seen.append(np.array(vectors.vectors))
        return [1.0, 3.0, math.nan, 2.0][min(len(seen) - 1, 3)]

    config = TrainConfig(**{**CONFIG.__dict__, "objective": objective})
    measured = EvaluateEvery(2, measure, corpus.vocabulary, objective)
    vectors = train(corpus, config, callbacks=[measured])
    assert measured.best is not None
    assert measured.best_score == 3.0
    np.testing.assert_array_equal(measured.best.vectors, seen[1])
    assert measured.best.params is not None
    assert measured.best.params.center.shape == (12, 8)
    assert not np.array_equal(seen[1], seen[-1])
    assert vectors.vectors.shape == seen[-1].shape


@pytest.mark.parametrize("objective", ["negative-sampling", "softmax-counts"])
def test_patience_ends_the_training(objective: Objective, corpus: Corpus) -> None:
    scores = iter([1.0, 2.0, 1.5, 1.9, 0.0, 0.0, 0.0])
    measured = EvaluateEvery(1, lambda _: next(scores), corpus.vocabulary, objective, patience=2)
    heard: list[Report] = []
    hear = lambda report, _: heard.append(report)
    config = TrainConfig(**{**CONFIG.__dict__, "objective": objective})
    vectors = train(corpus, config, callbacks=[measured, hear])
    assert [score for _, score in measured.scores] == [1.0, 2.0, 1.5, 1.9]
    assert heard[-1].step == measured.scores[-1][0]  # the others hear of the last one too
    assert heard[-1].epoch < config.epochs
    assert len(vectors) == 12


def test_a_callback_that_returns_something_else_stops_nothing(corpus: Corpus) -> None:
    heard: list[Report] = []
    train(corpus, CONFIG, callbacks=[lambda report, _: heard.append(report) or 1])  # type: ignore[list-item, return-value]
    assert heard[-1].epoch == CONFIG.epochs


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("patience", 0)])
def test_refuses(field: str, value: int, corpus: Corpus) -> None:
    arguments = {"steps": 1, "patience": None, field: value}
    with pytest.raises(InputError, match=f"^{field} is 0; it must be at least 1$"):
        EvaluateEvery(arguments["steps"], nearness, corpus.vocabulary, patience=arguments["patience"])
