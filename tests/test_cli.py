"""The command line: what it prints and writes, and one line on standard error for whatever it is given wrongly."""

import bz2
import contextlib
import functools
import gc
import gzip
import http.server
import importlib
import io
import json
import lzma
import os
import random
import re
import shlex
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optax
import pytest
from fsspec.compression import zstd

from w2v_jax.cli import main
from w2v_jax.training import loop
from w2v_jax.training.checkpoints import Checkpoints
from w2v_jax.vectors.analogies import evaluate_analogies
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.similarity import evaluate_similarity


def some_text() -> bytes:
    """2,000 lines of 10 words, half of them animals and half of them metals."""
    rng = random.Random(0)
    groups = [[f"{group}{i}" for i in range(30)] for group in ("animal", "metal")]
    return "\n".join(" ".join(rng.choices(groups[i % 2], k=10)) for i in range(2_000)).encode()


def zipped(*names: str, tamper: tuple[int, int] = (0, 0)) -> bytes:
    """An archive; `tamper` sets a byte, counted from the versions that both of an entry's headers hold."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else TEXT)
    raw = bytearray(file.getvalue())
    for header in (raw.find(b"PK\x03\x04") + 4, raw.rfind(b"PK\x01\x02") + 6):
        raw[header + tamper[0]] |= tamper[1]
    return bytes(raw)


TEXT = some_text()
WORDS = {"man": (1, 0, 0), "woman": (1, 1, 0), "king": (1, 0, 1), "queen": (1, 1, 1), "apple": (0, 0, -1)}
BINARY = b"5 3\n" + b"".join(word.encode() + b" " + struct.pack("<3f", *row) for word, row in WORDS.items())
LONG = f"{'long' * 70}.bin"

FILES: dict[str, bytes | None] = {
    "text.txt": TEXT,
    "text.txt.gz": gzip.compress(TEXT),
    "folder": None,
    "folder.bin": None,
    "empty.txt": b"",
    "blank.txt": b" \t\r\n\n\xe3\x80\x80" * 50,
    "binary.txt": TEXT + b"\0" + TEXT,
    "latin1.txt": "un café au lait ".encode("latin-1") * 50,
    "rare.txt": " ".join(f"word{i}" for i in range(500)).encode(),
    "one_word.txt": b"only only only only\n" * 50,
    "one_token.txt": b"x" * 10_000_000,
    "lonely.txt": TEXT.replace(b" ", b"\n"),
    "short.txt": b"to be or not to be\n",
    **{f"cut{end}": pack(TEXT)[:5_000] for end, pack in
       {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd.compress}.items()},
    "fake.bz2": TEXT,
    "empty.zip": zipped(),
    "locked.zip": zipped("text.txt", tamper=(2, 1)),
    "strange.zip": zipped("text.txt", tamper=(4, 99)),
    "folder.zip": zipped("folder/", "folder/text.txt"),
    "v.bin": BINARY,
    "v.txt": "\n".join(["5 3", *(f"{word} {a} {b} {c}" for word, (a, b, c) in WORDS.items()), ""]).encode(),
    "cut.bin": BINARY[:-1],
    "cut.vec": b"5 3\nman 1 0 0\nwoman 1 1",
    "many.bin": b"1000000000000 3\n" + BINARY[4:],
    "many.vec": b"1000000000000 3\nman 1 0 0\n",
    "wide.bin": b"2 1000000000000\n" + BINARY[4:],
    "wide.vec": b"2 99999999999999999999\nman 1 0 0\n",
    "junk.bin": bytes(random.Random(0).randbytes(5_000)),
    "junk.txt": bytes(random.Random(0).randbytes(5_000)),
    "pairs.txt": b"# people said\nman\twoman\t7\nKing\tQueen\t9\nking\tapple\t1\nking\tdragon\t2\n",
    "questions.txt": b": royalty\nman woman king queen\nman woman king dragon\n: fruit\nman king woman apple\n",
    "ok.jsonl": b'{"words": 1, "loss": 2.0}\n{"words": 2, "loss": 1.0}\n',
    "bad.jsonl": b'{"words": 1, "loss": 2.0}\n{"words": 2}\n',
    "constant.txt": b"man\twoman\t7\nking\tqueen\t7\nking\tapple\t7\n",
}  # fmt: skip
TINY = "--min-count 1 --dim 8 --epochs 1 --block 64 --noise 16"


class Outcome(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]
ROOT = Path(__file__).parents[1]
# `python -m w2v_jax` that hears an interrupt even where a shell's background job, and so its children, would not.
STARTER = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "runpy.run_module('w2v_jax', run_name='__main__', alter_sys=True)"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of every command; nothing is cached in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    return tmp_path


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    room_for: Callable[[int], contextlib.AbstractContextManager[None]],
) -> Run:
    """Run a command here, as `python -m w2v_jax` would; the files that it names are there."""

    def run(command: str, stdin: bytes = b"", room: int | None = None) -> Outcome:
        write_files(command)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        status: Any = 0
        try:
            with contextlib.nullcontext() if room is None else room_for(room):
                main(arguments(command))
        except SystemExit as stop:
            status = stop.code or 0
        out, err = capsys.readouterr()
        return Outcome(1, out, f"{err}{status}\n") if isinstance(status, str) else Outcome(status, out, err)

    return run


def arguments(command: str) -> list[str]:
    """The command's words, and small numbers before the options that it names itself."""
    return shlex.split(re.sub("^train (?=.*--out)", f"train {TINY} ", command))


def write_files(command: str) -> None:
    """Put the files that a command names into the working folder."""
    for name, content in FILES.items():
        if name in command:
            Path(name).mkdir(exist_ok=True) if content is None else Path(name).write_bytes(content)


def program(command: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own; it finds the files that it names by their whole paths."""
    write_files(command)
    args = [str(Path(arg).absolute()) if Path(arg).suffix else arg for arg in arguments(command)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, **options}
    return subprocess.Popen([sys.executable, "-c", STARTER, *args], **options)


def tree() -> dict[str, bytes]:
    """Every file in the working folder."""
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def strict_json(text: str) -> Any:
    """JSON as others read it: NaN is none of its numbers."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON: {text}"))


# What works


