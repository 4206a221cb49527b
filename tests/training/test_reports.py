"""Reports add up, however long training runs, and describe their own steps; in files they are JSON lines."""

import itertools
import json
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from w2v_jax.config import TrainConfig
from w2v_jax.models.registry import named_model
from w2v_jax.sampling.stream import stream
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import loop
from w2v_jax.training.loop import default_optimizer, train
from w2v_jax.training.reports import Report, RunningMean, write_json_lines
from w2v_jax.training.state import init_state
from w2v_jax.training.step import Metrics, make_train_step
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.whitening import partial_whiten

FIRST = Report(step=3, words=100, epoch=0.5, loss=2.5, targets=40, held_out_loss=None, seconds=1.5,
               compile_seconds=0.5, words_per_second=66.7, resumed=False)  # fmt: skip


def no_export() -> KeyedVectors:
    raise AssertionError("a report in a file needs no vectors")


def test_the_mean_loss_does_not_drift_over_a_billion_targets() -> None:
    per_block = Metrics(np.full(1_000, 1536 * 2.3456789, np.float32), np.full(1_000, 1536, np.float32))  # type: ignore[arg-type]
    running, float32_sum = RunningMean(), np.float32(0)
    for _ in range(660):
        running = running.add(per_block)
        float32_sum = np.add.accumulate(np.append(float32_sum, per_block.loss), dtype=np.float32)[-1]
    assert running.targets > 10**9
    assert abs(running.mean / 2.3456789 - 1) < 1e-7
    assert abs(float32_sum / running.targets / 2.3456789 - 1) > 1e-4


def test_targets_are_counted_beyond_32_bits() -> None:
    many = Metrics(np.ones(1, np.float32), np.full(3, 2**31, np.float32))  # type: ignore[arg-type]
    assert RunningMean().add(many).targets == 3 * 2**31


def test_lines_of_one_word_report_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.training.reports.REPORTS_PER_EPOCH", 10**9)
    corpus = Corpus.from_sentences([["a", "b"] * 20] + [["a"]] * 40_000)
    reports: list[Report] = []
    train(corpus, TrainConfig(dim=4, sample=0.0, epochs=1), callbacks=[lambda report, _: reports.append(report)])
    assert reports
    assert all(np.isfinite(report.loss) and report.targets for report in reports)


def test_reports_add_up_however_often_they_come_and_evaluate_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.training.loop.BLOCKS_PER_DISPATCH", 2)
    corpus = Corpus.from_sentences([["a", "b", "c", "d"] * 50] * 100)
    config = TrainConfig(dim=4, sample=0.0, epochs=2, batch_tokens=64, held_out=0.3)
    often, seldom = list[Report](), list[Report]()
    for number, reports in ((10**9, often), (1, seldom)):
        monkeypatch.setattr("w2v_jax.training.reports.REPORTS_PER_EPOCH", number)
        train(corpus, config, callbacks=[lambda report, _: reports.append(report)])  # noqa: B023
        assert sum(report.held_out_loss is not None for report in reports) == 2
    assert len(seldom) == 2 < 4 < len(often)
    total = lambda reports: sum(report.targets for report in reports)
    assert total(seldom) == pytest.approx(total(often), rel=1e-6)


def test_the_same_training_reports_the_same_losses_whatever_the_clock(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2v_jax.training.loop.BLOCKS_PER_DISPATCH", 2)
    config, losses = TrainConfig(dim=4, sample=0.0, epochs=2, batch_tokens=64), []
    for seconds in (1e-3, 1e3):
        monkeypatch.setattr(time, "perf_counter", itertools.count(0.0, seconds).__next__)
        losses.append(list[tuple[int, float]]())
        train(corpus, config, callbacks=[lambda report, _: losses[-1].append((report.step, report.loss))])
    assert losses[0] == losses[1]
    assert 30 < len(losses[0]) <= 40


def test_reports_and_vectors_equal_those_of_a_loop_of_ones_own(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.training.reports.REPORTS_PER_EPOCH", 10**9)
    config = TrainConfig(dim=16, window=3, epochs=1, sample=0.0, batch_tokens=64, shared_negatives=32, lr=0.05)
    calls: list[tuple[Report, KeyedVectors]] = []
    vectors = train(corpus, config, callbacks=[lambda report, export: calls.append((report, export()))])
    assert len(calls) > 5
    np.testing.assert_array_equal(calls[-1][1].params, vectors.params)
    assert calls[-1][0].epoch == 1.0

    optimizer, model = default_optimizer(corpus, config), named_model(config, corpus.vocabulary)
    state = init_state(model, jax.random.key(config.seed), corpus.vocabulary, optimizer)
    step, metrics = make_train_step(model, optimizer), []
    for dispatch in stream(corpus, config, blocks=1):
        state, metric = step(state, jax.tree.map(lambda part: part[0], dispatch.blocks))
        metrics.append(metric)
        if len(metrics) in (calls[0][0].step, calls[-1][0].step):
            whitened = partial_whiten(jax.tree.map(lambda table: table + 0, state.tables), 0.1)
            export = calls[0 if len(metrics) == calls[0][0].step else -1][1]
            # Not to the bit: XLA may fuse a step otherwise when it stands in a scan.
            np.testing.assert_allclose(export.vectors, whitened.center, rtol=1e-3, atol=1e-4)
    assert len(metrics) == calls[-1][0].step
    for i, (report, _) in enumerate(calls[:2]):
        own = metrics[i * loop.BLOCKS_PER_DISPATCH : (i + 1) * loop.BLOCKS_PER_DISPATCH]
        assert report.step == (i + 1) * loop.BLOCKS_PER_DISPATCH
        assert report.targets == pytest.approx(sum(float(metric.targets) for metric in own), rel=1e-6)
        assert report.loss == pytest.approx(sum(float(metric.loss) for metric in own) / report.targets, rel=1e-4)


def test_a_report_is_a_line_of_json_and_resumed_training_appends(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("of another training\n")
    write = write_json_lines(file)
    write(FIRST, no_export)
    write(FIRST._replace(step=6, held_out_loss=2.25), no_export)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    assert Report(**lines[0]) == FIRST
    assert lines[1]["held_out_loss"] == 2.25
    write_json_lines(file)(FIRST._replace(step=9, resumed=True), no_export)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [3, 6, 9]
