"""Several processes train together: shards of a text, one vocabulary, one output file, and a process that is lost."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from w2v_jax.config import TrainConfig
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.loop import train
from w2v_jax.vectors.keyed_vectors import KeyedVectors

FLAGS = "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=1"
EPOCHS = 8
OPTIONS = ["--dim", "8", "--epochs", str(EPOCHS), "--lr", "0.2", "--sample", "0", "--seed", "1", "--timeout", "20"]


@pytest.fixture(scope="module")
def text(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the groups' sentences to a file; only its first half has the word unicorn."""
    words = np.array(corpus.vocabulary.words)[corpus.ids].reshape(-1, 8).tolist()
    path = tmp_path_factory.mktemp("text") / "text.txt"
    first, second = (words[at : at + 2_000] for at in (0, 2_000))
    path.write_text("\n".join(" ".join(line) for line in [*first, ["unicorn"] * 5, *second]) + "\n")
    return path


class Job:
    """Processes started together, each with its log."""

    def __init__(self, text: Path, out: Path, count: int, *more: str) -> None:
        with socket.create_server(("localhost", 0)) as free:
            port = free.getsockname()[1]
        compiled, cache = str(text.parent / "compiled"), ["--cache", str(text.parent / "cache")]
        environment = {**os.environ, "XLA_FLAGS": FLAGS, "JAX_COMPILATION_CACHE_DIR": compiled}
        logs = Path(tempfile.mkdtemp(dir=text.parent))
        self.logs = [logs / str(i) for i in range(count)]
        self.processes = []
        for i, log in enumerate(self.logs):
            connection = ["--coordinator", f"localhost:{port}", "--processes", str(count), "--process", str(i)]
            command = [sys.executable, "-m", "w2v_jax", "train", str(text), "--out", str(out), *OPTIONS, *more]
            with open(log, "wb") as file:
                start = [*command, *connection, *cache]
                self.processes.append(subprocess.Popen(start, stdout=file, stderr=file, env=environment))

    def wait(self) -> list[str]:
        """Return "status: last line" of each process, when all have ended."""
        try:
            status = [process.wait(120) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
        logs = [log.read_text().splitlines() for log in self.logs]
        return [f"{number}: {(lines or [''])[-1]}" for number, lines in zip(status, logs, strict=True)]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, while all processes run."""
        while not condition():
            assert all(process.poll() is None for process in self.processes), self.wait()
            time.sleep(0.02)


def separation(vectors: KeyedVectors, groups: tuple[list[str], ...]) -> float:
    """Return the mean similarity within a group, less that between the groups."""
    within = [vectors.similarity(a, b) for group in groups for a in group for b in group if a != b]
    across = [vectors.similarity(a, b) for a in groups[0] for b in groups[1]]
    return float(np.mean(within) - np.mean(across))


@pytest.fixture(scope="module")
def uninterrupted(text: Path) -> Path:
    """Train by two processes without interruption."""
    job = Job(text, text.parent / "uninterrupted.bin", 2)
    lines = job.wait()
    assert lines[0].startswith("0: 13 vectors in"), lines
    assert lines[1].startswith("0: ")
    assert "vectors in" not in job.logs[1].read_text()  # only the first one prints
    return text.parent / "uninterrupted.bin"


@pytest.fixture(scope="module")
def alone(text: Path) -> KeyedVectors:
    """Train by one process."""
    config = TrainConfig(dim=8, epochs=EPOCHS, lr=0.2, sample=0.0, seed=1)
    return train(Corpus.from_file(text, cache=text.parent / "cache"), config)


def test_two_and_four_processes_learn_as_one_does(
    text: Path, uninterrupted: Path, alone: KeyedVectors, tmp_path: Path, groups: tuple[list[str], ...]
) -> None:
    lines = Job(text, tmp_path / "v.bin", 4).wait()
    assert lines[0].startswith("0: 13 vectors in"), lines
    for vectors in map(KeyedVectors.load, (uninterrupted, tmp_path / "v.bin")):
        assert list(vectors.words) == list(alone.words)
        assert "unicorn" in vectors.words
        assert separation(vectors, groups) > 0.95 * separation(alone, groups) > 0.5


def test_training_resumed_after_a_lost_process_gives_the_same_bits(
    text: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """One process is killed, and the other says so. Resumed, one gets SIGTERM, and both save. Then they finish."""
    saved = ["--checkpoint-dir", str(tmp_path / "saved"), "--checkpoint-every", "64", "--resume"]
    job = Job(text, tmp_path / "v.bin", 2, *saved)
    job.wait_for(lambda: any(path.name.isdigit() for path in (tmp_path / "saved").glob("*")))
    job.processes[1].kill()
    lines = job.wait()
    assert lines[0].startswith("1: w2v_jax: process 0: another process has ended, or cannot be reached"), lines
    assert not (tmp_path / "v.bin").exists()

    job = Job(text, tmp_path / "v.bin", 2, *saved)
    job.wait_for(lambda: "resumed from step" in job.logs[0].read_text())
    job.processes[1].terminate()
    lines = job.wait()
    assert all(line.startswith("143: w2v_jax: stopped at step ") for line in lines), lines

    lines = Job(text, tmp_path / "v.bin", 2, *saved).wait()
    assert lines[0].startswith("0: 13 vectors"), lines
    assert (tmp_path / "v.bin").read_bytes() == uninterrupted.read_bytes()


def test_sharded_tables_are_saved_and_resumed(text: Path, tmp_path: Path) -> None:
    """Each process holds half of the rows; training resumed at its end gives the same vectors."""
    saved = ["--checkpoint-dir", str(tmp_path / "saved"), "--checkpoint-every", "64", "--resume"]
    for name in ("first.bin", "again.bin"):
        lines = Job(text, tmp_path / name, 2, "--vocabulary-shards", "2", *saved).wait()
        assert lines[0].startswith("0: 13 vectors in"), lines
    assert (tmp_path / "first.bin").read_bytes() == (tmp_path / "again.bin").read_bytes()


def test_sigterm_ends_training_without_checkpoints(text: Path, tmp_path: Path) -> None:
    job = Job(text, tmp_path / "v.bin", 2, "--epochs", "100000", "--metrics", str(tmp_path / "out.jsonl"))
    job.wait_for((tmp_path / "out.jsonl").exists)
    job.processes[0].terminate()
    lines = job.wait()
    assert lines[0] == "143: w2v_jax: ended by SIGTERM", lines


def test_error_of_one_process_ends_all(text: Path, tmp_path: Path) -> None:
    lines = Job(text, tmp_path / "nowhere" / "out.bin", 2).wait()
    assert lines[0].startswith("1: w2v_jax:"), lines
    assert "out.bin: cannot be written: No such file or directory" in lines[0], lines
    assert all(not line.startswith("0:") for line in lines)