@pytest.mark.parametrize(
    ("corpus", "out", "options"),
    [
        ("text.txt", "out.bin", ""),
        ("text.txt.gz", "out.txt", "--cache encoded"),
        ("text.txt", "out.vec", "--objective naive-softmax"),
        ("text.txt", "out.bin", "--held-out 0.2 --metrics out.jsonl"),
    ],
)
def test_train(corpus: str, out: str, options: str, run: Run, folder: Path) -> None:
    status, printed, err = run(f"train {corpus} --out {out} {options}")
    assert (status, err) == (0, "")
    first, middle, last = printed.splitlines()
    match = re.fullmatch("20,000 words, 20,000 of them among the 60 with vectors; encoded in (.+)", first)
    assert match
    cache = folder / "encoded" if "--cache" in options else Path(os.environ["XDG_CACHE_HOME"]) / "w2v_jax"
    assert (folder / match[1]).parent == cache
    assert list(cache.iterdir()) == [folder / match[1]]
    held_out = r", held out \d\.\d{4}" if "--held-out" in options else ""
    assert re.fullmatch(
        r"20,000 words in [\d.]+ s \([\d,]+ words/s\) after [\d.]+ s of compilation; "
        rf"loss \d\.\d{{4}} nats a target{held_out}",
        middle,
    )
    assert last == f"60 vectors in {out}"
    assert KeyedVectors.load(out).vectors.shape == (60, 8)


