"""Options that `train` would ignore are refused in one line, before anything is read or written."""

import io
import re
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from w2v_jax.cli import main
from w2v_jax.text.vocabulary import Vocabulary
from w2v_jax.training import warm_start

NOISE = ("--negative 7", "--noise-power 0.5", "--shared-negatives 16")
STREAM = ("--batch-tokens 64", "--held-out 0.1", "--lr 0.1", "--whitening 0.2", "--checkpoint-dir saved",
          "--devices 2", "--init v.bin")  # fmt: skip
COUNTS = ("--counts-dir kept", "--distance flat", "--subsample-rounds 2", "--count-power 0.5",
          "--context-smoothing 0.5")  # fmt: skip
IGNORED = {
    "negative-sampling": COUNTS,
    "naive-softmax": NOISE + COUNTS,
    "softmax": NOISE + COUNTS,
    "softmax-counts": NOISE + STREAM,
    "ppmi-svd": (*NOISE, *STREAM, "--epochs 2", "--metrics out.jsonl", "--timeout 9"),
}
NEEDS = {"--checkpoint-every 9": "--checkpoint-dir", "--timeout 9": "--cluster or --coordinator", "--freeze": "--init"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("text.txt").write_text("to be or not to be\n" * 50)
    return tmp_path


def error_of(options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error line of a training that is refused and writes no vectors."""
    with pytest.raises(SystemExit) as stop:
        main(["train", "text.txt", "--out", "out.bin", *options.split()])
    assert stop.value.code == 1
    assert not Path("out.bin").exists()
    return capsys.readouterr().err


DEFAULTS = ("--objective softmax --negative 5", "--objective ppmi-svd --epochs 5", "--distance linear",
            "--objective softmax-counts --lr 0.04")  # fmt: skip
REFUSED = [
    *((f"--objective {objective} {option}", f"{objective} does not use {option.split()[0]}; leave it out")
      for objective, options in IGNORED.items() for option in options),
    *((option, f"{'negative-sampling' if len(option.split()) < 3 else option.split()[1]} does not use "
       f"{option.split()[-2]}; leave it out") for option in DEFAULTS),
    ("--freeze --init None", "--freeze needs --init; add it, or leave out --freeze"),
    ("--timeout 100", "--timeout needs --cluster or --coordinator; add it, or leave out --timeout"),
    *((option, f"{option.split()[0]} needs {other}; add it, or leave out {option.split()[0]}")
      for option, other in NEEDS.items()),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_an_option_that_would_do_nothing_is_refused(
    options: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert error_of(options, capsys) == f"w2v_jax: {message}\n"
    assert [path.name for path in folder.iterdir()] == ["text.txt"]


def test_init_without_a_table_of_the_model_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = warm_start.WarmStart(Vocabulary(("to", "be"), (2, 2)), {"input": jnp.zeros((2, 100))})
    monkeypatch.setattr(warm_start, "load_warm_start", lambda path: start)
    line = error_of("--init saved --sample 0", capsys)
    assert line == ("w2v_jax: --init has the tables input, and negative-sampling trains center, outside; "
                    "name vectors or checkpoints that have one of these\n")  # fmt: skip


def test_options_that_the_objective_uses_are_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--objective softmax-counts --epochs 2 --dim 4 --metrics out.jsonl --sample 0 --distance flat"
    main(["train", "text.txt", "--out", "out.bin", *options.split()])
    assert capsys.readouterr().out.endswith("4 vectors in out.bin\n")
    assert len(Path("out.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(("place", "reason"), [("x" * 300, "File name too long"), ("text.txt/a/b", "Not a directory")])
@pytest.mark.parametrize("option", ["--checkpoint-dir", "--objective softmax-counts --counts-dir", "--cache"])
def test_folders_that_cannot_be_made_are_refused_before_the_work(
    option: str, place: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.match(f"w2v_jax: {place}.*: cannot be written: {reason}", error_of(f"{option} {place}", capsys))
    assert not Path("cache").exists()


def test_standard_input_trains_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--objective", "ppmi-svd", "--dim", "4", "--sample", "0", "--field", "text"]
    lines = b'{"text": "to be or not to be"}\n' * 50
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    main(["train", "-", "--out", "piped.bin", *options])
    main(["train", "text.txt", "--out", "out.bin", *options[:-2]])
    assert Path("piped.bin").read_bytes() == Path("out.bin").read_bytes()


def test_cache_is_listed_and_cleared(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    Path("kept").mkdir()
    Path("kept/thesis.txt").touch()
    options = "--cache kept --objective ppmi-svd --dim 4 --sample 0"
    main(["train", "text.txt", "--out", "out.bin", *options.split()])
    capsys.readouterr()
    main(["cache", "--cache", "kept"])
    text, counts, total = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" *[\d,]+ bytes  [-\d]{10}  text-\w+: encoded text, 300 words, 4 with vectors", text)
    assert re.fullmatch(r" *[\d,]+ bytes  [-\d]{10}  text-\w+-counts-\w+: counts of 4 words", counts)
    main(["cache", "--cache", "kept", "--clear"])
    assert capsys.readouterr().out == f"{text}\n{counts}\nremoved {total}\n"
    assert list(Path("kept").iterdir()) == [Path("kept/thesis.txt")]


def test_tilde_is_the_home_folder_in_every_option(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    Path("home").mkdir()
    paths = (
        "--cache ~/cache --counts-dir ~/counts --metrics ~/reports.jsonl --objective softmax-counts --epochs 1 --dim 4"
    )
    main(["train", "~/../text.txt", "--out", "~/out.bin", "--sample", "0", *paths.split()])
    assert {path.name for path in folder.iterdir()} == {"home", "text.txt"}
    assert {path.name for path in Path("home").iterdir()} == {"cache", "counts", "reports.jsonl", "out.bin"}
