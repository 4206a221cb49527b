"""Evaluation during training comes at the same steps every time, keeps the best vectors, and stops with patience."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from w2v_jax.config import TrainConfig
from w2v_jax.counts.config import CountsConfig
from w2v_jax.counts.train import train_counts
from w2v_jax.errors import InputError
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import loop, reports
from w2v_jax.training.evaluate_every import EvaluateEvery
from w2v_jax.training.loop import train
from w2v_jax.training.reports import Report
from w2v_jax.vectors.keyed_vectors import KeyedVectors

CONFIG = TrainConfig(dim=8, window=3, epochs=6, sample=0.0, batch_tokens=1024)
COUNTS_CONFIG = CountsConfig(dim=8, window=3, epochs=6, sample=0.0)
TRAIN: dict[str, Callable[..., KeyedVectors]] = {
    "stream": functools.partial(train, config=CONFIG), "counts": functools.partial(train_counts, config=COUNTS_CONFIG)
}  # fmt: skip
cat_dog_similarity = lambda vectors: vectors.similarity("cat", "dog")


@pytest.fixture(autouse=True)
def short_dispatches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BLOCKS_PER_DISPATCH", 2)


@pytest.mark.parametrize("number", [10**9, 1])
def test_other_reports_do_not_change_when_to_evaluate(
    number: int, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "REPORTS_PER_EPOCH", number)
    every_5, every_1 = EvaluateEvery(5, cat_dog_similarity), EvaluateEvery(1, cat_dog_similarity)
    train(corpus, dataclasses.replace(CONFIG, epochs=2), callbacks=[every_5, every_1])
    ends = [0] + [step for step, _ in every_1.scores]  # of every dispatch
    expected = [end for before, end in itertools.pairwise(ends) if end // 5 > before // 5]
    assert [step for step, _ in every_5.scores] == expected
    assert len(expected) > 2


@pytest.mark.parametrize("kind", TRAIN)
def test_the_best_vectors_are_kept_as_they_were(kind: str, corpus: Corpus) -> None:
    """Scores rise, then fall: the best are those of the top, whatever training does afterwards."""
    measured: list[np.ndarray] = []

    def measure(vectors: KeyedVectors) -> float:
        measured.append(np.array(vectors.vectors))
        return [1.0, 3.0, math.nan, 2.0][min(len(measured) - 1, 3)]

    evaluation = EvaluateEvery(2, measure)
    vectors = TRAIN[kind](corpus, callbacks=[evaluation])
    assert evaluation.best is not None
    assert evaluation.best_score == 3.0
    np.testing.assert_array_equal(evaluation.best.vectors, measured[1])
    assert evaluation.best.params is not None
    assert evaluation.best.params.center.shape == (12, 8)
    assert not np.array_equal(measured[1], measured[-1])
    assert vectors.vectors.shape == measured[-1].shape


@pytest.mark.parametrize("kind", TRAIN)
def test_patience_ends_training(kind: str, corpus: Corpus) -> None:
    scores, heard = iter([1.0, 2.0, 1.5, 1.9, 0.0, 0.0, 0.0]), list[Report]()
    evaluation = EvaluateEvery(1, lambda _: next(scores), patience=2)
    vectors = TRAIN[kind](corpus, callbacks=[evaluation, lambda report, _: heard.append(report)])
    assert [score for _, score in evaluation.scores] == [1.0, 2.0, 1.5, 1.9]
    assert heard[-1].step == evaluation.scores[-1][0]  # the other callbacks hear of the last report too
    assert heard[-1].epoch < CONFIG.epochs
    assert len(vectors) == 12


def test_a_callback_stops_training_with_true_alone(corpus: Corpus) -> None:
    heard: list[Report] = []
    train(corpus, CONFIG, callbacks=[lambda report, _: heard.append(report) or 1])  # type: ignore[list-item, return-value]
    assert heard[-1].epoch == CONFIG.epochs


@pytest.mark.parametrize(("steps", "patience", "name"), [(0, None, "steps"), (1, 0, "patience")])
def test_numbers_below_one_are_refused(steps: int, patience: int | None, name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} is 0; it must be at least 1$"):
        EvaluateEvery(steps, cat_dog_similarity, patience=patience)
