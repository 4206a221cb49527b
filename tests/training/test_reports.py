"""What training tells of itself adds up, however long it runs."""

import itertools

import numpy as np
import pytest

from w2v_jax.config import TrainConfig
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.loop import train
from w2v_jax.training.reports import Report, Tally
from w2v_jax.training.step import Metrics


def test_the_mean_loss_does_not_drift_over_a_billion_targets() -> None:
    per_block = Metrics(np.full(1_000, 1536 * 2.3456789, np.float32), np.full(1_000, 1536, np.float32))  # type: ignore[arg-type]
    tally, drifting = Tally(), np.float32(0)
    for _ in itertools.repeat(None, 660):
        tally = tally.add(per_block)
        drifting = np.add.accumulate(np.append(drifting, per_block.loss), dtype=np.float32)[-1]
    assert tally.targets > 10**9
    assert abs(tally.mean / 2.3456789 - 1) < 1e-7
    assert abs(drifting / tally.targets / 2.3456789 - 1) > 1e-4  # what a float32 sum would say


def test_targets_are_counted_beyond_32_bits() -> None:
    many = Metrics(np.ones(1, np.float32), np.full(3, 2**31, np.float32))  # type: ignore[arg-type]
    assert Tally().add(many).targets == 3 * 2**31


def test_lines_of_one_word_report_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)
    corpus = Corpus.from_sentences([["a", "b"] * 20] + [["a"]] * 40_000)
    reports: list[Report] = []
    config = TrainConfig(dim=4, sample=0.0, epochs=1)
    train(corpus, config, callbacks=[lambda report, params: reports.append(report)])
    assert reports
    assert all(np.isfinite(report.loss) and report.targets for report in reports)


def test_seldom_or_often_the_reports_hold_every_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.training.loop.DISPATCH", 2)
    corpus = Corpus.from_sentences([["a", "b", "c", "d"] * 5] * 200)
    config = TrainConfig(dim=4, sample=0.0, epochs=2, block=64)
    seen: list[float] = []
    totals = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", seconds)
        seen.clear()
        train(corpus, config, callbacks=[lambda report, params: seen.append(report.targets)])
        totals.append((sum(seen), len(seen)))
    (often, many), (seldom, few) = totals
    assert few == 2 < many
    assert seldom == pytest.approx(often, rel=1e-6)


def test_the_held_out_text_is_looked_at_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.training.loop.DISPATCH", 2)
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)
    corpus = Corpus.from_sentences([["a", "b", "c", "d"] * 50] * 100)
    seen: list[float | None] = []
    config = TrainConfig(dim=4, sample=0.0, epochs=2, block=64, held_out=0.3)
    train(corpus, config, callbacks=[lambda report, params: seen.append(report.held_out_loss)])
    assert len(seen) > 4
    assert sum(loss is not None for loss in seen) == 2
