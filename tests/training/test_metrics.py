"""Reports as JSON lines."""

import json
from pathlib import Path

import jax
import pytest

from w2v_jax.params import init_params
from w2v_jax.training.metrics import write_json_lines
from w2v_jax.training.reports import Report

FIRST = Report(step=3, words=100, epoch=0.5, loss=2.5, targets=40, held_out_loss=None, seconds=1.5,
               compile_seconds=0.5, words_per_second=66.7, resumed=False)  # fmt: skip
PARAMS = init_params(jax.random.key(0), 2, 2)


def test_a_report_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("of another training\n")
    write = write_json_lines(file)
    write(FIRST, PARAMS)
    write(FIRST._replace(step=6, held_out_loss=2.25), PARAMS)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    assert Report(**lines[0]) == FIRST
    assert lines[1]["held_out_loss"] == 2.25


def test_a_resumed_training_goes_on_with_its_lines(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "m")(FIRST, PARAMS)
    write_json_lines(tmp_path / "m")(FIRST._replace(step=6, resumed=True), PARAMS)
    assert [json.loads(line)["step"] for line in (tmp_path / "m").read_text().splitlines()] == [3, 6]


def test_a_file_that_cannot_be_written_is_let_go(capsys: pytest.CaptureFixture[str]) -> None:
    write = write_json_lines("/dev/full")
    write(FIRST, PARAMS)
    write(FIRST, PARAMS)
    assert capsys.readouterr().err == (
        "w2v_jax: /dev/full: cannot be written: No space left on device; training goes on without it\n"
    )
