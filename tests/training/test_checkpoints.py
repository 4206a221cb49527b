"""A resumed training ends with the bits of one that was never stopped, whatever stopped it."""

import dataclasses
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import CheckpointConfig, TextConfig, TrainConfig
from w2v_jax.errors import InputError, TrainingInterrupted
from w2v_jax.params import Params
from w2v_jax.sampling.stream import stream
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import loop
from w2v_jax.training.loop import train
from w2v_jax.training.reports import Callback, Export, Report
from w2v_jax.training.warm_start import load_checkpoint
from w2v_jax.vectors.keyed_vectors import KeyedVectors

CONFIG = TrainConfig(dim=8, window=3, sample=0.01, epochs=3, batch_tokens=64, shared_negatives=8)
KILLS, EVERY = 6, 256
ALL_WORDS = TextConfig(min_count=1)
Saved = tuple[Path, KeyedVectors]
"""A folder of checkpoints, and the vectors that training returned."""


def zipf_corpus(words: int, seed: int = 0) -> Corpus:
    rng = np.random.default_rng(seed)
    return Corpus.from_sentences([[f"w{i}" for i in rng.zipf(1.3, words) if i < 300]], ALL_WORDS)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return zipf_corpus(30_000)


@pytest.fixture(scope="module")
def uninterrupted(corpus: Corpus) -> KeyedVectors:
    return train(corpus, CONFIG)


