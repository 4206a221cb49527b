"""Draw analogies as arrows between the words of each pair, in the plane that best shows parallel arrows."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ...errors import InputError
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS, new_figure, save_figure
from .labels import draw_words, sample_segments
from .layout import principal_axes, unit_vectors


def draw_analogies(vectors: KeyedVectors, pairs: Sequence[tuple[str, str]], path: str | os.PathLike[str]) -> None:
    """Draw an arrow from the first to the second word of each pair, as PNG or SVG by the path's ending.

    The vertical axis is the mean difference of the pairs, so that parallel pairs point up together. The title states
    the mean cosine between the differences, in all dimensions.

    Raises:
      InputError: a word has no vector, there are fewer than two pairs, a pair is one word twice, the differences
        cancel out, or the path cannot be written.
    """
    check_picture(path)
    pairs = list(dict.fromkeys((start, end) for start, end in pairs))
    if len(pairs) < 2:
        raise InputError("an analogy needs two pairs or more, as in man:woman king:queen")
    words = [start for start, _ in pairs] + [end for _, end in pairs]
    if same := [start for start, end in pairs if start == end]:
        raise InputError(f"the pair {same[0]}:{same[0]} is one word twice; a pair needs two words")
    starts, ends = np.split(unit_vectors(vectors, words), 2)
    tails, heads = project_pairs(starts, ends)
    points = np.concatenate([tails, heads])
    title = f"{len(pairs)} pairs; mean cosine between their arrows {_mean_cosine(starts, ends):.2f}"
    figure, axes = new_figure(points, title, margin=0.12, size=8)
    if len(pairs) == 2:  # complete the parallelogram
        for side in (tails, heads):
            axes.plot(*side.T, color="#aaaaaa", linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    colors = [COLORS[i % len(COLORS)] for i in range(len(pairs))] * 2
    for tail, head, color in zip(tails.tolist(), heads.tolist(), colors, strict=False):
        arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 3, "shrinkB": 3, "linewidth": 1.4}
        axes.annotate("", head, tail, arrowprops=arrow)
    areas, bold = [18.0] * len(words), [True] * len(words)
    draw_words(axes, words, points, colors, areas=areas, bold=bold, avoid=sample_segments(tails, heads))
    save_figure(figure, path)


def project_pairs(
    starts: Float[np.ndarray, "P D"], ends: Float[np.ndarray, "P D"]
) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, "P 2"]]:
    """Project pairs to the plane of their mean difference (vertical) and the first principal axis orthogonal to it."""
    mean = (ends - starts).mean(0, dtype=np.float64)
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise InputError("the pairs' differences cancel out; reverse some pairs, so that all point the same way")
    rows = np.concatenate([starts, ends]).astype(np.float64)
    height = rows @ (mean / length)
    across = principal_axes(rows - np.outer(height, mean / length), 1)[:, 0]
    points = np.stack([across, height], axis=1)
    return points[: len(starts)], points[len(starts) :]


def _mean_cosine(starts: Float[np.ndarray, "P D"], ends: Float[np.ndarray, "P D"]) -> float:
    """Return the mean cosine between the differences of two pairs."""
    arrows = (ends - starts).astype(np.float64)
    arrows /= np.maximum(np.linalg.norm(arrows, axis=1, keepdims=True), 1e-30)
    return float((arrows @ arrows.T)[np.triu_indices(len(arrows), 1)].mean())
