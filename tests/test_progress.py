"""Long work prints lines in a log, the first after five seconds; on a terminal it draws a bar."""

import io
import sys

import pytest
import tqdm.std

from w2v_jax.progress import progress


def test_a_log_gets_whole_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log, now = io.StringIO(), [0]
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(tqdm.std, "time", lambda: now[0])
    with progress(1_000_000, "words", description="counting") as bar:
        for _ in range(70):
            now[0] += 1
            bar.set_postfix(loss="2.5", refresh=False)
            bar.update(10_000)
    assert log.getvalue().splitlines() == [
        "counting:   5% 50.0k/1.00M [00:05<01:35, 10.0kwords/s, loss=2.5]",
        "counting:  35% 350k/1.00M [00:35<01:05, 10.0kwords/s, loss=2.5]",
        "counting:  65% 650k/1.00M [01:05<00:35, 10.0kwords/s, loss=2.5]",
    ]


def test_short_or_silent_work_leaves_nothing_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    for silent in (False, True):
        with progress(10, "words", silent=silent) as bar:
            bar.update(10)
    assert capsys.readouterr().err == ""
