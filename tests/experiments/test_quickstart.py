"""The experiments that the README names run on small inputs."""

import runpy
import sys
from pathlib import Path

import jax
import pytest

from experiments import quickstart


def test_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "docstrings.txt"
    text.write_text("\n".join(f"a float or an int {i % 7} is the maximum of a matrix in a file" for i in range(900)))
    monkeypatch.setattr(quickstart, "named_corpus", lambda name, cache: text)
    monkeypatch.setattr(sys, "argv", ["quickstart", "--out", str(tmp_path / "out"), "--epochs", "1"])
    quickstart.main()
    printed = capsys.readouterr().out
    assert "maximum: " in printed
    assert "words/s; loss" in printed
    for name in ("loss.png", "words.png", "docstrings.bin"):
        assert (tmp_path / "out" / name).stat().st_size > 1_000
        assert str(tmp_path / "out" / name) in printed


def test_own_loop(capsys: pytest.CaptureFixture[str]) -> None:
    with jax.numpy_dtype_promotion("standard"):
        runpy.run_module("experiments.own_loop", run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1].count("left") == 6
