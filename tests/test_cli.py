"""The command line: its output, its files, and one line on standard error for each invalid input."""

import contextlib
import gc
import gzip
import http.server
import importlib
import io
import json
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock

import numpy as np
import optax
import pytest

from w2v_jax.cli import main
from w2v_jax.training import loop
from w2v_jax.training.checkpoints import Checkpoints
from w2v_jax.training.row_sparse import row_sparse
from w2v_jax.vectors.evaluation import evaluate_analogies, evaluate_similarity
from w2v_jax.vectors.keyed_vectors import KeyedVectors


def make_text() -> bytes:
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


TEXT = make_text()
WORDS = {"man": (1, 0, 0), "woman": (1, 1, 0), "king": (1, 0, 1), "queen": (1, 1, 1), "apple": (0, 0, -1)}
BINARY = b"5 3\n" + b"".join(word.encode() + b" " + struct.pack("<3f", *row) for word, row in WORDS.items())

FILES: dict[str, bytes | None] = {
    "text.txt": TEXT, "text.txt.gz": gzip.compress(TEXT), "empty.txt": b"", "folder": None, "folder.bin": None,
    "one_word.txt": b"only only only only\n" * 50, "lonely.txt": TEXT.replace(b" ", b"\n"),
    "empty.zip": zipped(), "folder.zip": zipped("folder/", "folder/text.txt"),
    "locked.zip": zipped("text.txt", tamper=(2, 1)), "strange.zip": zipped("text.txt", tamper=(4, 99)),
    "short.txt": b"to be or not to be\n", "v.bin": BINARY,
    "v.txt": "\n".join(["5 3", *(f"{word} {a} {b} {c}" for word, (a, b, c) in WORDS.items()), ""]).encode(),
    "pairs.txt": b"# people said\nman\twoman\t7\nKing\tQueen\t9\nking\tapple\t1\nking\tdragon\t2\n",
    "questions.txt": b": royalty\nman woman king queen\nman woman king dragon\n: fruit\nman king woman apple\n",
    "ok.jsonl": b'{"words": 1, "loss": 2.0}\n{"words": 2, "loss": 1.0}\n',
}  # fmt: skip
TINY = "--min-count 1 --dim 8"


class Outcome(NamedTuple):
    """Exit status and output of a command."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a new working folder, with the cache elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for processes that start in this folder
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, room_for: Any) -> Run:
    """Run a command in this process, after writing the files that it names."""

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
    """Split a command, and give `train` small defaults before its own options."""
    defaults = TINY if "ppmi-svd" in command else f"{TINY} --epochs 1"
    defaults += "" if re.search("softmax-counts|ppmi-svd", command) else " --batch-tokens 64"
    defaults += "" if "softmax" in command or "ppmi-svd" in command else " --shared-negatives 16"
    return shlex.split(re.sub("^train (?=.*--out)", f"train {defaults} ", command))


def write_files(command: str) -> None:
    """Write the files that a command names into the working folder."""
    for name, content in FILES.items():
        if name in command:
            Path(name).mkdir(exist_ok=True) if content is None else Path(name).write_bytes(content)


def tree() -> dict[str, bytes]:
    """Return the contents of every file in the working folder."""
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def strict_json(text: str) -> Any:
    """Parse JSON, and fail on NaN, which strict parsers refuse."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON: {text}"))


@pytest.mark.parametrize(
    ("corpus", "out", "options"),
    [("text.txt", "out.bin", ""), ("text.txt.gz", "out.txt", "--cache encoded"), ("folder.zip", "out.bin", ""),
     ("text.txt", "out.vec", "--objective naive-softmax"), ("text.txt", "out.bin", "--lr 1e30")],
)  # fmt: skip
def test_train(corpus: str, out: str, options: str, run: Run, folder: Path) -> None:
    status, printed, err = run(f"train {corpus} --out {out} {options}")
    assert (status, err) == (0, "")
    first, middle, last = printed.splitlines()
    match = re.fullmatch("20,000 words, 20,000 of them among the 60 with vectors; encoded in (.+)", first)
    assert match
    cache = folder / "encoded" if "--cache" in options else Path(os.environ["XDG_CACHE_HOME"]) / "w2v_jax"
    assert (folder / match[1]).parent == cache
    assert list(cache.iterdir()) == [folder / match[1]]
    speed = r"20,000 words in [\d.]+ s \([\d,]+ words/s\) after [\d.]+ s of compilation; loss \d+\.\d{4} nats a target"
    assert re.fullmatch(speed, middle)
    assert last == f"60 vectors in {out}"
    assert KeyedVectors.load(out).vectors.shape == (60, 8)


