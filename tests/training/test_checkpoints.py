"""Resume: the bits of a training that was never stopped, whatever stopped it."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import CheckpointConfig, TextConfig, TrainConfig
from w2v_jax.errors import InputError, Stopped
from w2v_jax.params import Params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import loop
from w2v_jax.training.loop import train
from w2v_jax.training.reports import Callback, Report
from w2v_jax.training.start import load_checkpoint
from w2v_jax.training.stream import stream

CONFIG = TrainConfig(dim=8, window=3, sample=0.01, epochs=3, block=64, noise=8)
KILLS, EVERY = 10, 256
ALL = TextConfig(min_count=1)


def corpus_of(words: int, seed: int = 0) -> Corpus:
    rng = np.random.default_rng(seed)
    return Corpus.from_sentences([[f"w{i}" for i in rng.zipf(1.3, words) if i < 300]], TextConfig(min_count=1))


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return corpus_of(30_000)


@pytest.fixture(autouse=True)
def report_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)


def stop_at(step: int, number: int = signal.SIGTERM) -> Callback:
    """Ask this process to stop, once, when training has come to a step."""

    def callback(report: Report, params: Params) -> None:
        if report.step >= step and not sent:
            sent.append(step)
            os.kill(os.getpid(), number)

    sent: list[int] = []
    return callback


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("optimizer", [None, optax.adagrad(0.01)], ids=["default", "adagrad"])
def test_stopped_and_resumed_it_ends_with_the_same_bits(
    number: int, optimizer: optax.GradientTransformation | None, corpus: Corpus, tmp_path: Path
) -> None:
    whole = train(corpus, CONFIG, optimizer=optimizer)
    where = CheckpointConfig(tmp_path / "saved", checkpoint_every=EVERY, resume=True)
    with pytest.raises(Stopped, match=r"^stopped at step [\d,]+, saved in .*saved; go on with --resume$") as stopped:
        train(corpus, CONFIG, optimizer=optimizer, checkpoints=where, callbacks=[stop_at(300, number)])
    assert stopped.value.signal == number
    reports: list[Report] = []
    rest = train(
        corpus, CONFIG, optimizer=optimizer, checkpoints=where, callbacks=[lambda report, _: reports.append(report)]
    )
    assert reports[0].step > 300
    assert all(report.words_per_second * report.seconds < report.words - 1 for report in reports)  # this process's own
    for ours, theirs in zip(rest.params, whole.params, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_checkpoints_change_nothing_and_old_ones_go(corpus: Corpus, tmp_path: Path) -> None:
    where = CheckpointConfig(tmp_path, checkpoint_every=EVERY)
    np.testing.assert_array_equal(train(corpus, CONFIG, checkpoints=where).vectors, train(corpus, CONFIG).vectors)
    steps = sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit())
    assert len(steps) == 2
    assert steps[0] % EVERY < loop.DISPATCH


def test_a_finished_training_resumes_to_its_end(corpus: Corpus, tmp_path: Path) -> None:
    where = CheckpointConfig(tmp_path, resume=True)
    done = train(corpus, CONFIG, checkpoints=where)
    seen: list[Report] = []
    again = train(corpus, CONFIG, checkpoints=where, callbacks=[lambda report, _: seen.append(report)])
    np.testing.assert_array_equal(again.vectors, done.vectors)
    assert seen == []  # nothing was trained again


def test_a_folder_with_checkpoints_is_not_written_over(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, CONFIG, checkpoints=CheckpointConfig(tmp_path))
    with pytest.raises(InputError, match=r"holds a checkpoint of step [\d,]+; resume from it \(--resume\), or name"):
        train(corpus, CONFIG, checkpoints=CheckpointConfig(tmp_path))


def test_a_refused_start_leaves_a_running_trainings_half_written_checkpoint(corpus: Corpus, tmp_path: Path) -> None:
    train(corpus, CONFIG, checkpoints=CheckpointConfig(tmp_path))
    half_written = tmp_path / "9999.orbax-checkpoint-tmp-1"
    half_written.mkdir()
    with pytest.raises(InputError, match="holds a checkpoint"):
        train(corpus, CONFIG, checkpoints=CheckpointConfig(tmp_path))
    assert half_written.exists()


@pytest.mark.parametrize("given", [False, True])
def test_nothing_to_learn_is_no_training_to_resume(given: bool, tmp_path: Path) -> None:
    lonely = Corpus.from_sentences([["a"], ["b"]] * 5, TextConfig(min_count=1))
    params = Params(jnp.ones((2, 8)), jnp.ones((2, 8))) if given else None
    for _ in range(2):
        with pytest.raises(InputError, match="nothing to learn"):
            train(
                lonely, CONFIG, checkpoints=CheckpointConfig(tmp_path, checkpoint_every=1, resume=True), params=params
            )


@pytest.mark.parametrize("last", [False, True])
def test_what_is_no_number_replaces_no_checkpoint(last: bool, corpus: Corpus, tmp_path: Path) -> None:
    """With every interval's, and with the last, where only the very last step gives none; what is there can be
    resumed from, and is no number again."""
    steps = sum(some.filled for some in stream(corpus, CONFIG, blocks=64))
    number = steps - 1 if last else 200
    optimizer = optax.sgd(lambda step: jnp.where(step < number, 0.01, jnp.nan))
    every = steps // loop.DISPATCH * loop.DISPATCH if last else 1
    where = CheckpointConfig(tmp_path, checkpoint_every=every, resume=True)
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="lower the learning rate, and name another folder"):
            train(corpus, CONFIG, optimizer=optimizer, checkpoints=where)
        state, _ = load_checkpoint(tmp_path)
        assert int(state.step) == (every if last else 3 * loop.DISPATCH)
        assert all(np.isfinite(table).all() for table in state.params)


def test_another_training_is_refused_with_what_differs(corpus: Corpus, tmp_path: Path) -> None:
    where = CheckpointConfig(tmp_path, resume=True)
    train(corpus, CONFIG, checkpoints=where)
    other = TrainConfig(**{**CONFIG.__dict__, "window": 4, "epochs": 2})
    with pytest.raises(InputError, match=r"another training: window is 3 there and 4 here; epochs is 3 there and 2 he"):
        train(corpus, other, checkpoints=where)
    with pytest.raises(InputError, match=r"is of another training: the vocabulary differs; the corpus differs"):
        train(corpus_of(30_000, seed=1), CONFIG, checkpoints=where)
    with pytest.raises(InputError, match=r"is of another training: the optimizer differs"):
        train(corpus, CONFIG, optimizer=optax.adagrad(0.1), checkpoints=where)


@pytest.mark.parametrize("damage", ["state", "about"])
def test_a_damaged_checkpoint_is_named(damage: str, corpus: Corpus, tmp_path: Path) -> None:
    where = CheckpointConfig(tmp_path, resume=True)
    train(corpus, CONFIG, checkpoints=where)
    newest = max(tmp_path.glob("[0-9]*"), key=lambda path: int(path.name))
    for path in (newest / damage).rglob("*"):
        if path.is_file() and path.name != "commit_success.txt":
            path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(
        InputError, match=rf"{newest.name}: cannot be read; if it is one of this training's checkpoints, delete it"
    ):
        train(corpus, CONFIG, checkpoints=where)


def test_a_folder_that_cannot_be_made(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/in"):
        with pytest.raises(InputError, match=rf"{folder}: cannot hold checkpoints: [^\[]*; name another folder"):
            train(corpus, CONFIG, checkpoints=CheckpointConfig(tmp_path / folder))


def test_a_checkpoint_that_cannot_be_written(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **named: object) -> None:
        raise ValueError("no space")

    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", full)
    with pytest.raises(InputError, match="a checkpoint cannot be written: no space"):
        train(corpus, CONFIG, checkpoints=CheckpointConfig(tmp_path))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves an error lying about
def test_a_disk_that_fills_up_leaves_the_last_good_checkpoint(
    corpus: Corpus, tmp_path: Path, room_for: Callable[[int], AbstractContextManager[None]]
) -> None:
    """In truth: no file may grow over 2,000 bytes while the second checkpoint is written."""
    where = CheckpointConfig(tmp_path / "saved", checkpoint_every=EVERY, resume=True)
    with pytest.raises(Stopped):
        train(corpus, CONFIG, checkpoints=where, callbacks=[stop_at(300)])
    with (
        room_for(2_000),
        pytest.raises(InputError, match=r"saved: a checkpoint cannot be written: .*File too large") as error,
    ):
        train(corpus, CONFIG, checkpoints=where)
    assert "\n" not in " ".join(str(error.value).splitlines())
    np.testing.assert_array_equal(train(corpus, CONFIG, checkpoints=where).vectors, train(corpus, CONFIG).vectors)


def test_a_half_written_checkpoint_is_passed_over(corpus: Corpus, tmp_path: Path) -> None:
    where = CheckpointConfig(tmp_path, checkpoint_every=EVERY, resume=True)
    with pytest.raises(Stopped):
        train(corpus, CONFIG, checkpoints=where, callbacks=[stop_at(300)])
    half_written = tmp_path / "9999.orbax-checkpoint-tmp"
    (half_written / "state").mkdir(parents=True)
    (half_written / "state" / "d").write_bytes(b"half")
    np.testing.assert_array_equal(train(corpus, CONFIG, checkpoints=where).vectors, train(corpus, CONFIG).vectors)
    assert not half_written.exists()


def test_clocks_that_go_backwards(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints go by steps: the newest is the one of the largest, whatever the time that it bears."""
    hours = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 2e9 - 3600 * next(hours))
    where = CheckpointConfig(tmp_path, checkpoint_every=EVERY, resume=True)
    for stop in (130, 320):
        with pytest.raises(Stopped):
            train(corpus, CONFIG, checkpoints=where, callbacks=[stop_at(stop)])
    for older, newer in itertools.pairwise(sorted(tmp_path.glob("[0-9]*"), key=lambda path: int(path.name))):
        os.utime(newer, (1, older.stat().st_mtime - 1e6))
    reports: list[Report] = []
    rest = train(corpus, CONFIG, checkpoints=where, callbacks=[lambda report, _: reports.append(report)])
    assert reports[0].step > 320
    np.testing.assert_array_equal(rest.vectors, train(corpus, CONFIG).vectors)