@pytest.fixture(scope="module")
def finished(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A whole training; copy its folder to change it."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train(corpus, CONFIG, checkpoints=CheckpointConfig(folder, checkpoint_every=EVERY))


@pytest.fixture(scope="module")
def interrupted(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints of a training that was stopped; copy it to change it."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(TrainingInterrupted) as stop:
        train(corpus, CONFIG, checkpoints=CheckpointConfig(folder, EVERY), callbacks=[stop_at(300)])
    assert stop.value.signal == signal.SIGTERM
    return folder


@pytest.fixture(scope="module", autouse=True)
def report_often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("w2v_jax.training.reports.REPORTS_PER_EPOCH", 10**9)
        yield


def stop_at(step: int, number: int = signal.SIGTERM) -> Callback:
    """Return a callback that sends this process a signal at a step."""

    def callback(report: Report, export: Export) -> None:
        if report.step >= step:
            os.kill(os.getpid(), number)

    return callback


def newest(folder: Path) -> Path:
    return max(folder.glob("[0-9]*"), key=lambda path: int(path.name))


def truncate_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "commit_success.txt":
            path.write_bytes(path.read_bytes()[:10])


def test_resume_after_a_signal_gives_the_same_bits(corpus: Corpus, tmp_path: Path) -> None:
    """With the state of Adagrad; other tests resume the default optimizer, after SIGTERM."""
    adagrad, reports = optax.adagrad(0.01), list[Report]()
    checkpoints = CheckpointConfig(tmp_path / "saved", checkpoint_every=EVERY, resume=True)
    with pytest.raises(TrainingInterrupted, match=r"^stopped at step [\d,]+, saved in .*saved; continue with") as stop:
        train(corpus, CONFIG, optimizer=adagrad, checkpoints=checkpoints, callbacks=[stop_at(300, signal.SIGINT)])
    assert stop.value.signal == signal.SIGINT
    callback = lambda report, _: reports.append(report)
    resumed = train(corpus, CONFIG, optimizer=adagrad, checkpoints=checkpoints, callbacks=[callback])
    assert reports[0].step > 300
    assert all(report.resumed for report in reports)
    assert all(report.words_per_second * report.seconds < report.words - 1 for report in reports)  # this process's own
    np.testing.assert_array_equal(resumed.params, train(corpus, CONFIG, optimizer=adagrad).params)


def test_checkpoints_change_no_bits_and_replace_old_ones(
    corpus: Corpus, finished: Saved, uninterrupted: KeyedVectors
) -> None:
    folder, vectors = finished
    np.testing.assert_array_equal(vectors.vectors, uninterrupted.vectors)
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    assert len(steps) == 2
    assert steps[0] % EVERY < loop.BLOCKS_PER_DISPATCH
    config, reports = dataclasses.replace(CONFIG, whitening=0.1), list[Report]()  # the default whitening, as a number
    checkpoints = CheckpointConfig(folder, resume=True)
    again = train(corpus, config, checkpoints=checkpoints, callbacks=[lambda report, _: reports.append(report)])
    np.testing.assert_array_equal(again.vectors, vectors.vectors)
    assert reports == []  # nothing was trained again


def test_a_folder_with_checkpoints_is_not_overwritten(corpus: Corpus, finished: Saved) -> None:
    half_written = finished[0] / "9999.orbax-checkpoint-tmp-1"  # perhaps of a training that still runs
    half_written.mkdir()
    with pytest.raises(InputError, match=r"holds a checkpoint of step [\d,]+; resume from it \(--resume\), or name"):
        train(corpus, CONFIG, checkpoints=CheckpointConfig(finished[0]))
    assert half_written.exists()
    half_written.rmdir()


@pytest.mark.parametrize("tables", [None, Params(jnp.ones((2, 8)), jnp.ones((2, 8)))], ids=["fresh", "given"])
def test_nothing_to_learn_leaves_no_training_to_resume(tables: Params | None, tmp_path: Path) -> None:
    lonely = Corpus.from_sentences([["a"], ["b"]] * 5, ALL_WORDS)
    checkpoints = CheckpointConfig(tmp_path, checkpoint_every=1, resume=True)
    for _ in range(2):
        with pytest.raises(InputError, match="nothing to learn"):
            train(lonely, CONFIG, checkpoints=checkpoints, tables=tables)


@pytest.mark.parametrize("is_last", [False, True])
def test_nan_tables_replace_no_checkpoint(is_last: bool, corpus: Corpus, tmp_path: Path) -> None:
    """At an interval's end, and at the end of training where only the very last step gives NaN; so after a resume."""
    steps = sum(dispatch.filled for dispatch in stream(corpus, CONFIG, blocks=64))
    bad_step = steps - 1 if is_last else 200
    optimizer = optax.sgd(lambda step: jnp.where(step < bad_step, 0.01, jnp.nan))
    every = steps // loop.BLOCKS_PER_DISPATCH * loop.BLOCKS_PER_DISPATCH if is_last else 1
    checkpoints = CheckpointConfig(tmp_path, checkpoint_every=every, resume=True)
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="lower the learning rate, and name another folder"):
            train(corpus, CONFIG, optimizer=optimizer, checkpoints=checkpoints)
        state, _ = load_checkpoint(tmp_path)
        assert int(state.step) == (every if is_last else 3 * loop.BLOCKS_PER_DISPATCH)
        assert all(np.isfinite(table).all() for table in state.tables)


def test_another_training_is_refused_by_its_differences(corpus: Corpus, finished: Saved) -> None:
    checkpoints = CheckpointConfig(finished[0], resume=True)
    other = dataclasses.replace(CONFIG, window=4, epochs=2, whitening=0.0)
    differences = "window is 3 there and 4 here; epochs is 3 there and 2 here; whitening is 0.1 there and 0.0 here"
    with pytest.raises(
        InputError, match=f"is of another training: {differences}; .* start from its tables with --init {finished[0]}"
    ):
        train(corpus, other, checkpoints=checkpoints)
    with pytest.raises(InputError, match=r"is of another training: the vocabulary differs; the corpus differs"):
        train(zipf_corpus(30_000, seed=1), CONFIG, checkpoints=checkpoints)
    with pytest.raises(InputError, match=r"is of another training: the optimizer differs;"):
        train(corpus, CONFIG, optimizer=optax.adagrad(0.1), checkpoints=checkpoints)


@pytest.mark.parametrize("item", ["state", "about"])
def test_a_damaged_checkpoint_is_named(item: str, corpus: Corpus, finished: Saved, tmp_path: Path) -> None:
    folder = shutil.copytree(finished[0], tmp_path / "copy")
    truncate_files(newest(folder) / item)
    with pytest.raises(InputError, match=rf"{newest(folder).name}: cannot be read; if it is one of this .*, delete it"):
        train(corpus, CONFIG, checkpoints=CheckpointConfig(folder, resume=True))


def test_a_folder_that_cannot_be_written_is_named(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/in"):
        with pytest.raises(InputError, match=rf"{folder}: cannot hold checkpoints: [^\[]*; name another folder"):
            train(corpus, CONFIG, checkpoints=CheckpointConfig(tmp_path / folder))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves an error unraised
def test_a_full_disk_leaves_the_last_good_checkpoint(
    corpus: Corpus, interrupted: Path, uninterrupted: KeyedVectors, tmp_path: Path, room_for: Any
) -> None:
    """No file may exceed 2,000 bytes while the second checkpoint is written."""
    folder = shutil.copytree(interrupted, tmp_path / "saved")
    checkpoints = CheckpointConfig(folder, checkpoint_every=EVERY, resume=True)
    with room_for(2_000), pytest.raises(InputError, match=r"saved: a checkpoint cannot be written: .*File too large"):
        train(corpus, CONFIG, checkpoints=checkpoints)
    np.testing.assert_array_equal(train(corpus, CONFIG, checkpoints=checkpoints).vectors, uninterrupted.vectors)


def test_resume_takes_the_largest_whole_step_whatever_the_clock(
    corpus: Corpus, interrupted: Path, uninterrupted: KeyedVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(interrupted, tmp_path / "saved")
    (folder / "9999.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    (folder / "9999.orbax-checkpoint-tmp" / "state" / "d").write_bytes(b"half")
    hours = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 1e9 - 3600 * next(hours))
    checkpoints = CheckpointConfig(folder, checkpoint_every=EVERY, resume=True)
    with pytest.raises(TrainingInterrupted):
        train(corpus, CONFIG, checkpoints=checkpoints, callbacks=[stop_at(520)])
    older, newer = sorted(folder.glob("[0-9]*"), key=lambda path: int(path.name))  # the half-written one is gone
    os.utime(newer, (1, older.stat().st_mtime - 1e6))
    steps: list[int] = []
    resumed = train(corpus, CONFIG, checkpoints=checkpoints, callbacks=[lambda report, _: steps.append(report.step)])
    assert min(steps) > 520
    np.testing.assert_array_equal(resumed.vectors, uninterrupted.vectors)


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_training_on_the_folder_is_refused(
    resume: bool, corpus: Corpus, uninterrupted: KeyedVectors, tmp_path: Path
) -> None:
    """The first ends as if it were alone; then the folder is free."""
    checkpoints = CheckpointConfig(tmp_path, checkpoint_every=EVERY, resume=resume)
    refusals: list[int] = []

    def start_another(report: Report, export: Export) -> None:
        if not refusals:
            with pytest.raises(InputError, match="another training writes there; wait, or name another"):
                train(corpus, CONFIG, checkpoints=checkpoints)
            refusals.append(report.step)

    first = train(corpus, CONFIG, checkpoints=checkpoints, callbacks=[start_another])
    again = train(corpus, CONFIG, checkpoints=dataclasses.replace(checkpoints, resume=True))
    for vectors in (first, again):
        np.testing.assert_array_equal(vectors.vectors, uninterrupted.vectors)
    assert refusals


CHILD = """
import sys, time
from pathlib import Path
from w2v_jax.config import CheckpointConfig
from w2v_jax.training import loop, reports
from w2v_jax.text.corpus import Corpus
from tests.training.test_checkpoints import ALL_WORDS, CONFIG, EVERY

reports.REPORTS_PER_EPOCH = 10**9
folder = Path(sys.argv[1])
with open(folder / "steps", "a", buffering=1) as steps:
    print("start", file=steps)

    def slowly(report, export):
        print(report.step, file=steps)
        time.sleep(0.03)

    checkpoints = CheckpointConfig(folder / "saved", EVERY, resume=True)
    corpus = Corpus.from_file(folder / "text", ALL_WORDS, cache=folder / "cache")
    trained = loop.train(corpus, CONFIG, checkpoints=checkpoints, callbacks=[slowly])
trained.save(folder / "vectors.bin")
"""


def test_kills_at_any_moment_change_no_bits(tmp_path: Path) -> None:
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    start = lambda: subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    corpus, steps_file = zipf_corpus(140_000), tmp_path / "steps"
    steps_file.touch()
    (tmp_path / "text").write_text(" ".join(np.array(corpus.vocabulary.words)[corpus.ids]))
    expected = train(Corpus.from_file(tmp_path / "text", ALL_WORDS, cache=tmp_path / "cache"), CONFIG)
    delay = random.Random(0)
    for _ in range(KILLS):
        size = steps_file.stat().st_size
        child = start()
        while child.poll() is None and steps_file.stat().st_size <= size + len("start\n"):
            time.sleep(0.01)  # until the first step
        time.sleep(delay.uniform(0, 0.6))
        assert child.poll() is None, "the child ended before its last kill: give it more text"
        child.kill()
        child.wait()
    assert start().wait() == 0
    attempts = [[int(line) for line in attempt.split()] for attempt in steps_file.read_text().split("start\n")[1:]]
    np.testing.assert_array_equal(KeyedVectors.load(tmp_path / "vectors.bin").vectors, expected.vectors)
    steps_run = sum(steps[-1] - steps[0] + loop.BLOCKS_PER_DISPATCH for steps in attempts if steps)
    assert steps_run <= attempts[-1][-1] + KILLS * EVERY
    assert sum(map(len, attempts)) > 3 * KILLS