def stop_after_a_save(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Send the signal, once, when a checkpoint has been given to Orbax."""
    save = Checkpoints.save

    def save_and_stop(*args: Any) -> None:
        save(*args)
        monkeypatch.setattr(Checkpoints, "save", save)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)


def test_a_stopped_training_goes_on_with_resume(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "DISPATCH", 2)
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)
    assert run("train text.txt --out whole.bin --metrics whole.jsonl").status == 0
    stop_after_a_save(monkeypatch, signal.SIGINT)
    training = "train text.txt --out out.bin --checkpoint-dir saved --checkpoint-every 4 --metrics out.jsonl"
    stopped = run(f"{training} --resume")
    assert stopped.status == 130
    assert re.fullmatch(
        r"saved: holds no checkpoint yet, starting afresh\n"
        r"w2v_jax: stopped at step \d+, saved in saved; go on with --resume\n",
        stopped.err,
    )
    assert not Path("out.bin").exists()
    refused = run(training)
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "saved: holds a checkpoint of step" in refused.err
    resumed = run(f"{training} --resume")
    assert resumed.status == 0
    assert re.fullmatch(r"saved: resumed from step \d+\n", resumed.err)
    assert Path("out.bin").read_bytes() == Path("whole.bin").read_bytes()
    reports = [strict_json(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert reports[-1]["words"] == 20_000
    assert [report["resumed"] for report in (reports[0], reports[-1])] == [False, True]


def test_metrics_are_a_line_of_json_each(run: Run) -> None:
    assert run("train text.txt --out out.bin --epochs 3 --held-out 0.2 --metrics out.jsonl").status == 0
    reports = [strict_json(line) for line in Path("out.jsonl").read_text().splitlines()]
    keys = {
        "step",
        "words",
        "epoch",
        "loss",
        "targets",
        "held_out_loss",
        "seconds",
        "compile_seconds",
        "words_per_second",
        "resumed",
    }
    assert all(report.keys() == keys for report in reports)
    assert reports[-1]["words"] == 60_000
    assert 0 < reports[-1]["held_out_loss"] < 5


def test_the_same_seed_writes_the_same_bytes(run: Run) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(f"train text.txt --out {name}.bin --seed {seed}").status == 0
    same, again, other = (Path(f"{name}.bin").read_bytes() for name in "abc")
    assert same == again
    assert same != other


def test_a_vectors_file_is_replaced(run: Run) -> None:
    Path("out.bin").write_bytes(b"old")
    assert run("train text.txt --out out.bin").status == 0
    assert len(KeyedVectors.load("out.bin")) == 60
    assert {path.name for path in Path().iterdir()} == {"text.txt", "out.bin"}


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The address at which the working folder is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_train_on_a_url(run: Run, server: str) -> None:
    status, printed, err = run(f"train {server}/text.txt.gz --out out.bin")
    assert (status, err) == (0, "")
    assert "60 vectors in out.bin" in printed
    assert re.search("nothing.txt: .*(no such file|404)", refused(run, f"train {server}/nothing.txt --out out.bin"))


@pytest.mark.parametrize("file", ["v.bin", "v.txt"])
def test_neighbors(file: str, run: Run) -> None:
    line = "king: queen 0.816, man 0.707, woman 0.500, apple -0.707\n"
    assert run(f"neighbors {file} king") == (0, line, "")
    assert run(f"neighbors {file} king man --top 1") == (0, "king: queen 0.816\nman: woman 0.707\n", "")


def test_neighbors_as_json(run: Run) -> None:
    status, printed, err = run("neighbors v.bin king man --top 2 --json")
    assert (status, err) == (0, "")
    near = strict_json(printed)
    assert [word for word, _ in near["king"]] == ["queen", "man"]
    assert near["king"][0][1] == pytest.approx((2 / 3) ** 0.5)
    assert len(near["man"]) == 2


@pytest.mark.parametrize("command", ["neighbors v.bin --top 1", "neighbors v.bin - --top 1"])
def test_neighbors_of_words_from_standard_input(command: str, run: Run) -> None:
    lines = "king: queen 0.816\nman: woman 0.707\n"
    assert run(command, stdin=b"king\r\n\n  man") == (0, lines, "")
    assert strict_json(run(f"{command} --json", stdin=b"man\n").out).keys() == {"man"}
    assert run(command, stdin=b"king\nca\xe9\n").err == "w2v_jax: standard input: line 2 is not UTF-8\n"
    assert "'kign' is not in the vocabulary; did you mean king?" in run(command, stdin=b"kign\n").err


def test_nobody_waits_at_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(io, "TextIOWrapper", Terminal)
    assert "name at least one word" in run("neighbors v.bin", stdin=b"king\n").err
    assert run("neighbors v.bin - --top 1", stdin=b"king\n").out == "king: queen 0.816\n"


def test_analogy(run: Run) -> None:
    assert run("analogy v.bin man king woman --top 1") == (0, "queen 0.975\n", "")
    assert run("analogy v.bin man king woman") == (0, "queen 0.975\napple -0.653\n", "")
    mul = run("analogy v.bin man king woman --method 3cosmul --json")
    assert (mul.status, mul.err) == (0, "")
    (word, score), _ = strict_json(mul.out)
    cosines = [(1 + (2 / 3) ** 0.5) / 2] * 2 + [(1 + 3**-0.5) / 2]
    assert (word, score) == ("queen", pytest.approx(cosines[0] * cosines[1] / cosines[2], abs=1e-5))


def test_info(run: Run) -> None:
    assert run("info v.txt") == (
        0,
        "5 words, vectors of 3 numbers, float32\n"
        "lengths: least 1, quartiles 1, 1.414, 1.414, greatest 1.732\n"
        "first words: man, woman, king, queen, apple\n"
        "counts: no; outside vectors: no\n",
        "",
    )
    found = strict_json(run("info v.bin --json").out)
    assert (found["words"], found["dim"], found["first"][0]) == (5, 3, "man")
    assert found["lengths"] == pytest.approx([1, 1, 2**0.5, 2**0.5, 3**0.5])


def test_evaluate(run: Run) -> None:
    status, printed, err = run("evaluate v.bin --similarity pairs.txt --analogies questions.txt")
    assert (status, err) == (0, "")
    assert printed.splitlines() == [
        "pairs.txt: Spearman 1.0000 (95 %: 1.0000 to 1.0000), Pearson 0.9842, 3 pairs (75.0%)",
        "questions.txt, 30,000 most frequent words:",
        "  100.0%       1 of      1  (1 skipped)  royalty",
        "    0.0%       0 of      1  (0 skipped)  fruit",
        "   50.0%       1 of      2  (1 skipped)  total",
    ]


def test_evaluate_as_json(run: Run) -> None:
    status, printed, err = run("evaluate v.txt --similarity pairs.txt --analogies questions.txt --top 4 --json")
    assert (status, err) == (0, "")
    got = strict_json(printed)
    assert got["similarity"]["pairs.txt"]["spearman"] == pytest.approx(1)
    assert got["similarity"]["pairs.txt"]["coverage"] == 0.75
    assert (got["similarity"]["pairs.txt"]["low"], got["similarity"]["pairs.txt"]["high"]) == pytest.approx((1, 1))
    royalty, fruit, total = got["analogies"]["questions.txt"]
    assert royalty == {"name": "royalty", "correct": 1, "asked": 1, "skipped": 1, "accuracy": 1.0}
    assert fruit["asked"] == 0  # the apple is the fifth word
    assert total["asked"] == 1


@pytest.fixture
def hard(folder: Path) -> KeyedVectors:
    """Vectors, pairs and questions in files, of which every way to evaluate says something else."""
    draw = np.random.default_rng(0)
    words = [f"{name}{i}" for i in range(10) for name in ("é", "É", "king", "King")]
    vectors = KeyedVectors(words, draw.normal(size=(40, 3)).astype(np.float32))
    vectors.save("hard.bin")
    known = np.array([*words, "dragon"])
    pairs = [f"{a}\t{b}\t{score}" for score, (a, b) in enumerate(draw.choice(known, (60, 2)))]
    Path("hard_pairs.txt").write_text("\n".join(pairs))
    Path("hard_questions.txt").write_text("\n".join([": a", *map(" ".join, draw.choice(known, (3_000, 4)))]))
    return vectors


@pytest.mark.parametrize(
    ("options", "similarity", "analogies"),
    [
        ("", {}, {}),
        ("--unknown wrong", {"unknown": "wrong"}, {"unknown": "wrong"}),
        ("--unknown mean", {"unknown": "mean"}, {"unknown": "mean"}),
        ("--method 3cosmul", {}, {"method": "3cosmul"}),
        ("--protocol word2vec", {}, {"candidates": 1, "case": "ascii"}),
    ],
)
def test_the_ways_to_evaluate(
    options: str, similarity: dict[str, Any], analogies: dict[str, Any], hard: KeyedVectors, run: Run
) -> None:
    command = f"evaluate hard.bin --similarity hard_pairs.txt --analogies hard_questions.txt --json {options}"
    got = strict_json(run(command).out)
    people = got["similarity"]["hard_pairs.txt"]
    expected = evaluate_similarity(hard, "hard_pairs.txt", **similarity)
    assert people == {**expected._asdict(), "coverage": expected.coverage}
    answers = got["analogies"]["hard_questions.txt"]
    sections = evaluate_analogies(hard, "hard_questions.txt", top=30_000, **analogies)
    assert answers == [{**section._asdict(), "accuracy": section.accuracy} for section in sections]
    if similarity:
        assert expected != evaluate_similarity(hard, "hard_pairs.txt")
    if analogies:
        assert sections[-1][1:3] != evaluate_analogies(hard, "hard_questions.txt", top=30_000)[-1][1:3]


def test_the_interval_is_printed(hard: KeyedVectors, run: Run) -> None:
    people = evaluate_similarity(hard, "hard_pairs.txt")
    assert people.low < people.spearman < people.high
    interval = f"Spearman {people.spearman:.4f} (95 %: {people.low:.4f} to {people.high:.4f}), "
    assert interval in run("evaluate hard.bin --similarity hard_pairs.txt").out


@pytest.mark.parametrize(
    ("command", "status"),
    [*((command, 0) for command in ("", "train", "neighbors", "analogy", "evaluate", "info", "plot", "convert")),
     ("fly", 2), ("train text.txt", 2), ("analogy v.bin a b", 2), ("train text.txt --out out.bin --dim many", 2),
     ("neighbors v.bin king --top 0", 1), ("evaluate v.bin", 1), ("convert v.bin out.pkl", 1),
     ("train text.txt --out out", 1), ("train text.txt --out out.bin --dim 0", 1), ("neighbors no.bin king", 1),
     ("analogy no.txt a b c", 1), ("evaluate no.pkl --similarity no", 1), ("info no.tsv", 1),
     ("convert README.txt out.bin --limit 0", 1), ("plot no.bin --out out.jpg", 1), ("plot no.bin --out out.png", 1)],
)  # fmt: skip
def test_help_and_errors_in_arguments_are_quick(command: str, status: int) -> None:
    code = (
        "import sys; from w2v_jax.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print({'jax', 'numpy', 'pyarrow', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    )
    help_ = [] if status else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split(), *help_], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == status
    assert "set()" in done.stderr.splitlines()
    if not status:
        assert done.stderr == "set()\n"
        assert f"usage: python -m w2v_jax {command}".rstrip() in done.stdout
        assert "Example: python -m w2v_jax" in done.stdout


@pytest.mark.parametrize(
    "command",
    ["", "fly", "train", "train text.txt", "neighbors", "neighbors v.bin king --top",
     "analogy v.bin a b", "info", "evaluate --json",
     "train text.txt --out out.bin --nosuch 1", "train text.txt --out out.bin --dim many",
     "train text.txt --out out.bin --objective magic"],
)  # fmt: skip
def test_a_usage_error(command: str, run: Run) -> None:
    status, out, err = run(command)
    assert (status, out) == (2, "")
    assert "--help" in err
    assert "Traceback" not in err
    assert not Path("out.bin").exists()


@pytest.mark.parametrize(
    "options",
    ["softmax-counts --dim 1 --window 20", "ppmi-svd --dim 1", "softmax --epochs 1",
     "softmax-counts --thinnings 2 --count-power 0.75 --distance harmonic"],
)  # fmt: skip
def test_the_exact_softmax_trains(options: str, run: Run) -> None:
    counts = "" if options.startswith("softmax ") else "--counts kept"
    done = run(f"train text.txt --out out.bin {counts} --objective {options}")
    assert (done.status, done.err) == (0, "")
    assert len(KeyedVectors.load("out.bin")) == 60
    if counts:
        again = run(f"train text.txt --out again.bin --counts kept --objective {options}")
        assert again.status == 0
        assert Path("again.bin").read_bytes() == Path("out.bin").read_bytes()
        assert "holds counts of window" in refused(run, "train text.txt --out out.bin --counts kept --window 9 "
                                                        "--objective ppmi-svd")  # fmt: skip


# Going on from earlier vectors


@pytest.mark.parametrize(
    ("init", "freeze"),
    [("start.safetensors", ""), ("start.bin", ""), ("start.bin", "--freeze"), ("saved", "--freeze")],
)
def test_going_on_into_new_words(init: str, freeze: str, run: Run) -> None:
    assert run("train text.txt --out start.safetensors --checkpoint-dir saved").status == 0
    start = KeyedVectors.load("start.safetensors")
    start.save("start.bin")
    some = TEXT[: TEXT.index(b"\n", 20_000)].replace(b"animal1 ", b"yak ").replace(b"metal29 ", b"zinc ")
    Path("more.txt").write_bytes(some)
    status, printed, err = run(f"train more.txt --out out.safetensors --init {init} {freeze}")
    assert (status, err) == (0, "")
    first, second, *_, last = printed.splitlines()
    assert " words, " in first
    assert second == f"60 of these words known from {init}, 2 new"
    assert last == "62 vectors in out.safetensors"
    grown = KeyedVectors.load("out.safetensors")
    assert {*grown.words} == {*start.words, "yak", "zinc"}
    moved = {word for word in start.words if (grown[word] != start[word]).any()}
    assert len(moved) == 0 if freeze else len(moved) > 50
    assert all((grown.outside[word] == start.outside[word]).all() for word in start.words) == (
        bool(freeze) and init != "start.bin"  # which has no outside vectors to keep
    )
    assert grown.outside["yak"].any()  # it learns


def test_going_on_is_resumed_to_the_same_bytes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "DISPATCH", 2)
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)
    assert run("train text.txt --out start.bin").status == 0
    Path("more.txt").write_bytes(TEXT.replace(b"animal1 ", b"yak "))
    going_on = "train more.txt --init start.bin"
    assert run(f"{going_on} --out whole.bin").status == 0
    stop_after_a_save(monkeypatch, signal.SIGTERM)
    resumable = f"{going_on} --out out.bin --checkpoint-dir saved --checkpoint-every 4 --resume"
    assert run(resumable).status == 143
    other = run(f"{resumable} --freeze")
    assert (other.status, other.err.count("\n")) == (1, 1)
    assert "is of another training: the freezing differs" in other.err
    assert run(resumable).status == 0
    assert Path("out.bin").read_bytes() == Path("whole.bin").read_bytes()


# What is refused


def refused(run: Run, command: str) -> str:
    """The one line that a command says, and that is all it does."""
    write_files(command)
    before = tree()
    status, _, err = run(command)
    assert status not in (0, None)
    assert re.fullmatch("w2v_jax: [^\n]+\n", err)
    assert tree() == before
    return err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("missing.txt", "missing.txt: no such file"),
        ("empty.txt", "empty.txt: holds no words"),
        ("blank.txt", "blank.txt: holds no words"),
        ("folder", "folder: is a directory"),
        ("binary.txt", "binary.txt: holds a NUL byte"),
        ("latin1.txt", "latin1.txt: byte 6 is not UTF-8"),
        ("rare.txt --min-count 5", "none of its 500 words occurs 5 times"),
        ("one_word.txt", "training needs two words or more"),
        ("one_token.txt", "has a word of over 1,048,576 characters"),
        ("lonely.txt", "no word has another beside it on its line"),
        ("cut.gz", "cut.gz: cannot be read"),
        ("cut.bz2", "cut.bz2: cannot be read"),
        ("cut.xz", "cut.xz: cannot be read"),
        ("cut.zst", "cut.zst: cannot be read"),
        ("fake.bz2", "fake.bz2: cannot be read"),
        ("empty.zip", "empty.zip: cannot be read"),
        ("locked.zip", "locked.zip: cannot be read: .* encrypted"),
        ("strange.zip", "strange.zip: cannot be read: .* compression method"),
        ("'no\nsuch.txt'", "no such file"),
        ("nosuch://host/text.txt", "Protocol not known: nosuch"),
        ("http://127.0.0.1:1/text.txt", "http://127.0.0.1:1/text.txt: cannot be read: .*[Cc]onnect"),
        ("text.txt --out nowhere/out.bin", "nowhere/out.bin: cannot be written: No such file or directory"),
        ("text.txt --out text.txt/out.bin", "cannot be written: Not a directory"),
        ("text.txt --out folder.bin", "folder.bin: is a directory"),
        ("text.txt --out out.pkl", "the ending must be .bin"),
        ("text.txt --out out", "the ending must be .bin"),
        (f"text.txt --out {LONG}", "cannot be written: File name too long"),
        ("text.txt --cache text.txt/cache", "text.txt/cache/text-.*: cannot be written: Not a directory"),
        ("text.txt --metrics nowhere/out.jsonl", "nowhere/out.jsonl: cannot be written"),
        ("text.txt --metrics folder", "folder: is a directory"),
        ("text.txt --dim 0", "dim is 0; it must be"),
        ("text.txt --lr -0.1", "lr is -0.1; it must be"),
        ("text.txt --lr nan", "lr is nan; it must be"),
        ("text.txt --lr 1e39", "lr is 1e[+]39; it must be"),
        ("text.txt --window 0", "window is 0; it must be"),
        ("text.txt --window 1000000000000", "window is 1000000000000; it must be"),
        ("text.txt --epochs 0", "epochs is 0; it must be"),
        ("text.txt --block 100", "block is 100; it must be a multiple of 16"),
        ("text.txt --held-out 1", "held_out is 1.0; it must be"),
        ("text.txt --min-count 0", "min_count is 0; it must be"),
        ("text.txt --negative 10000000000000000000000000000000000000", "the loss is (nan|inf)|negative is"),
        ("text.txt --dim 10000000000000", "(?i)memory|dim is"),
        ("text.txt --held-out 0.999", "held.out"),
        ("short.txt", "sample"),
        ("text.txt --thinnings -1", "thinnings is -1; it must be"),
        ("text.txt --count-power 0", "count_power is 0.0; it must be"),
        ("text.txt --objective softmax-counts --held-out 0.1", "it holds no text out and writes no checkpoints"),
        (
            "text.txt --objective softmax-counts --checkpoint-dir saved",
            "it holds no text out and writes no checkpoints",
        ),
        ("text.txt --counts kept", "negative-sampling reads the text itself; .* softmax-counts and ppmi-svd"),
        ("text.txt --objective softmax --thinnings 3", "softmax reads the text itself; .* softmax-counts and ppmi-svd"),
        ("text.txt --objective softmax-counts --counts text.txt", "text.txt: would overwrite another file"),
        ("text.txt --objective softmax-counts --counts folder", "folder: is no whole folder of counts; name another"),
        ("text.txt --objective ppmi-svd --counts text.txt/x", "text.txt/x: cannot be written: Not a directory"),
        ("text.txt --objective ppmi-svd --sample 1e-60", "a larger --sample"),
        ("text.txt --init missing.bin", "missing.bin: no such file"),
        ("text.txt --init missing", "missing: no such folder, nor file"),
        ("text.txt --init junk.bin", "junk.bin: "),
        ("text.txt --init cut.bin --dim 3", "cut.bin: promises 5 words"),
        ("text.txt --init v.bin", "v.bin: has vectors of 3 numbers, and dim is 8; give --dim 3"),
        ("text.txt --init folder", "folder: holds no checkpoint; name the folder that training was given for them"),
        ("text.txt --init text.txt", "text.txt: would overwrite another file|text.txt: "),
        ("text.txt --init v.bin --dim 3 --out ./v.bin", "v.bin: would overwrite another file"),
        ("text.txt --init folder --checkpoint-dir folder", "folder: would overwrite another file"),
        ("text.txt --init v.bin --dim 3 --max-vocab 4", "max_vocab is 4, but 5 words are known already; give no less"),
        ("text.txt --init v.bin --dim 3 --objective ppmi-svd", "it takes no earlier vectors and freezes none"),
        ("text.txt --init v.bin --dim 3 --min-count 9999", "none of its 60 words is known or occurs 9999 times"),
        ("text.txt --freeze", "freeze keeps the vectors of --init as they are; name them"),
        ("text.txt --objective softmax-counts --sample 1e-12 --thinnings 1", "a larger --sample"),
    ],
    ids=lambda part: part[:40],
)
def test_what_train_refuses(options: str, message: str, run: Run) -> None:
    Path("out.bin").write_bytes(b"old")
    assert re.search(message, refused(run, f"train {options}" + ("" if "--out" in options else " --out out.bin")))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("neighbors missing.bin king", "missing.bin: no such file"),
        ("neighbors folder.bin king", "folder.bin: is a directory"),
        ("neighbors text.txt.gz king", "text.txt.gz: the first line must be two numbers"),
        ("neighbors v.pkl king", "the ending must be .bin"),
        ("neighbors cut.bin king", "cut.bin: promises 5 words of 3 numbers but ends after 4"),
        ("neighbors cut.vec king", "cut.vec: line 3: expected a word and 3 numbers"),
        ("neighbors many.bin king", "many.bin: promises 1,000,000,000,000 words of 3 numbers but ends after 5"),
        ("neighbors many.vec king", "many.vec: promises 1,000,000,000,000 words of 3 numbers but ends after 1"),
        ("neighbors wide.bin king", "wide.bin: "),
        ("neighbors wide.vec king", "wide.vec: "),
        ("neighbors junk.bin king", "junk.bin: "),
        ("neighbors junk.txt king", "junk.txt: "),
        ("neighbors v.bin quen", "'quen' is not in the vocabulary; did you mean queen?"),
        ("neighbors v.bin king King", "'King' is not in the vocabulary; did you mean king"),
        ("neighbors v.bin 'ki\nng'", "is not in the vocabulary"),
        ("neighbors v.bin", "name at least one word"),
        ("neighbors v.bin king --top 0", "top is 0; it must be at least 1"),
        ("analogy v.bin man kign woman", "'kign' is not in the vocabulary; did you mean king?"),
        ("analogy v.bin man king woman --top 0", "top is 0; it must be at least 1"),
        ("info missing.bin", "missing.bin: no such file"),
        ("info junk.bin", "junk.bin: "),
        ("evaluate v.bin", "name what to evaluate on"),
        ("evaluate v.bin --similarity", "name what to evaluate on"),
        ("evaluate v.bin --similarity missing.txt", "missing.txt: no such file"),
        ("evaluate v.bin --analogies missing.txt", "missing.txt: no such file"),
        ("evaluate v.bin --similarity empty.txt", "empty.txt: under two of its pairs have vectors"),
        ("evaluate v.bin --analogies empty.txt", "empty.txt: holds no questions"),
        ("evaluate v.bin --similarity latin1.txt", "latin1.txt: line 1 is not UTF-8"),
        ("evaluate v.bin --analogies questions.txt --top 0", "top is 0; it must be at least 1"),
        ("evaluate v.bin --similarity constant.txt", "constant.txt: "),
        ("evaluate missing.bin --similarity pairs.txt", "missing.bin: no such file"),
        ("evaluate junk.bin --similarity pairs.txt", "junk.bin: "),
    ],
)
def test_what_the_others_refuse(command: str, message: str, run: Run) -> None:
    assert re.search(message, refused(run, command))


def test_a_loss_that_is_no_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The default optimizer bounds its steps: no learning rate that float32 can hold gets there.
    monkeypatch.setattr("w2v_jax.training.loop.default_optimizer", lambda corpus, config: optax.sgd(1e30))
    assert re.search(
        r"the loss is (nan|inf) by step [\d,]+; lower the learning rate", refused(run, "train text.txt --out out.bin")
    )


def test_a_high_learning_rate_is_survived(run: Run) -> None:
    status, printed, err = run("train text.txt --out out.bin --lr 1e30")
    assert (status, err) == (0, "")
    assert re.search(r"loss \d+\.\d{4} nats", printed)


def test_where_metrics_cannot_go_is_said_before_the_work(run: Run) -> None:
    assert run("train text.txt --out out.bin --metrics nowhere/out.jsonl").out == ""
    assert list(Path(os.environ["XDG_CACHE_HOME"]).iterdir()) == []


def test_refused_training_leaves_the_metrics_alone(run: Run) -> None:
    refused(run, "train one_word.txt --out out.bin --metrics out.jsonl")
    Path("out.jsonl").write_text("{}\n")
    refused(run, "train lonely.txt --out out.bin --metrics out.jsonl")
    assert Path("out.jsonl").read_text() == "{}\n"


def test_too_little_text_to_hold_any_out(run: Run) -> None:
    status, printed, err = run("train text.txt --out out.bin --held-out 0.001 --metrics out.jsonl")
    if status:  # either is right
        assert re.fullmatch("w2v_jax: [^\n]*held.out[^\n]*\n", err)
    else:
        assert "nan" not in printed
        assert all(map(strict_json, Path("out.jsonl").read_text().splitlines()))


def test_a_packed_vectors_file_is_packed_or_refused(run: Run) -> None:
    if run("train text.txt --out out.bin.gz").status:
        assert not Path("out.bin.gz").exists()
    else:
        assert run("neighbors out.bin.gz animal1").status == 0


def test_the_folder_in_an_archive_is_not_its_text(run: Run) -> None:
    status, printed, err = run("train folder.zip --out out.bin")
    assert (status, err) == (0, "")
    assert "60 vectors in out.bin" in printed


# What comes in between


def test_an_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("w2v_jax.training.loop.train", stop)
    status, _, err = run("train text.txt --out out.bin")
    assert status == 130
    assert re.fullmatch("w2v_jax: stopped[^\n]*\n", err)
    assert list(tree()) == ["text.txt"]


def test_a_stop_while_counting_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("w2v_jax.text.counting._sum", stop)
    status, _, err = run("train text.txt --out out.bin --objective ppmi-svd --counts kept --cache encoded")
    assert (status, err) == (143, "w2v_jax: ended by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert {name.split("/")[0] for name in tree()} == {"text.txt", "encoded"}


def test_an_interrupt_from_outside() -> None:
    training = program("train text.txt --out out.bin --metrics out.jsonl --epochs 100000")
    metrics = Path("out.jsonl")
    while training.poll() is None and not (metrics.exists() and metrics.read_text()):
        time.sleep(0.05)
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=30)
    assert training.returncode == 130
    assert re.fullmatch("w2v_jax: stopped[^\n]*\n", err)
    assert set(tree()) == {"text.txt", "out.jsonl"}


every_stop = pytest.mark.parametrize(
    ("number", "status", "line"),
    [(signal.SIGTERM, 143, "w2v_jax: ended by SIGTERM\n"),
     (signal.SIGINT, 130, "w2v_jax: stopped; no vectors were written\n")],
)  # fmt: skip


@every_stop
def test_a_stop_in_a_garbage_collection(
    number: int, status: int, line: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python drops what is raised there."""

    def stop(phase: str, _: object) -> None:
        if phase == "start":
            os.kill(os.getpid(), number)

    def collect(*args: object, **named: object) -> None:
        gc.callbacks.append(stop)
        try:
            gc.collect()
        finally:
            gc.callbacks.remove(stop)
        time.sleep(10)
        raise AssertionError("trains on")

    monkeypatch.setattr("w2v_jax.training.loop.train", collect)
    assert run("train text.txt --out out.bin")[::2] == (status, line)
    assert list(tree()) == ["text.txt"]


@every_stop
def test_stops_in_an_import_are_one_after_it(
    number: int, status: int, line: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People press again where nothing is said; the module is there, whole."""
    stops = f"for _ in range(3):\n    os.kill(os.getpid(), {number:d})\n    time.sleep(0.01)"
    Path("stops_itself.py").write_text(f"import os, time\n{stops}\nwhole = True\n")
    monkeypatch.syspath_prepend(os.getcwd())

    def load(*args: object, **named: object) -> None:
        importlib.import_module("stops_itself")
        time.sleep(10)
        raise AssertionError("trains on")

    monkeypatch.setattr("w2v_jax.training.loop.train", load)
    assert run("train text.txt --out out.bin")[::2] == (status, line)
    assert sys.modules.pop("stops_itself").whole
    time.sleep(0.05)  # for what would be sent once more
    assert not [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


def test_a_stop_of_a_program_that_is_imported() -> None:
    """The import that is under way is not the command's."""
    write_files("text.txt")
    command = ["train", "text.txt", "--out", "out.bin", "--metrics", "out.jsonl", "--epochs", "100000"]
    Path("calls_us.py").write_text(f"from w2v_jax.cli import main\nmain({command})\n")
    training = subprocess.Popen([sys.executable, "-c", "import calls_us"], stderr=subprocess.PIPE, text=True)
    while training.poll() is None and not Path("out.jsonl").exists():
        time.sleep(0.05)
    training.terminate()
    _, err = training.communicate(timeout=30)
    assert (training.returncode, err.splitlines()[-1]) == (143, "w2v_jax: ended by SIGTERM")


@pytest.mark.parametrize("command", ["neighbors v.txt man woman king queen apple", "--help"])
def test_a_reader_that_leaves_is_not_told(command: str) -> None:
    running = program(command)
    assert running.stdout
    running.stdout.close()
    assert running.stderr
    assert running.stderr.read() == ""
    running.stderr.close()
    running.wait()


def test_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        running = program("neighbors v.txt king", stdout=full)
    _, err = running.communicate()
    assert running.returncode != 0
    assert re.fullmatch("w2v_jax: [^\n]*No space left on device[^\n]*\n", err)


WRITERS = [
    *(f"convert v.txt out{end}" for end in (".bin", ".txt", ".vec", ".safetensors", ".npz", ".tsv")),
    *(f"plot v.bin --out out{end}" for end in (".png", ".svg", ".html")),
    "plot v.bin --out out.png --neighbors-of king --top 2",
    "plot v.bin --out out.svg --analogies man:woman king:queen",
    "plot ok.jsonl --out out.png",
    "train text.txt --cache kept --out out.bin",
    "train text.txt --cache kept --out out.bin --objective ppmi-svd --counts counts",
]


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("room", [0, 20])
def test_a_disk_that_fills_up_leaves_the_old_files(command: str, room: int, run: Run) -> None:
    """Whichever file it is that grows too long: the encoded corpus here."""
    Path("out.metadata.tsv").write_bytes(b"old")
    Path(next(word for word in command.split() if word.startswith("out."))).write_bytes(b"old")
    Path("kept").mkdir()
    write_files(command)
    before = tree()
    status, _, err = run(command, room=room)
    assert status == 1
    assert re.fullmatch("w2v_jax: [^\n]+: cannot be written: File too large\n", err)
    assert tree() == before


@pytest.mark.parametrize(
    ("options", "room"), [("", 2_000), ("--objective ppmi-svd --counts counts", 5), ("--objective ppmi-svd", 5)]
)
def test_a_disk_that_fills_up_after_the_encoding(options: str, room: int, run: Run) -> None:
    Path("out.bin").write_bytes(b"old")
    Path("other.bin").write_bytes(b"old")
    assert run("train text.txt --out other.bin").status == 0
    before, cached = tree(), sorted(Path(os.environ["XDG_CACHE_HOME"]).rglob("*"))
    status, _, err = run(f"train text.txt --out out.bin {options}", room=room)
    assert status == 1
    assert re.fullmatch(r"w2v_jax: [^\n]*(out.bin|counts[^/ ]*): cannot be written: File too large\n", err)
    assert tree() == before
    assert sorted(Path(os.environ["XDG_CACHE_HOME"]).rglob("*")) == cached


def test_two_files_change_together_or_not_at_all(run: Run) -> None:
    """The words are longer here than the vectors, which therefore find room."""
    Path("long.txt").write_text(f"{'long' * 100} 1 0\n{'word' * 100} 0 1\n")
    for name in ("out.tsv", "out.metadata.tsv"):
        Path(name).write_bytes(b"old")
    before = tree()
    status, _, err = run("convert long.txt out.tsv", room=100)
    assert (status, "out.metadata.tsv: cannot be written" in err) == (1, True)
    assert tree() == before


def test_a_full_disk_for_metrics_does_not_end_a_training(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "DISPATCH", 2)
    monkeypatch.setattr("w2v_jax.training.reports.REPORT_SECONDS", 0.0)
    assert run("train text.txt --out whole.bin --metrics whole.jsonl").status == 0
    assert len(Path("whole.jsonl").read_bytes()) > 4_000 > len(Path("whole.bin").read_bytes())
    status, printed, err = run("train text.txt --out out.bin --metrics out.jsonl", room=4_000)
    why = "out.jsonl: cannot be written: No space left on device; training goes on without it"
    assert (status, err) == (0, f"w2v_jax: {why}\n")
    assert "60 vectors in out.bin" in printed
    assert Path("out.bin").read_bytes() == Path("whole.bin").read_bytes()
    lines = Path("out.jsonl").read_text().splitlines()
    assert [strict_json(line)["step"] for line in lines] == [2 * (i + 1) for i in range(len(lines))]
    assert 3_000 < Path("out.jsonl").stat().st_size <= 4_000


@pytest.mark.parametrize(
    "command",
    [*(f"convert v.txt place/out{end}" for end in (".bin", ".txt", ".vec", ".safetensors", ".npz", ".tsv")),
     *(f"plot v.bin --out place/out{end}" for end in (".png", ".svg", ".html")),
     "train text.txt --out place/out.bin", "train text.txt --out out.bin --metrics place/out.jsonl",
     "train text.txt --out out.bin --cache place",
     "train text.txt --out out.bin --objective ppmi-svd --counts place/counts"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["a file", "a read-only folder"])
def test_a_folder_that_cannot_be_written(command: str, kind: str, run: Run) -> None:
    place = Path("place")
    if kind == "a file":
        place.write_bytes(b"")
    else:
        place.mkdir(mode=0o555)
        if os.access(place, os.W_OK):
            pytest.skip("root writes everywhere")
    assert ": cannot be written: " in refused(run, command)


def test_no_standard_output() -> None:
    write_files("v.txt")
    command = ["sh", "-c", '"$0" -m w2v_jax neighbors "$1" king >&-', sys.executable, str(Path("v.txt").absolute())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_refusal_in_a_process_of_its_own() -> None:
    running = program("train missing.txt --out out.bin")
    out, err = running.communicate()
    assert (running.returncode, out) == (1, "")
    assert re.fullmatch("w2v_jax: [^\n]*missing.txt: no such file\n", err)


@pytest.mark.parametrize(
    "command",
    ["train text.txt --out ./text.txt", "train text.txt --out out.bin --metrics out.bin",
     "train text.txt --out out.bin --metrics text.txt"],
)  # fmt: skip
def test_nothing_that_a_command_names_is_overwritten(command: str, run: Run) -> None:
    outcome = run(command)
    assert outcome.status == 1
    assert re.fullmatch(r"w2v_jax: \S+: would overwrite another file of this command; [^\n]+\n", outcome.err)
    assert Path("text.txt").read_bytes() == TEXT


def test_a_link_is_written_through(run: Run) -> None:
    Path("link.bin").symlink_to("target.bin")
    assert run("train text.txt --out link.bin").status == 0
    assert Path("link.bin").is_symlink()
    assert len(KeyedVectors.load("target.bin")) == 60


# Pictures


@pytest.mark.parametrize(
    "options",
    ["", "--top 3", "--words king queen apple", "--words king apple --top 1", "--neighbors-of king --top 2",
     "--analogies man:woman king:queen"],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(options: str, ending: str, run: Run) -> None:
    assert run(f"plot v.bin --out picture.{ending} {options}") == (0, f"drawn in picture.{ending}\n", "")
    assert Path(f"picture.{ending}").read_bytes().startswith(b"\x89PNG" if ending == "png" else b"<?xml")


@pytest.mark.parametrize("options", ["", "--top 3", "--words king queen"])
def test_plot_for_a_browser(options: str, run: Run) -> None:
    assert run(f"plot v.txt --out map.html {options}") == (0, "drawn in map.html\n", "")
    page = Path("map.html").read_text()
    assert page.startswith("<!doctype html>")
    assert '"king"' in page


def test_plot_of_a_training(run: Run) -> None:
    assert run("train text.txt --out out.bin --metrics out.jsonl --held-out 0.2").status == 0
    assert run("plot out.jsonl --out loss.png") == (0, "drawn in loss.png\n", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("v.bin --out picture.jpg", "picture.jpg: the ending must be .png or .svg or .html"),
        ("v.bin --out nowhere/picture.png", "nowhere/picture.png: cannot be written"),
        ("missing.bin --out picture.png", "missing.bin: no such file"),
        ("missing.jsonl --out picture.png", "missing.jsonl: no such file"),
        ("junk.bin --out picture.png", "junk.bin: "),
        ("bad.jsonl --out picture.png", "bad.jsonl: line 2 is no report"),
        ("v.bin --out picture.png --words king quen", "'quen' is not in the vocabulary; did you mean queen"),
        ("v.bin --out picture.png --words king", "a map of 1 word"),
        ("v.bin --out picture.png --top 1", "a map of 1 word"),
        ("v.bin --out picture.png --top 0", "top is 0; it must be at least 1"),
        ("v.bin --out map.html --words king", "a map of 1 word"),
        ("v.bin --out map.html --words king queen --top 2", "map.html: HTML is for maps"),
        ("v.bin --out map.html --neighbors-of king", "map.html: HTML is for maps"),
        ("v.bin --out picture.png --neighbors-of quen", "'quen' is not in the vocabulary"),
        ("v.bin --out picture.png --neighbors-of king --method tsne", "method is tsne; it lays out maps"),
        ("v.bin --out picture.png --analogies man:woman", "two pairs or more"),
        (
            "v.bin --out picture.png --analogies man:woman king",
            "'king' is no pair; write its two words",
        ),
        ("v.bin --out picture.png --analogies man:woman king:", "'king:' is no pair"),
        ("v.bin --out picture.png --analogies man:woman king:queen --top 3", "top is 3; .* analogies have none"),
        ("v.bin --out picture.png --words man king --neighbors-of king", "--words and --neighbors-of are pictures of"),
        ("bad.jsonl --out picture.png --words king", "the reports in bad.jsonl and --words are pictures of their own"),
        ("bad.jsonl --out map.html", "map.html: HTML is for maps"),
        ("bad.jsonl --out picture.png --top 3", "top is 3; .* curves"),
    ],
)
def test_what_plot_refuses(options: str, message: str, run: Run) -> None:
    assert re.search(message, refused(run, f"plot {options}"))


def test_plot_without_scikit_learn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    assert re.search("t-SNE needs scikit-learn: pip install", refused(run, "plot v.bin --out map.svg --method tsne"))


def test_what_does_not_fit_into_memory_is_said_in_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(KeyedVectors, "load", too_large)
    assert "does not fit into memory" in refused(run, "info v.bin")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8:strict"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [("neighbors odd.txt été --top 1", "{}: {} 1.000"), ("neighbors odd.txt été --top 1 --json", ""),
     ("info odd.txt", "")],
)  # fmt: skip
def test_letters_that_the_output_has_not(command: str, expected: str, encoding: str, folder: Path) -> None:
    Path("odd.txt").write_text("2 2\nété 1 2\n水 2 4\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "w2v_jax", *command.split()], capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    known = encoding.partition(":")[0]
    said = done.stdout.decode(known)
    if command.endswith("--json"):
        assert strict_json(said) == {"été": [["水", pytest.approx(1)]]}
    elif expected:
        spelled = (word.encode(known, "backslashreplace").decode(known) for word in ("été", "水"))
        assert said == expected.format(*spelled) + "\n"


# Converting


@pytest.mark.parametrize("out", ["out.bin", "out.txt", "out.vec", "out.safetensors", "out.npz"])
def test_convert(out: str, run: Run) -> None:
    assert run(f"convert v.txt {out}") == (0, f"5 vectors in {out}\n", "")
    assert run(f"convert {out} back.bin --limit 4") == (0, "4 vectors in back.bin\n", "")
    assert Path("back.bin").read_bytes() == b"4" + BINARY[1:-18]
    assert run(f"neighbors {out} king --top 1").out == "king: queen 0.816\n"


def test_convert_for_the_projector(run: Run) -> None:
    assert run("convert v.bin out.tsv --limit 2") == (0, "2 vectors in out.tsv\n", "")
    assert Path("out.tsv").read_text() == "1.0\t0.0\t0.0\n1.0\t1.0\t0.0\n"
    assert Path("out.metadata.tsv").read_text() == "man\nwoman\n"


def test_convert_words_that_are_not_utf_8(run: Run) -> None:
    Path("bad.txt").write_bytes(b"a\xff 1 2\nb 3 4\n")
    assert run("convert bad.txt out.txt --errors ignore").status == 0
    assert Path("out.txt").read_text() == "2 2\na 1.0 2.0\nb 3.0 4.0\n"
    assert run("convert bad.txt out.txt --errors replace").status == 0
    assert Path("out.txt").read_text().startswith("2 2\na\ufffd 1.0 2.0\n")
    assert "errors 'replace' or 'ignore' would read it" in refused(run, "convert bad.txt out.txt")


@pytest.mark.parametrize("out", ["out.safetensors", "out.npz"])
def test_train_keeps_both_tables_where_they_fit(out: str, run: Run) -> None:
    assert run(f"train text.txt --out {out}").status == 0
    assert run(f"convert {out} other{out}").status == 0
    kept = KeyedVectors.load(f"other{out}")
    assert kept.params is not None
    assert kept.counts is not None
    assert kept.counts.sum() == 20_000
    assert (kept.params.center == kept.vectors).all()
    assert kept.params.outside.shape == (60, 8)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("convert missing.bin out.txt", "missing.bin: no such file"),
        ("convert v.bin ./v.bin", "v.bin: would overwrite"),
        ("convert v.bin out.pkl", "out.pkl: the ending must be"),
        ("convert v.bin out.bin.gz", "out.bin.gz: the ending must be"),
        ("convert v.bin nowhere/out.txt", "nowhere/out.txt: cannot be written"),
        ("convert v.bin out.txt --limit 0", "limit is 0; it must be at least 1"),
        ("convert v.tsv out.txt", "v.tsv: is written for TensorBoard"),
        ("convert cut.vec out.txt", "cut.vec: line 3: expected"),
        ("convert junk.bin out.txt", "junk.bin: "),
    ],
)
def test_what_convert_refuses(command: str, message: str, run: Run) -> None:
    Path("out.txt").write_bytes(b"old")
    assert re.search(message, refused(run, command))
