"""How a training went: its loss, and whatever quality was measured on the way."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ...errors import InputError
from ...files import reading
from ..endings import check_picture
from .canvas import save

Reports = Sequence[Mapping[str, Any]]
NO_QUALITY = frozenset(
    {"step", "words", "epoch", "loss", "targets", "held_out_loss", "seconds", "compile_seconds", "words_per_second",
     "resumed"}
)  # fmt: skip
LABELS = {"loss": "training", "held_out_loss": "held out"}
LONGEST_LINE = 1 << 20  # bytes


def draw_curves(reports: Reports, path: str | os.PathLike[str]) -> None:
    """Draw the reports of a training against the words read; a PNG or SVG by the path's ending.

    Above stands the mean loss per target and, where it was measured, the held-out loss. Any other number
    that the reports hold under a name of its own is taken for a measure of quality, and drawn below.

    Raises:
      InputError: there are no reports, or the path cannot be written.
    """
    check_picture(path)
    if not reports:
        raise InputError("there are no reports to draw")
    measures = sorted({name for report in reports for name in report} - NO_QUALITY)
    figure = Figure(figsize=(8, 7 if measures else 4.5), dpi=120, layout="constrained")
    panels = figure.subplots(1 + bool(measures), sharex=True, squeeze=False)[:, 0]
    for panel, names, label in zip(
        panels, (["loss", "held_out_loss"], measures), ("loss per target, nats", "quality"), strict=False
    ):
        for name in names:
            known = [(report["words"] / 1e6, report[name]) for report in reports if report.get(name) is not None]
            if known:
                x, y = zip(*known, strict=True)
                panel.plot(x, y, marker="o" if len(known) < 40 else "", markersize=4, label=LABELS.get(name, name))
        panel.set(ylabel=label)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    last = reports[-1]
    panels[0].set_title(f"{last['words']:,.0f} words read; loss {last['loss']:.4f} at the end", loc="left", fontsize=11)
    panels[-1].set(xlabel="words read, millions")
    save(figure, path)


def read_reports(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """The reports that `train --metrics` wrote, a JSON object a line.

    Where a training was stopped and went on from an earlier checkpoint, what it then did again replaces
    what it had reported before.

    Raises:
      InputError: the file cannot be read, or a line is no report; the message says which.
    """
    reports: list[dict[str, float]] = []
    with reading(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            report = _report(line)
            if report is None:
                raise InputError(
                    f"{os.fspath(path)}: line {number} is no report: a JSON object with the numbers words and loss"
                )
            while reports and reports[-1]["words"] >= report["words"]:
                reports.pop()
            reports.append(report)
    if not reports:
        raise InputError(f"{os.fspath(path)}: holds no reports; train --metrics writes them")
    return reports


def _report(line: bytes) -> dict[str, float] | None:
    """The numbers of a report; none where the line is no report, or a number is none that can be drawn."""
    try:
        fields = json.loads(line)
        report = {name: float(value) for name, value in fields.items() if isinstance(value, int | float)}
    except (ValueError, AttributeError, OverflowError, RecursionError):  # not JSON, no object, huge, nested too deep
        return None
    return report if {"words", "loss"} <= report.keys() and all(map(math.isfinite, report.values())) else None
