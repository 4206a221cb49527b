"""A blank picture, and how it becomes a PNG or an SVG file, without a display."""

import contextlib
import os
import warnings
from collections.abc import Iterator

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...files import writing
from ..endings import check_picture

DPI = 120
COLORS = ("#1f5fa8", "#b8440e", "#237a3b", "#8a3a96", "#0b7a83", "#a3142e", "#7a5c00", "#565656")
"""Each dark enough to write in on white; interactive.html has the same, and others for a dark page."""


def blank(points: Float[np.ndarray, "n 2"], title: str, *, margin: float, size: int = 10) -> tuple[Figure, Axes]:
    """A figure shaped by the points that it is to hold, without ticks, in which a unit is as long up as across.

    Args:
      margin: room left on each side, as a share of the points' greater extent.
      size: inches along the longer side.
    """
    low, high = points.min(0), points.max(0)
    extent = np.maximum(high - low, 0.4 * (high - low).max())  # neither a stripe nor, for one place, nothing
    apart = extent.max() > 1e-9 * np.abs(points).max()  # by more than rounding, which processors do not do alike
    extent = extent + 2 * margin * extent.max() if apart else np.ones(2)
    width, height = (size * extent / extent.max()).tolist()
    heading = 0.45
    figure = Figure(figsize=(width, height + heading), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, height / (height + heading)))
    axes.set_axis_off()
    (left, bottom), (right, top) = (low + high - extent) / 2, (low + high + extent) / 2
    axes.set(xlim=(left, right), ylim=(bottom, top))
    figure.text(0.02, 1 - heading / 2 / (height + heading), title, fontsize=12, va="center", parse_math=False)
    return figure, axes


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write the figure, as PNG or SVG by the path's ending; the same figure gives the same bytes.

    Raises:
      InputError: the path cannot be written, or its ending is another.
    """
    check_picture(path)
    kind = "svg" if os.fspath(path).endswith(".svg") else "png"
    with writing(path) as file, matplotlib.rc_context({"svg.hashsalt": "w2v_jax"}), any_script():
        figure.savefig(file, format=kind, dpi="figure", metadata={"Date": None} if kind == "svg" else None)


@contextlib.contextmanager
def any_script() -> Iterator[None]:
    """Where text is measured or drawn: a script that the font lacks becomes boxes, and no warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield
