"""Label points with words, so that no label overlaps another."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from .canvas import MISSING_GLYPH, find_fonts, report_missing_letters

SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])
"""Directions from a point to its label, the best first."""
MAX_CHARACTERS = 30  # of a label


def place_labels(
    points: Float[np.ndarray, "n 2"], sizes: Float[np.ndarray, "n 2"], frame: Float[np.ndarray, "2 2"],
    gaps: Float[np.ndarray, " n"], avoid: Float[np.ndarray, "m 2"],
) -> Float[np.ndarray, "n 2"]:  # fmt: skip
    """Return the lower left corners of labels beside their points; NaN for a label without a free place.

    Each label in turn takes the side within the frame where it covers no earlier label and the fewest marks.

    Args:
      gaps: distance of each label from its point.
      avoid: further marks, which labels leave free if they can.

    >>> points, avoid = np.array([(10.0, 10.0), (12.0, 10.0)]), np.empty((0, 2))
    >>> place_labels(points, np.full((2, 2), 8.0), np.array([(0.0, 0.0), (40.0, 40.0)]), np.ones(2), avoid).tolist()
    [[1.0, 6.0], [13.0, 6.0]]
    """
    boxes = np.full((len(points), 2, 2), np.nan)  # lower left and upper right corners
    radius = 0.8 * gaps[:, None]
    marks = np.concatenate([np.stack([points - radius, points + radius], 1), np.stack([avoid, avoid], 1)])
    for i, (point, size, gap) in enumerate(zip(points, sizes, gaps, strict=True)):
        low = point + SIDES * (gap + size / 2) - size / 2
        sides = np.stack([low, low + size], 1)
        outside = ((low < frame[0]) | (low + size > frame[1])).any(1)
        excluded = outside | _overlaps(sides, boxes[:i]).any(1)
        cost = np.where(excluded, np.inf, _overlaps(sides, marks).sum(1))
        if np.isfinite(cost.min()):
            boxes[i] = sides[cost.argmin()]
    return boxes[:, 0]


def draw_words(
    axes: Axes, words: Sequence[str], points: Float[np.ndarray, "n 2"], colors: Sequence[str], *,
    areas: Sequence[float], bold: Sequence[bool], avoid: Float[np.ndarray, "m 2"] | None = None,
) -> None:  # fmt: skip
    """Draw each point with its word beside it, the first words first; omit labels without a free place.

    Args:
      areas: areas of the points, as `scatter` of matplotlib takes them.
      avoid: as `place_labels` takes it.
    """
    figure: Any = axes.get_figure(root=True)
    shown = [printable(word) for word in words]
    families, missing = find_fonts("".join(shown))
    report_missing_letters(shown, missing)
    axes.scatter(points[:, 0], points[:, 1], s=areas, color=colors, linewidths=0, zorder=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING_GLYPH)
        figure.draw_without_rendering()  # fixes the transformation from data to pixels
        texts = [
            axes.annotate(
                word, (x, y), (0, 0), textcoords="offset points", ha="left", va="bottom", color=color,
                fontsize=11 if strong else 8, fontweight="bold" if strong else "normal", parse_math=False,
                path_effects=[withStroke(linewidth=2, foreground="white")], fontfamily=families,
            )
            for word, (x, y), color, strong in zip(shown, points.tolist(), colors, bold, strict=True)
        ]  # fmt: skip
        sizes = np.array([text.get_window_extent().size for text in texts]) + 1  # a pixel between neighbours
    pixels = axes.transData.transform(points)
    marks = np.empty((0, 2)) if avoid is None else axes.transData.transform(avoid)
    gaps = (np.sqrt(areas) / 2 + 1.5) * figure.dpi / 72
    corners = place_labels(pixels, sizes, axes.get_window_extent().get_points(), gaps, marks)
    for text, offset in zip(texts, (corners - pixels) * 72 / figure.dpi, strict=True):
        if np.isfinite(offset).all():
            text.set_position((offset[0], offset[1]))
        else:
            text.remove()


def sample_segments(starts: Float[np.ndarray, "n 2"], ends: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """Return points along line segments, dense enough to keep labels off the lines."""
    fraction = np.linspace(0, 1, 60)[:, None, None]
    return ((1 - fraction) * starts + fraction * ends).reshape(-1, 2)


def printable(word: str) -> str:
    """Shorten a word for a picture, and replace its unprintable characters.

    >>> printable("to\\nday"), printable("x" * 1000)[25:]
    ('to\ufffdday', 'xxxx…')
    """
    short = word if len(word) <= MAX_CHARACTERS else word[: MAX_CHARACTERS - 1] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in short)


def _overlaps(boxes: Float[np.ndarray, "a 2 2"], others: Float[np.ndarray, "b 2 2"]) -> Bool[np.ndarray, "a b"]:
    """Return which boxes overlap which others; a box of NaN overlaps none."""
    return np.all((boxes[:, None, 0] < others[:, 1]) & (others[:, 0] < boxes[:, None, 1]), axis=-1)
