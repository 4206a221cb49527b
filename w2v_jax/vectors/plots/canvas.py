"""Create figures without a display, and save them as PNG or SVG."""

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

from ...files import atomic_write
from ..endings import check_picture

DPI = 120
MISSING_GLYPH = "Glyph"  # the warning for a letter that the font lacks, which is drawn as a box
COLORS = ("#1f5fa8", "#b8440e", "#237a3b", "#8a3a96", "#0b7a83", "#a3142e", "#7a5c00", "#565656")
"""Dark enough for text on white. interactive.html has the same colors, and others for a dark page."""


def new_figure(points: Float[np.ndarray, "n 2"], title: str, *, margin: float, size: int = 10) -> tuple[Figure, Axes]:
    """Create a figure without ticks, shaped by the points, with equal scales on both axes.

    Args:
      margin: space on each side, as a share of the points' larger extent.
      size: inches along the longer side.
    """
    low, high = points.min(0), points.max(0)
    extent = np.maximum(high - low, 0.4 * (high - low).max())  # no narrow stripe
    distinct = extent.max() > 1e-9 * np.abs(points).max()  # differences beyond rounding, which varies by processor
    extent = extent + 2 * margin * extent.max() if distinct else np.ones(2)
    width, height = (size * extent / extent.max()).tolist()
    heading = 0.45
    figure = Figure(figsize=(width, height + heading), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, height / (height + heading)))
    axes.set_axis_off()
    (left, bottom), (right, top) = (low + high - extent) / 2, (low + high + extent) / 2
    axes.set(xlim=(left, right), ylim=(bottom, top))
    families, _ = find_fonts(title)
    y = 1 - heading / 2 / (height + heading)
    figure.text(0.02, y, title, fontsize=12, va="center", parse_math=False, fontfamily=families)
    return figure, axes


def find_fonts(text: str) -> tuple[list[str], set[str]]:
    """Return the font families that draw a text, the default one first, and the letters that no font here has."""
    families, missing = list(matplotlib.rcParams["font.family"]), {*text}
    missing -= {*map(chr, FT2Font(findfont(FontProperties())).get_charmap())}
    own = matplotlib.get_data_path()  # fonts for mathematics, and one that draws boxes
    for font in sorted(fontManager.ttflist, key=lambda font: (font.style != "normal", font.name)):
        with contextlib.suppress(RuntimeError, OSError):  # a damaged font, or one removed since
            if missing and not font.fname.startswith(own):
                found = missing & {*map(chr, FT2Font(font.fname).get_charmap())}
                families += [font.name] * bool(found)
                missing -= found
    return families, missing


def report_missing_letters(words: Sequence[str], missing: set[str]) -> None:
    """Name words that are drawn as boxes on standard error."""
    if boxes := [word for word in words if missing & {*word}]:
        some = ", ".join(boxes[:3]) + (", …" if len(boxes) > 3 else "")
        print(f"w2v_jax: {len(boxes)} words are drawn as boxes, as no font here has their letters: {some}; install a "
              "font, such as Noto, or draw an .html map", file=sys.stderr)  # fmt: skip


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG or SVG, by the path's ending; equal figures give equal bytes."""
    check_picture(path)
    ending = os.path.splitext(path)[1][1:]
    metadata = {"Date": None} if ending == "svg" else None
    with atomic_write(path) as file, matplotlib.rc_context({"svg.hashsalt": "w2v_jax"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        figure.savefig(file, format=ending, dpi="figure", metadata=metadata)