def signal_after_a_save(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Send a signal once, after the first checkpoint is saved."""
    save = Checkpoints.save

    def save_and_signal(*args: Any) -> None:
        save(*args)
        monkeypatch.setattr(Checkpoints, "save", save)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Checkpoints, "save", save_and_signal)


@pytest.fixture
def frequent_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BLOCKS_PER_DISPATCH", 2)
    monkeypatch.setattr("w2v_jax.training.reports.REPORTS_PER_EPOCH", 10**9)


@pytest.mark.usefixtures("frequent_reports")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_training_resumes_to_the_same_bytes(
    number: signal.Signals, status: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = "train text.txt"
    if number == signal.SIGTERM:
        assert run("train text.txt --out start.bin").status == 0
        Path("more.txt").write_bytes(TEXT.replace(b"animal1 ", b"yak "))
        training = "train more.txt --init start.bin"
    assert run(f"{training} --out whole.bin").status == 0
    signal_after_a_save(monkeypatch, number)
    training += " --out out.bin --checkpoint-dir saved --checkpoint-every 4 --metrics out.jsonl --resume"
    stopped = run(training)
    assert stopped.status == status
    first, second = stopped.err.splitlines()
    assert first == "saved: holds no checkpoint yet, starting from scratch"
    assert re.fullmatch(r"w2v_jax: stopped at step \d+, saved in saved; continue with --resume", second)
    assert not Path("out.bin").exists()
    resumed = run(training)
    assert resumed.status == 0
    assert re.fullmatch(r"saved: resumed from step \d+\n", resumed.err)
    assert Path("out.bin").read_bytes() == Path("whole.bin").read_bytes()
    reports = [strict_json(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert reports[-1]["words"] == 20_000
    assert [report["resumed"] for report in (reports[0], reports[-1])] == [False, True]


def test_metrics_are_json_lines_that_can_be_plotted(run: Run) -> None:
    status, printed, _ = run("train text.txt --out out.bin --epochs 3 --held-out 0.2 --metrics out.jsonl")
    assert status == 0
    assert re.search(r"; loss \d\.\d{4} nats a target, held out \d\.\d{4}\n", printed)
    reports = [strict_json(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert reports[-1]["words"] == 60_000
    assert 0 < reports[-1]["held_out_loss"] < 5
    assert run("plot out.jsonl --out loss.png") == (0, "drawn in loss.png\n", "")


def test_vectors_file_or_link_target_is_replaced_by_the_bytes_of_the_seed(run: Run) -> None:
    Path("out.bin").write_bytes(b"old")
    assert run("train text.txt --out out.bin").status == 0
    assert {path.name for path in Path().iterdir()} == {"text.txt", "out.bin"}
    Path("link.bin").symlink_to("target.bin")
    for seed, same in ((0, True), (1, False)):
        assert run(f"train text.txt --out link.bin --seed {seed}").status == 0
        assert Path("link.bin").is_symlink()
        assert (Path("target.bin").read_bytes() == Path("out.bin").read_bytes()) == same


def test_train_on_a_url(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"  # of the working folder
        assert run(f"train {url}/text.txt.gz --out out.bin")[::2] == (0, "")
        assert len(KeyedVectors.load("out.bin")) == 60
        assert re.search("nothing.txt: .*(no such file|404)", refused(run, f"train {url}/nothing.txt --out out.bin"))
        server.shutdown()


@pytest.mark.parametrize("file", ["v.bin", "v.txt"])
def test_neighbors(file: str, run: Run) -> None:
    line = "king: queen 0.816, man 0.707, woman 0.500, apple -0.707\n"
    assert run(f"neighbors {file} king") == (0, line, "")
    assert run(f"neighbors {file} king man --top 1") == (0, "king: queen 0.816\nman: woman 0.707\n", "")
    near = strict_json(run(f"neighbors {file} king man --top 2 --json").out)
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
    some = run(command, stdin=b"kign\nking\nman\n")
    assert some == (1, lines, "w2v_jax: 'kign' is not in the vocabulary; did you mean king?\n")
    assert run(command, stdin=b"a\nking\nb\nman\n") == (
        1, lines, "w2v_jax: 2 words are not in the vocabulary: 'a', 'b'\n"
    )  # fmt: skip


def test_neighbors_at_a_terminal_needs_words_or_a_dash(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = type("Terminal", (io.TextIOWrapper,), {"isatty": lambda self: True})
    monkeypatch.setattr(io, "TextIOWrapper", terminal)
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
    assert strict_json(run("info v.bin --json").out) == KeyedVectors.load("v.bin").summary()


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


def test_evaluate_names_skipped_lines_and_files_that_it_cannot_read(run: Run) -> None:
    Path("p.txt").write_text("word1,word2\nman\twoman\t7\nking\tqueen\t9\nking\tapple\t1\n")
    Path("q.txt").write_text("man woman king queen\nman woman king\n")
    status, printed, err = run("evaluate v.bin --similarity p.txt missing.txt --analogies none.txt q.txt")
    assert (status, err) == (1, "w2v_jax: missing.txt: no such file; none.txt: no such file\n")
    _, skipped, _, first, _, malformed = printed.splitlines()
    assert skipped == "  skipped 1 lines that are no pairs; line 1 is 'word1,word2'"
    assert first == "  100.0%       1 of      1  (0 skipped)  no section"
    assert malformed == "  skipped 1 lines that are no questions; line 2 is 'man woman king'"
    assert strict_json(run("evaluate v.bin --similarity p.txt --json").out)["similarity"]["p.txt"]["skipped"] == 1


@pytest.fixture
def hard(folder: Path) -> KeyedVectors:
    """Vectors, pairs and questions for which the evaluation options give different results."""
    draw = np.random.default_rng(0)
    words = [f"{name}{i}" for i in range(10) for name in ("é", "É", "king", "King")]
    vectors = KeyedVectors(words, draw.normal(size=(40, 3)).astype(np.float32))
    vectors.save("hard.bin")
    known = np.array([*words, "dragon"])
    pairs = [f"{a}\t{b}\t{score}" for score, (a, b) in enumerate(draw.choice(known, (60, 2)))]
    Path("hard_pairs.txt").write_text("\n".join(pairs))
    Path("hard_questions.txt").write_text("\n".join([": a", *map(" ".join, draw.choice(known, (1_000, 4)))]))
    return vectors


@pytest.mark.parametrize(
    ("options", "similarity", "analogies"),
    [("", {}, {}), ("--unknown wrong", {"unknown": "wrong"}, {"unknown": "wrong"}),
     ("--unknown mean", {"unknown": "mean"}, {"unknown": "mean"}), ("--method 3cosmul", {}, {"method": "3cosmul"}),
     ("--protocol word2vec", {}, {"candidates": 1, "case": "ascii"}), ("--top 20", {}, {"top": 20})],
)  # fmt: skip
def test_evaluation_options_equal_those_of_the_functions(
    options: str, similarity: dict[str, Any], analogies: dict[str, Any], hard: KeyedVectors, run: Run
) -> None:
    command = f"evaluate hard.bin --similarity hard_pairs.txt --analogies hard_questions.txt --json {options}"
    got = strict_json(run(command).out)
    people = got["similarity"]["hard_pairs.txt"]
    expected = evaluate_similarity(hard, "hard_pairs.txt", **similarity)
    assert people == {**expected._asdict(), "coverage": expected.coverage}
    answers = got["analogies"]["hard_questions.txt"]
    sections = evaluate_analogies(hard, "hard_questions.txt", **{"top": 30_000, **analogies})
    assert answers == [{**section._asdict(), "accuracy": section.accuracy} for section in sections]
    if similarity:
        assert expected != evaluate_similarity(hard, "hard_pairs.txt")
    interval = f"Spearman {expected.spearman:.4f} (95 %: {expected.low:.4f} to {expected.high:.4f}), "
    assert interval in run(command.replace("--json", "")).out
    if analogies:
        assert sections[-1][1:3] != evaluate_analogies(hard, "hard_questions.txt", top=30_000)[-1][1:3]


@pytest.mark.parametrize(
    ("command", "status"),
    [*((command, 0) for command in ("", "train", "neighbors", "analogy", "evaluate", "info", "plot", "convert",
                                           "cache")),
     *((command, 2) for command in (
         "", "fly", "train", "train text.txt", "neighbors", "neighbors v.bin king --top", "analogy v.bin a b", "info",
         "evaluate --json", "train text.txt --out out.bin --nosuch 1", "train text.txt --out out.bin --dim many",
         "train text.txt --out out.bin --objective magic")),
     ("neighbors v.bin king --top 0", 1), ("evaluate v.bin", 1), ("convert v.bin out.pkl", 1),
     ("train text.txt --out out", 1), ("train text.txt --out out.bin --dim 0", 1), ("neighbors no.bin king", 1),
     ("analogy no.txt a b c", 1), ("evaluate no.pkl --similarity no", 1), ("info no.tsv", 1),
     ("convert README.txt out.bin --limit 0", 1), ("plot no.bin --out out.jpg", 1), ("plot no.bin --out out.png", 1)],
)  # fmt: skip
def test_help_and_argument_errors_import_nothing_slow(command: str, status: int) -> None:
    code = (
        "import sys; from w2v_jax.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print({'jax', 'numpy', 'pyarrow', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    )
    args = [sys.executable, "-c", code, *command.split(), *([] if status else ["--help"])]
    done = subprocess.run(args, capture_output=True, text=True)
    assert done.returncode == status
    assert "set()" in done.stderr.splitlines()
    assert status != 2 or (done.stdout == "" and "--help" in done.stderr and "Traceback" not in done.stderr)
    assert status != 1 or re.fullmatch("w2v_jax: [^\n]+\nset\\(\\)\n", done.stderr)
    if not status:
        assert done.stderr == "set()\n"
        assert f"usage: python -m w2v_jax {command}".rstrip() in done.stdout
        assert "Example: python -m w2v_jax" in done.stdout


@pytest.mark.parametrize(
    "options",
    ["softmax-counts --dim 1 --window 20", "ppmi-svd --dim 1", "softmax --epochs 1",
     "softmax-counts --subsample-rounds 2 --count-power 0.75 --distance harmonic"],
)  # fmt: skip
def test_exact_softmax_objectives_train(options: str, run: Run) -> None:
    counts = "" if options.startswith("softmax ") else "--counts-dir kept"
    assert run(f"train text.txt --out out.bin {counts} --objective {options}")[::2] == (0, "")
    assert len(KeyedVectors.load("out.bin")) == 60
    if counts:
        assert run(f"train text.txt --out again.bin --counts-dir kept --objective {options}").status == 0
        assert Path("again.bin").read_bytes() == Path("out.bin").read_bytes()


@pytest.mark.parametrize(
    ("init", "freeze"),
    [("start.safetensors", ""), ("start.bin", ""), ("start.bin", "--freeze"), ("saved", "--freeze")],
)
def test_init_adds_new_words(init: str, freeze: str, run: Run) -> None:
    assert run("train text.txt --out start.safetensors --checkpoint-dir saved").status == 0
    start = KeyedVectors.load("start.safetensors")
    start.save("start.bin")
    text = TEXT[: TEXT.index(b"\n", 20_000)].replace(b"animal1 ", b"yak ").replace(b"metal29 ", b"zinc ")
    Path("more.txt").write_bytes(text)
    status, printed, err = run(f"train more.txt --out out.safetensors --init {init} {freeze}")
    assert (status, err) == (0, "")
    _, second, *_, last = printed.splitlines()
    assert second == "60 of these words known from --init, 2 new"
    assert last == "62 vectors in out.safetensors"
    grown = KeyedVectors.load("out.safetensors")
    assert {*grown.words} == {*start.words, "yak", "zinc"}
    moved = {word for word in start.words if (grown[word] != start[word]).any()}
    assert len(moved) == 0 if freeze else len(moved) > 50
    assert all((grown.outside[word] == start.outside[word]).all() for word in start.words) == (
        bool(freeze) and init != "start.bin"  # which has no outside vectors to keep
    )
    assert grown.outside["yak"].any()  # it learns


def refused(run: Run, command: str, **options: Any) -> str:
    """Return the error line of a command that fails and changes no file."""
    write_files(command)
    before = tree()
    status, _, err = run(command, **options)
    assert (status, bool(re.fullmatch("w2v_jax: [^\n]+\n", err))) == (1, True), err
    assert tree() == before
    return err


@pytest.mark.parametrize(
    ("options", "message"),
    [("missing.txt", "missing.txt: no such file"), ("'no\nsuch.txt'", "no such file"),
     ("empty.txt", "empty.txt: holds no words"), ("short.txt", "sample"),
     ("one_word.txt --metrics new.jsonl", "training needs two words or more"),
     ("lonely.txt --metrics old.jsonl", "no word has another word beside it on its line"),
     ("empty.zip", "empty.zip: cannot be read"), ("locked.zip", "locked.zip: cannot be read: .* encrypted"),
     ("strange.zip", "strange.zip: cannot be read: .* compression method"),
     ("http://127.0.0.1:1/text.txt", "http://127.0.0.1:1/text.txt: cannot be read: .*[Cc]onnect"),
     ("text.txt --out folder.bin", "folder.bin: is a directory"),
     ("text.txt --out out.bin.gz", "the ending must be .bin"),
     ("text.txt --cache text.txt/cache", "text.txt/cache/text-.*: cannot be written: Not a directory"),
     ("text.txt --metrics folder", "folder: is a directory"),
     ("text.txt --out out.tsv --metrics out.metadata.tsv", "out.metadata.tsv: would overwrite another file"),
     ("text.txt --window 1000000000000", "window is 1000000000000; it must be"),
     ("text.txt --negative 10000000000000000000000000000000000000", "the loss is (nan|inf)|negative is"),
     ("text.txt --dim 10000000000000", "(?i)memory|dim is"),
     ("text.txt --held-out 0.999", "held_out is 0.999, which leaves none of 20,000 words to train on"),
     ("text.txt --held-out 0.001", "held_out is 0.001, which leaves none of 20,000 words to hold out"),
     ("text.txt --subsample-rounds -1", "subsample_rounds is -1; it must be"),
     ("text.txt --objective softmax-counts --counts-dir text.txt", "text.txt: would overwrite another file"),
     ("text.txt --objective softmax-counts --counts-dir folder", "folder: not a complete folder of counts"),
     ("text.txt --objective softmax-counts --sample 1e-12 --subsample-rounds 1", "a larger --sample"),
     ("text.txt --objective ppmi-svd --sample 1e-60", "a larger --sample"),
     ("text.txt --init missing", "missing: no such folder, nor file"),
     ("text.txt --init v.bin", "v.bin: has vectors of 3 numbers, and dim is 8; give --dim 3"),
     ("text.txt --init text.txt", "text.txt: would overwrite another file|text.txt: "),
     ("text.txt --init v.bin --dim 3 --out ./v.bin", "v.bin: would overwrite another file"),
     ("text.txt --init v.bin --dim 3 --max-vocab 4", "max_vocab is 4, but 5 words are known; raise it"),
     ("text.txt --out ./text.txt", "text.txt: would overwrite another file of this command; choose another name"),
     ("text.txt --out out.bin --metrics out.bin", "out.bin: would overwrite another file"),
     ("text.txt --out out.bin --metrics text.txt", "text.txt: would overwrite another file")],
    ids=lambda part: part[:40],
)  # fmt: skip
def test_train_refuses_invalid_input_in_a_line(options: str, message: str, run: Run) -> None:
    for name in ("out.bin", "old.jsonl"):
        Path(name).write_bytes(b"old")
    assert re.search(message, refused(run, f"train {options}" + ("" if "--out" in options else " --out out.bin")))


@pytest.mark.parametrize(
    ("command", "message"),
    [("neighbors text.txt.gz king", "text.txt.gz: the first line must be two numbers"),
     ("neighbors v.bin quen", "'quen' is not in the vocabulary; did you mean queen?"),
     ("neighbors v.bin king King", "'King' is not in the vocabulary; did you mean king"),
     ("neighbors v.bin 'ki\nng'", "is not in the vocabulary"), ("neighbors v.bin", "name at least one word"),
     ("evaluate v.bin", "no evaluation set"), ("evaluate v.bin --similarity", "no evaluation set"),
     ("evaluate v.bin --similarity missing.txt", "missing.txt: no such file"),
     ("evaluate v.bin --analogies missing.txt", "missing.txt: no such file"),
     ("evaluate v.bin --analogies questions.txt --top 0", "top is 0; it must be at least 1"),
     ("plot v.bin --out picture.jpg", "picture.jpg: the ending must be .png or .svg or .html"),
     ("plot missing.jsonl --out picture.png", "missing.jsonl: no such file"),
     ("plot v.bin --out picture.png --top 1", "a map needs two words"),
     ("plot v.bin --out map.html --words king queen --top 2", "map.html: HTML is for maps"),
     ("plot v.bin --out map.html --neighbors-of king", "map.html: HTML is for maps"),
     ("plot v.bin --out picture.png --neighbors-of king --method tsne", "method is tsne, which is for maps"),
     ("plot v.bin --out picture.png --analogies man:woman king", "'king' is not a pair; write two words"),
     ("plot v.bin --out picture.png --analogies man:woman king:queen --top 3", "top is 3; .* analogies have none"),
     ("plot v.bin --out picture.png --words man king --neighbors-of king", "--words and --neighbors-of give"),
     ("plot ok.jsonl --out picture.png --words king", "reports in ok.jsonl and --words give"),
     ("plot ok.jsonl --out map.html", "map.html: HTML is for maps"),
     ("plot ok.jsonl --out picture.png --top 3", "top is 3; .* curves"),
     *((f"convert v.bin {out}", "would overwrite") for out in ("./v.bin", "link.bin", "hard.bin", "~/v.bin")),
     ("convert file://{}/v.bin v.bin", "v.bin: would overwrite"), ("convert x.metadata.tsv x.tsv", "would overwrite"),
     ("plot v.svg --out v.svg", "v.svg: would overwrite"), ("convert v.bin out.pkl", "out.pkl: the ending must be")],
)  # fmt: skip
def test_invalid_input_is_refused_in_a_line(
    command: str, message: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.getcwd())
    for name in ("out.txt", "v.bin", "v.svg", "x.metadata.tsv"):
        Path(name).write_bytes(BINARY)
    Path("link.bin").symlink_to("v.bin")
    os.link("v.bin", "hard.bin")
    assert re.search(message, refused(run, command.format(os.getcwd())))


def test_nan_loss_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # The default optimizer bounds its steps: no learning rate that float32 can hold gets there.
    monkeypatch.setattr("w2v_jax.training.loop.default_optimizer", lambda *_: row_sparse(optax.sgd(1e30)))
    message = r"the loss is (nan|inf) by step [\d,]+; lower the learning rate"
    assert re.search(message, refused(run, "train text.txt --out out.bin"))


def test_metrics_that_cannot_be_written_are_refused_before_the_text_is_encoded(run: Run) -> None:
    assert run("train text.txt --out out.bin --metrics nowhere/out.jsonl").out == ""
    assert list(Path(os.environ["XDG_CACHE_HOME"]).iterdir()) == []


def test_sigterm_while_counting_leaves_no_files(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.setattr("w2v_jax.counts.cooccurrence._count_chunks", stop)
    status, _, err = run("train text.txt --out out.bin --objective ppmi-svd --counts-dir kept --cache encoded")
    assert (status, err) == (143, "w2v_jax: ended by SIGTERM\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert {name.split("/")[0] for name in tree()} == {"text.txt", "encoded"}


every_signal = pytest.mark.parametrize(
    ("number", "status", "line"),
    [(signal.SIGTERM, 143, "w2v_jax: ended by SIGTERM\n"), (signal.SIGHUP, 129, "w2v_jax: ended by SIGHUP\n"),
     (signal.SIGINT, 130, "w2v_jax: stopped; no vectors were written\n")],
)  # fmt: skip


@every_signal
def test_signal_in_a_garbage_collection_ends_the_command(
    number: int, status: int, line: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python drops exceptions raised there."""
    stop = lambda phase, _: os.kill(os.getpid(), number) if phase == "start" else None

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


@every_signal
def test_signals_in_an_import_are_delivered_once_after_it(
    number: int, status: int, line: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import is completed, however often the signal comes."""
    stops = f"for _ in range(3):\n    os.kill(os.getpid(), {number:d})\n    time.sleep(0.01)"
    Path("signals_itself.py").write_text(f"import os, time\n{stops}\nwhole = True\n")
    monkeypatch.syspath_prepend(os.getcwd())

    def load(*args: object, **named: object) -> None:
        importlib.import_module("signals_itself")
        time.sleep(10)
        raise AssertionError("trains on")

    monkeypatch.setattr("w2v_jax.training.loop.train", load)
    assert run("train text.txt --out out.bin")[::2] == (status, line)
    assert sys.modules.pop("signals_itself").whole
    time.sleep(0.05)  # a second delivery would come in this time
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


@every_signal
def test_training_ends_on_signals_to_its_process(number: int, status: int, line: str) -> None:
    """The import of a program that calls `main` does not count as an import of the command."""
    write_files("text.txt")
    command = ["train", "text.txt", "--out", "out.bin", "--metrics", "out.jsonl", "--epochs", "100000"]
    Path("calls_main.py").write_text(f"from w2v_jax.cli import main\nmain({command})\n")
    start = ["-c", "import calls_main"] if number == signal.SIGINT else ["-m", "w2v_jax", *command]
    training = subprocess.Popen([sys.executable, *start], stderr=subprocess.PIPE, text=True)
    while training.poll() is None and not (Path("out.jsonl").exists() and Path("out.jsonl").read_text()):
        time.sleep(0.05)
    training.send_signal(number)
    _, err = training.communicate(timeout=30)
    assert (training.returncode, err) == (status, line)
    assert {name for name in tree() if "__pycache__" not in name} <= {"text.txt", "out.jsonl", "calls_main.py"}


@pytest.mark.parametrize("command", ["info v.txt", "--help"])
def test_closed_pipes_are_not_errors(command: str) -> None:
    write_files(command)
    start = [sys.executable, "-m", "w2v_jax", *command.split()]
    running: Any = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running.stdout.close()
    assert running.stderr.read() == ""
    running.stderr.close()
    running.wait()


@pytest.mark.parametrize(
    ("redirection", "status", "line"), [(">&-", 0, ""), (">/dev/full", 1, "w2v_jax: .*No space left on device.*\n")]
)
def test_full_disk_is_reported_and_closed_output_is_no_error(redirection: str, status: int, line: str) -> None:
    write_files("v.txt")
    command = ["sh", "-c", f'"$0" -m w2v_jax info v.txt {redirection}', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, bool(re.fullmatch(line, done.stderr))) == (status, True)


WRITERS = [
    *(f"convert v.txt out{end}" for end in (".bin", ".txt", ".vec", ".safetensors", ".tsv")),
    *(f"plot v.bin --out out{end}" for end in (".png", ".svg", ".html")),
    "plot v.bin --out out.png --neighbors-of king --top 2",
    "plot v.bin --out out.svg --analogies man:woman king:queen",
    "plot ok.jsonl --out out.png",
    "train text.txt --cache kept --out out.bin",
    "train text.txt --cache kept --out out.bin --objective ppmi-svd --counts-dir counts",
]


@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("room", [0, 20])
def test_full_disk_leaves_the_old_files(command: str, room: int, run: Run) -> None:
    """Whichever file it is that grows too long: the encoded corpus here."""
    Path("out.metadata.tsv").write_bytes(b"old")
    Path(next(word for word in command.split() if word.startswith("out."))).write_bytes(b"old")
    Path("kept").mkdir()
    assert re.search(
        ": cannot be written: File too large(; name another folder with --cache)?\n$", refused(run, command, room=room)
    )


@pytest.mark.parametrize(
    ("options", "room"), [("", 2_000), ("--objective ppmi-svd --counts-dir counts", 5), ("--objective ppmi-svd", 5)]
)
def test_full_disk_after_the_encoding_leaves_the_old_files(options: str, room: int, run: Run) -> None:
    Path("out.bin").write_bytes(b"old")
    assert run("train text.txt --cache encoded --out other.bin").status == 0
    err = refused(run, f"train text.txt --cache encoded --out out.bin {options}", room=room)
    assert re.search(r"(out.bin|counts[^/ ]*): cannot be written: File too large\n", err)


def test_projector_files_are_replaced_together(run: Run) -> None:
    """The words are longer here than the vectors, which therefore find room."""
    word, other = "long" * 100, "word" * 100
    Path("long.txt").write_text(f"{word} 1 0\n{other} 0 1\n")
    for name in ("out.tsv", "out.metadata.tsv"):
        Path(name).write_bytes(b"old")
    assert "out.metadata.tsv: cannot be written" in refused(run, "convert long.txt out.tsv", room=100)
    assert run("convert long.txt out.tsv --limit 1") == (0, "1 vectors in out.tsv\n", "")
    assert (Path("out.tsv").read_text(), Path("out.metadata.tsv").read_text()) == ("1.0\t0.0\n", f"{word}\n")


@pytest.mark.usefixtures("frequent_reports")
def test_full_disk_for_metrics_does_not_end_training(run: Run) -> None:
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
    [*(re.sub(r"\bout\.", "place/out.", command) for command in WRITERS),
     "train text.txt --out out.bin --metrics place/out.jsonl", "train text.txt --out out.bin --cache place",
     "train text.txt --out out.bin --objective ppmi-svd --counts-dir place/counts"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["a file", "a read-only folder"])
def test_unwritable_folders_are_reported(command: str, kind: str, run: Run) -> None:
    place = Path("place")
    if kind == "a file":
        place.write_bytes(b"")
    else:
        place.mkdir(mode=0o555)
        if os.access(place, os.W_OK):
            pytest.skip("root writes everywhere")
    assert ": cannot be written: " in refused(run, command)


@pytest.mark.parametrize(
    "options",
    ["", "--top 3", "--words king queen apple", "--words king apple --top 1", "--neighbors-of king --top 2",
     "--analogies man:woman king:queen"],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(options: str, ending: str, run: Run) -> None:
    assert run(f"plot v.bin --out picture.{ending} {options}") == (0, f"drawn in picture.{ending}\n", "")
    assert Path(f"picture.{ending}").read_bytes().startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    if options in ("", "--top 3", "--words king queen apple"):
        assert run(f"plot v.txt --out map.html {options}") == (0, "drawn in map.html\n", "")
        assert Path("map.html").read_text().startswith("<!doctype html>")


def test_plot_without_scikit_learn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    assert re.search("t-SNE needs scikit-learn: pip install", refused(run, "plot v.bin --out map.svg --method tsne"))


def test_memory_error_is_reported_in_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeyedVectors, "load", Mock(side_effect=MemoryError))
    assert "does not fit into memory" in refused(run, "info v.bin")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_outside_the_output_encoding_are_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("odd.txt").write_text("2 2\nété 1 2\n水 2 4\n", encoding="utf-8")

    def said(command: str) -> str:
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
        main(command.split())
        sys.stdout.flush()
        return raw.getvalue().decode(encoding)

    first, second = (word.encode(encoding, "backslashreplace").decode(encoding) for word in ("été", "水"))
    assert said("neighbors odd.txt été --top 1") == f"{first}: {second} 1.000\n"
    assert f"first words: {first}, {second}\n" in said("info odd.txt")
    assert strict_json(said("neighbors odd.txt été --top 1 --json")) == {"été": [["水", pytest.approx(1)]]}


@pytest.mark.parametrize("out", ["out.bin", "out.txt", "out.vec", "out.safetensors"])
def test_convert(out: str, run: Run) -> None:
    assert run(f"convert v.txt {out}") == (0, f"5 vectors in {out}\n", "")
    assert run(f"convert {out} back.bin --limit 4") == (0, "4 vectors in back.bin\n", "")
    assert Path("back.bin").read_bytes() == b"4" + BINARY[1:-18]
    assert run(f"neighbors {out} king --top 1").out == "king: queen 0.816\n"


def test_convert_words_that_are_not_utf_8(run: Run) -> None:
    Path("bad.txt").write_bytes(b"a\xff 1 2\nb 3 4\n")
    assert run("convert bad.txt out.txt --errors replace").status == 0
    assert Path("out.txt").read_text().startswith("2 2\na\ufffd 1.0 2.0\n")
    assert "errors 'replace' or 'ignore' would read it" in refused(run, "convert bad.txt out.txt")


def test_safetensors_keeps_both_tables_and_counts(run: Run) -> None:
    assert run("train text.txt --out out.safetensors").status == 0
    assert run("convert out.safetensors other.safetensors").status == 0
    kept: Any = KeyedVectors.load("other.safetensors")
    assert kept.counts.sum() == 20_000
    assert (kept.params.center == kept.vectors).all()
    assert kept.params.outside.shape == (60, 8)
