"""Draw training curves: the loss and the quality measures of a training's reports."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from ...errors import InputError
from ...files import open_input, read_lines
from .canvas import DPI, save_figure

PROGRESS = {"step", "words", "epoch", "targets", "seconds", "compile_seconds", "words_per_second", "resumed"}
LOSSES = {"loss": "training", "held_out_loss": "held out"}


def draw_curves(reports: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Draw the losses of a training against the words read, as PNG or SVG by the path's ending.

    Any other field of the reports is a quality measure, drawn in a second panel.

    Raises:
      InputError: there are no reports, or the path cannot be written.
    """
    if not reports:
        raise InputError("there are no reports to draw")
    measures = sorted({name for report in reports for name in report} - PROGRESS - LOSSES.keys())
    figure = Figure(figsize=(8, 7 if measures else 4.5), dpi=DPI, layout="constrained")
    panels = figure.subplots(1 + bool(measures), sharex=True, squeeze=False)[:, 0]
    curves = {"loss per target, nats": LOSSES, "quality": {name: name for name in measures}}
    for panel, (ylabel, names) in zip(panels, curves.items(), strict=False):
        for name, label in names.items():
            points = [(report["words"] / 1e6, report[name]) for report in reports if report.get(name) is not None]
            if points:
                marker = "o" if len(points) < 40 else ""
                panel.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=label)
        panel.set(ylabel=ylabel)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    last = reports[-1]
    panels[0].set_title(f"{last['words']:,.0f} words read; loss {last['loss']:.4f} at the end", loc="left", fontsize=11)
    panels[-1].set(xlabel="words read, millions")
    save_figure(figure, path)


def read_reports(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Read the reports that `train --metrics` wrote, one JSON object a line.

    Where a training was resumed from an earlier step, later reports replace those of the steps that it repeated.

    Raises:
      InputError: the file cannot be read, or a line is not a report.
    """
    name = os.fspath(path)
    reports: list[dict[str, float]] = []
    with open_input(path) as file:
        for number, line in enumerate(read_lines(file, name), 1):
            report = _parse_report(line)
            if report is None:
                raise InputError(f"{name}: line {number} is not a report: a JSON object with finite words and loss")
            while reports and reports[-1]["words"] >= report["words"]:
                reports.pop()
            reports.append(report)
    if not reports:
        raise InputError(f"{name}: holds no reports; train --metrics writes them")
    return reports


def _parse_report(line: str) -> dict[str, float] | None:
    """Return the numbers of a report, or None where the line is not a report of finite numbers."""
    try:
        fields = json.loads(line)
        report = {name: float(value) for name, value in fields.items() if isinstance(value, int | float)}
    except (ValueError, AttributeError, OverflowError, RecursionError):  # not JSON, no object, huge, nested too deep
        return None
    return report if {"words", "loss"} <= report.keys() and all(map(math.isfinite, report.values())) else None
