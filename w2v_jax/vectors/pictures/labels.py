"""Words beside their points, none over another."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from .canvas import any_script

SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])
"""The ways in which a label may lie from its point, the best first."""
LONGEST = 30  # characters shown


def place(
    points: Float[np.ndarray, "n 2"],
    sizes: Float[np.ndarray, "n 2"],
    frame: Float[np.ndarray, "2 2"],
    gaps: Float[np.ndarray, " n"],
    avoid: Float[np.ndarray, "m 2"],
) -> Float[np.ndarray, "n 2"]:
    """Lower left corners of labels so far beside their points; not a number where a label finds no place.

    Each label in turn takes the side on which it lies within the frame, over no earlier label and over
    the fewest points and places to avoid.

    >>> two, nothing = np.array([(10.0, 10.0), (12.0, 10.0)]), np.empty((0, 2))
    >>> place(two, np.full((2, 2), 8.0), np.array([(0.0, 0.0), (40.0, 40.0)]), np.full(2, 1.0), nothing).tolist()
    [[1.0, 6.0], [13.0, 6.0]]
    """
    corners = np.full(points.shape, np.nan)
    mark = 0.8 * gaps[:, None]
    taken_low, taken_high = np.concatenate([points - mark, avoid]), np.concatenate([points + mark, avoid])
    for i, (point, size, gap) in enumerate(zip(points, sizes, gaps, strict=True)):
        low = point + SIDES * (gap + size / 2) - size / 2
        high = low + size
        before = slice(0, i)
        over_label = _overlap(low, high, corners[before], corners[before] + sizes[before]).any(1)
        outside = ((low < frame[0]) | (high > frame[1])).any(1)
        covered = _overlap(low, high, taken_low, taken_high).sum(1)
        cost = np.where(over_label | outside, np.inf, covered)
        if np.isfinite(cost.min()):
            corners[i] = low[cost.argmin()]
    return corners


def write_labels(
    axes: Axes,
    words: Sequence[str],
    points: Float[np.ndarray, "n 2"],
    colors: Sequence[str],
    *,
    areas: Sequence[float],
    bold: Sequence[bool],
    avoid: Float[np.ndarray, "m 2"] | None = None,
) -> None:
    """Write each word beside its point, the first ones first; one for which there is no room is left out.

    Args:
      areas: of the points' marks, as matplotlib's `scatter` takes them.
      avoid: further places that labels leave free if they can.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    with any_script():
        figure.draw_without_rendering()  # settles where data lies on the page
    texts = [
        axes.annotate(
            shown(word), (x, y), (0, 0), textcoords="offset points", ha="left", va="bottom", color=color,
            fontsize=11 if strong else 8, fontweight="bold" if strong else "normal", parse_math=False,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
        for word, (x, y), color, strong in zip(words, points.tolist(), colors, bold, strict=True)
    ]  # fmt: skip
    with any_script():
        sizes = np.array([text.get_window_extent().size for text in texts]) + 1  # a pixel between neighbours
    pixels = axes.transData.transform(points)
    places = np.empty((0, 2)) if avoid is None else axes.transData.transform(avoid)
    gaps = (np.sqrt(areas) / 2 + 1.5) * figure.dpi / 72
    corners = place(pixels, sizes, axes.get_window_extent().get_points(), gaps, places)
    for text, offset in zip(texts, (corners - pixels) * 72 / figure.dpi, strict=True):
        if np.isfinite(offset).all():
            text.set_position((offset[0], offset[1]))
        else:
            text.remove()


def along(starts: Float[np.ndarray, "n 2"], ends: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    """Places along straight lines, close enough to keep labels off the lines."""
    share = np.linspace(0, 1, 60)[:, None, None]
    return ((1 - share) * starts + share * ends).reshape(-1, 2)


def shown(word: str) -> str:
    """A word as a picture can hold it: not too long, nothing that cannot be printed.

    >>> shown("to\\nday"), shown("x" * 1000)[25:]
    ('to\ufffdday', 'xxxx…')
    """
    short = word if len(word) <= LONGEST else word[: LONGEST - 1] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in short)


def _overlap(
    low: Float[np.ndarray, "a 2"],
    high: Float[np.ndarray, "a 2"],
    other_low: Float[np.ndarray, "b 2"],
    other_high: Float[np.ndarray, "b 2"],
) -> Bool[np.ndarray, "a b"]:
    """Which of the boxes [a] lie over which of the others [b]; one that is not a number lies over none."""
    return np.all((low[:, None] < other_high) & (other_low < high[:, None]), axis=-1)
