"""The gradient check accepts the right equations and rejects wrong ones."""

from pathlib import Path

import pytest
from matplotlib.image import imread

import w2v_jax as w2v
from experiments import gradient_check
from tests.objectives.test_gradients import without_minus_y


def rows(printed: str) -> list[tuple[str, str]]:
    """Return the table's (row, verdict) pairs."""
    pairs = [line.rpartition("  ") for line in printed.splitlines()]
    return [(row, verdict) for row, _, verdict in pairs if verdict in ("ok", "WRONG", "rejected", "ACCEPTED")]


def test_every_equation_holds_and_the_wrong_one_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gradient_check.main(["--out", str(tmp_path / "new" / "out")])
    printed = capsys.readouterr().out
    assert "banking with each of turning, into, crises, as" in printed
    table = rows(printed)
    assert [row.split("  ")[0] for row, _ in table[:8]] == list("12345678")
    assert {verdict for _, verdict in table[:-1]} == {"ok"}
    assert table[-1][1] == "rejected"
    picture = tmp_path / "new" / "out" / "gradient_check.png"
    assert printed.endswith(f"picture: {picture}\n")
    assert (imread(picture)[..., :3].min(-1) < 0.5).sum() > 5_000  # ink


def test_a_wrong_gradient_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(w2v, "naive_softmax_gradients", without_minus_y)
    with pytest.raises(SystemExit) as exited:
        gradient_check.main(["--out", str(tmp_path)])
    assert exited.value.code == 1
    for row, verdict in rows(capsys.readouterr().out)[:-1]:
        assert verdict == ("WRONG" if "naive_softmax_gradients" in row else "ok")


def test_a_bound_that_accepts_every_equation_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_check, "BOUND", 1e9)
    with pytest.raises(SystemExit) as exited:
        gradient_check.main(["--out", str(tmp_path)])
    assert exited.value.code == 1
