"""Processes that train together, for real: each on its part of the text, one vocabulary, one file, one that dies."""

import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from w2v_jax.config import ProcessConfig, TextConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.part import Part, reading_part
from w2v_jax.training.loop import train
from w2v_jax.vectors.keyed_vectors import KeyedVectors

FLAGS = "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=1"
EPOCHS = 8
OPTIONS = ["--dim", "8", "--epochs", str(EPOCHS), "--lr", "0.2", "--sample", "0", "--seed", "1", "--patience", "20"]


@pytest.fixture(scope="module")
def text(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The groups' sentences as a file; the first half names one word that the second never does."""
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
        compiled = {"JAX_COMPILATION_CACHE_DIR": str(text.parent / "compiled")}
        environment = {**os.environ, "XLA_FLAGS": FLAGS, **compiled}
        logs = Path(tempfile.mkdtemp(dir=text.parent))
        self.logs = [logs / str(i) for i in range(count)]
        self.processes = []
        for i, log in enumerate(self.logs):
            together = ["--coordinator", f"localhost:{port}", "--processes", str(count), "--process", str(i)]
            command = [sys.executable, "-m", "w2v_jax", "train", str(text), "--out", str(out), *OPTIONS, *more]
            with open(log, "wb") as file:
                cache = ["--cache", str(text.parent / "cache")]
                job = subprocess.Popen([*command, *together, *cache], stdout=file, stderr=file, env=environment)
            self.processes.append(job)

    def said(self) -> list[str]:
        """Their status and their last line, when all have ended."""
        try:
            status = [process.wait(120) for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
        logs = [log.read_text().splitlines() for log in self.logs]
        return [f"{number}: {(lines or [''])[-1]}" for number, lines in zip(status, logs, strict=True)]


def alike(vectors: KeyedVectors, groups: tuple[list[str], ...]) -> float:
    """By how much two words of one group are more alike than two of both."""
    within = [vectors.similarity(a, b) for group in groups for a in group for b in group if a != b]
    across = [vectors.similarity(a, b) for a in groups[0] for b in groups[1]]
    return float(np.mean(within) - np.mean(across))


@pytest.fixture(scope="module")
def whole(text: Path) -> Path:
    """The vectors of two processes that nothing happened to."""
    job = Job(text, text.parent / "whole.bin", 2)
    said = job.said()
    assert said[0].startswith("0: 13 vectors in"), said
    assert said[1].startswith("0: ")
    assert "vectors in" not in job.logs[1].read_text()  # one speaks
    return text.parent / "whole.bin"


@pytest.fixture(scope="module")
def alone(text: Path) -> KeyedVectors:
    """The vectors of one process."""
    config = TrainConfig(dim=8, epochs=EPOCHS, lr=0.2, sample=0.0, seed=1)
    return train(Corpus.from_file(text, cache=text.parent / "cache"), config)


def test_two_processes_learn_what_one_learns(whole: Path, alone: KeyedVectors, groups: tuple[list[str], ...]) -> None:
    vectors = KeyedVectors.load(whole)
    assert list(vectors.words) == list(alone.words)
    assert "unicorn" in vectors.words
    assert alike(vectors, groups) > 0.95 * alike(alone, groups) > 0.5


def test_four_processes_learn_what_one_learns(
    text: Path, alone: KeyedVectors, tmp_path: Path, groups: tuple[list[str], ...]
) -> None:
    said = Job(text, tmp_path / "v.bin", 4).said()
    assert said[0].startswith("0: 13 vectors in"), said
    assert alike(KeyedVectors.load(tmp_path / "v.bin"), groups) > 0.95 * alike(alone, groups)


def test_a_job_that_lost_a_process_ends_with_the_bits_of_one_that_did_not(
    text: Path, whole: Path, tmp_path: Path
) -> None:
    """A worker is killed: the other says so in a line. Then one is told to stop, and both save. Then it goes on."""
    saved = ["--checkpoint-dir", str(tmp_path / "saved"), "--checkpoint-every", "64", "--resume"]
    job = Job(text, tmp_path / "v.bin", 2, *saved)
    while not any(path.name.isdigit() for path in (tmp_path / "saved").glob("*")):
        assert all(process.poll() is None for process in job.processes), job.said()
        time.sleep(0.02)
    job.processes[1].kill()
    said = job.said()
    assert said[0].startswith("1: w2v_jax: process 0: another process has gone"), said
    assert not (tmp_path / "v.bin").exists()

    job = Job(text, tmp_path / "v.bin", 2, *saved)
    while "resumed from step" not in job.logs[0].read_text():
        assert all(process.poll() is None for process in job.processes), job.said()
        time.sleep(0.02)
    job.processes[1].terminate()
    said = job.said()
    assert all(line.startswith("143: w2v_jax: stopped at step ") for line in said), said

    said = Job(text, tmp_path / "v.bin", 2, *saved).said()
    assert said[0].startswith("0: 13 vectors"), said
    assert (tmp_path / "v.bin").read_bytes() == whole.read_bytes()


def test_tables_that_are_split_are_saved_and_gone_on_with(text: Path, tmp_path: Path) -> None:
    """Each process has half of their rows; a job that is resumed where it had ended has the same vectors."""
    saved = ["--checkpoint-dir", str(tmp_path / "saved"), "--checkpoint-every", "64", "--resume"]
    for name in ("first.bin", "again.bin"):
        said = Job(text, tmp_path / name, 2, "--vocabulary-shards", "2", *saved).said()
        assert said[0].startswith("0: 13 vectors in"), said
    assert (tmp_path / "first.bin").read_bytes() == (tmp_path / "again.bin").read_bytes()


def test_a_job_without_checkpoints_is_stopped(text: Path, tmp_path: Path) -> None:
    job = Job(text, tmp_path / "v.bin", 2, "--epochs", "100000", "--metrics", str(tmp_path / "out.jsonl"))
    while not (tmp_path / "out.jsonl").exists():
        assert all(process.poll() is None for process in job.processes), job.said()
        time.sleep(0.02)
    job.processes[0].terminate()
    said = job.said()
    assert said[0] == "143: w2v_jax: ended by SIGTERM", said


def test_what_one_process_cannot_do_ends_all(text: Path, tmp_path: Path) -> None:
    job = Job(text, tmp_path / "nowhere" / "out.bin", 2)
    said = job.said()
    assert said[0].startswith("1: w2v_jax:"), said
    assert "out.bin: cannot be written: No such file or directory" in said[0], said
    assert all(not line.startswith("0:") for line in said)


def together(texts: list[str], config: TextConfig, folder: Path) -> list[Corpus]:
    """Each text's part of a corpus, encoded by threads that exchange as processes do."""
    meeting, told = threading.Barrier(len(texts), timeout=20), [b""] * len(texts)

    def exchange(number: int, mine: bytes) -> list[bytes]:
        told[number] = mine
        meeting.wait()
        heard = list(told)
        meeting.wait()
        return heard

    def encode(number: int) -> Corpus:
        (folder / f"text-{number}").write_text(texts[number])
        part = Part(number, len(texts), functools.partial(exchange, number))
        return Corpus.from_file(folder / "text-{process}", config, cache=folder / "cache", part=part)

    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(encode, range(len(texts))))


def test_parts_share_a_vocabulary_and_are_encoded_together(tmp_path: Path) -> None:
    config = TextConfig(min_count=2)
    a, b = together(["to be or", "not to be"], config, tmp_path)
    assert a.vocabulary.words == b.vocabulary.words == ("be", "to")
    assert (a.ids.tolist(), b.ids.tolist()) == ([1, 0], [1, 0])
    again = together(["to be or", "not to be"], config, tmp_path)
    assert [part.folder for part in again] == [a.folder, b.folder]
    changed = together(["to be or", "not or be"], config, tmp_path)  # another text in one part is another in all
    assert changed[0].folder != a.folder
    assert changed[0].vocabulary.words == ("be", "or")
    assert b.folder is not None
    shutil.rmtree(b.folder)  # what one has lost, all make again
    assert together(["to be or", "not to be"], config, tmp_path)[1].ids.tolist() == [1, 0]


def test_a_part_may_have_no_word_of_the_vocabulary(tmp_path: Path) -> None:
    full, rare, blank = together(["to be to be", "rare words", " "], TextConfig(min_count=2), tmp_path)
    assert full.vocabulary.words == rare.vocabulary.words == blank.vocabulary.words == ("be", "to")
    assert [len(part.ids) for part in (full, rare, blank)] == [4, 0, 0]
    assert rare.occurrences.tolist() == [0, 0]


@pytest.mark.parametrize("of", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("text", ["to be or not\nto be\n" * 3, "onelongword" * 9, "ends in a word", " \n ", "é ü\n"])
def test_parts_make_the_whole_and_cut_no_word(text: str, of: int, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text)
    parts = []
    for number in range(of):
        with reading_part(path, Part(number, of, lambda mine: [mine])) as file:
            parts.append(file.read())
    assert b"".join(parts) == text.encode()
    assert [word for part in parts for word in part.split()] == text.encode().split()


def test_each_process_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "text-3.txt").write_text("third")
    with reading_part(tmp_path / "text-{process}.txt", Part(3, 8, lambda mine: [mine])) as file:
        assert file.read() == b"third"


def test_a_packed_text_cannot_be_shared_out(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"2 processes cannot read parts of a packed text; unpack it, or .*\{process\}"),
        reading_part(tmp_path / "text.gz", Part(0, 2, lambda mine: [mine])),
    ):
        pass


@pytest.mark.parametrize(
    "fields",
    [{"coordinator": "localhost:1"}, {"processes": 2, "process": 0},
     {"coordinator": "a:1", "processes": 2, "process": 2}, {"cluster": True, "process": 0}, {"patience": 0}],
)  # fmt: skip
def test_half_of_what_is_needed_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(
        InputError, match="need --coordinator|process is 2; it must be an integer from 0 to 1|patience is 0"
    ):
        ProcessConfig(**fields)  # type: ignore[arg-type]