@pytest.mark.parametrize("resume", [False, True])
def test_two_runs_on_one_folder(resume: bool, corpus: Corpus, tmp_path: Path) -> None:
    """The second is refused while the first runs, which ends as if alone; then the folder is free."""
    where = CheckpointConfig(tmp_path, checkpoint_every=EVERY, resume=resume)
    refused: list[str] = []

    def start_another(report: Report, params: Params) -> None:
        if not refused:
            with pytest.raises(InputError, match="another training writes there; wait for it, or name") as error:
                train(corpus, CONFIG, checkpoints=where)
            refused.append(str(error.value))

    first = train(corpus, CONFIG, checkpoints=where, callbacks=[start_another])
    assert refused
    np.testing.assert_array_equal(first.vectors, train(corpus, CONFIG).vectors)
    again = CheckpointConfig(tmp_path, checkpoint_every=EVERY, resume=True)
    np.testing.assert_array_equal(train(corpus, CONFIG, checkpoints=again).vectors, first.vectors)


def test_resume_needs_a_folder() -> None:
    with pytest.raises(InputError, match="resume needs the folder"):
        CheckpointConfig(resume=True)


CHILD = """
import sys, time
from pathlib import Path
from w2v_jax.config import CheckpointConfig
from w2v_jax.training import loop, reports
from w2v_jax.text.corpus import Corpus
from tests.training.test_checkpoints import ALL, CONFIG, EVERY

reports.REPORT_SECONDS = 0.0
folder = Path(sys.argv[1])
with open(folder / "steps", "a", buffering=1) as steps:
    print("start", file=steps)

    def slowly(report, params):
        print(report.step, file=steps)
        time.sleep(0.03)

    where = CheckpointConfig(folder / "saved", EVERY, resume=True)
    corpus = Corpus.from_file(folder / "text", ALL, cache=folder / "cache")
    trained = loop.train(corpus, CONFIG, checkpoints=where, callbacks=[slowly])
trained.save(folder / "vectors.bin")
"""


