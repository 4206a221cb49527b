"""Reports as JSON lines."""

import io
import json

import jax

from w2v_jax.params import init_params
from w2v_jax.training.metrics import write_json_lines
from w2v_jax.training.reports import Report


def test_a_report_is_a_line() -> None:
    file = io.StringIO()
    write = write_json_lines(file)
    params = init_params(jax.random.key(0), 2, 2)
    first = Report(step=3, words=100, epoch=0.5, loss=2.5, targets=40, held_out_loss=None, seconds=1.5,
                   compile_seconds=0.5, words_per_second=66.7, resumed=False)  # fmt: skip
    write(first, params)
    write(first._replace(step=6, held_out_loss=2.25), params)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    assert Report(**lines[0]) == first
    assert lines[1]["held_out_loss"] == 2.25