def test_killed_ten_times_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    start = lambda: subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stderr=subprocess.DEVNULL, env=environment
    )
    corpus = corpus_of(400_000)
    (tmp_path / "text").write_text(" ".join(np.array(corpus.vocabulary.words)[corpus.ids]))
    whole = train(Corpus.from_file(tmp_path / "text", ALL, cache=tmp_path / "cache"), CONFIG)
    moment = random.Random(0)
    kills = 0
    while kills < KILLS:
        seen = (tmp_path / "steps").stat().st_size if (tmp_path / "steps").exists() else 0
        child = start()
        while child.poll() is None and (
            not (tmp_path / "steps").exists() or (tmp_path / "steps").stat().st_size <= seen + len("start\n")
        ):
            time.sleep(0.01)  # until its first step
        time.sleep(moment.uniform(0, 0.6))
        assert child.poll() is None, "it ended before it was killed ten times: give it more to do"
        child.kill()
        child.wait()
        kills += 1
    assert start().wait() == 0
    attempts = [
        [int(line) for line in attempt.split()] for attempt in (tmp_path / "steps").read_text().split("start\n")[1:]
    ]
    np.testing.assert_array_equal(type(whole).load(tmp_path / "vectors.bin").vectors, whole.vectors)
    total = attempts[-1][-1]
    run = sum(steps[-1] - steps[0] + loop.DISPATCH for steps in attempts if steps)
    assert run <= total + KILLS * EVERY
    assert json.dumps(attempts).count(",") > 2 * KILLS
