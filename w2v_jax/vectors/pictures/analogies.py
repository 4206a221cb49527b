"""Analogies as parallelograms: pairs of words as arrows, in the plane that shows best how parallel they are."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ...errors import InputError
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS, blank, save
from .labels import along, write_labels
from .layout import principal_axes
from .word_map import unit_rows


def draw_analogies(vectors: KeyedVectors, pairs: Sequence[tuple[str, str]], path: str | os.PathLike[str]) -> None:
    """Draw each pair as an arrow from its first word to its second; a PNG or SVG by the path's ending.

    Up is the mean of the pairs' differences, so that parallel pairs point up together; across is where
    the words differ most apart from that. The title says how parallel they are in all dimensions.

    Raises:
      InputError: a word has no vector, there are fewer than two pairs, a pair is one word twice or
        the differences cancel out, or the path cannot be written.
    """
    check_picture(path)
    pairs = list(dict.fromkeys((start, end) for start, end in pairs))
    if len(pairs) < 2:
        raise InputError("an analogy needs two pairs or more, as in man:woman king:queen")
    for start, end in pairs:
        if start == end:
            raise InputError(f"the pair {start}:{end} is one word twice; a pair needs two words")
    starts = unit_rows(vectors, [start for start, _ in pairs])
    ends = unit_rows(vectors, [end for _, end in pairs])
    tails, heads = plane_of_best_fit(starts, ends)
    both = np.concatenate([tails, heads])
    title = f"{len(pairs)} pairs; mean cosine between their arrows {_parallel(starts, ends):.2f}"
    figure, axes = blank(both, title, margin=0.12, size=8)
    if len(pairs) == 2:
        for side in (tails, heads):
            axes.plot(*side.T, color="#aaaaaa", linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    colors = [COLORS[i % len(COLORS)] for i in range(len(pairs))] * 2
    for tail, head, color in zip(tails.tolist(), heads.tolist(), colors, strict=False):
        arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 3, "shrinkB": 3, "linewidth": 1.4}
        axes.annotate("", head, tail, arrowprops=arrow)
    areas = [18.0] * len(both)
    axes.scatter(both[:, 0], both[:, 1], s=areas, color=colors, linewidths=0)
    words = [start for start, _ in pairs] + [end for _, end in pairs]
    write_labels(axes, words, both, colors, areas=areas, bold=[True] * len(words), avoid=along(tails, heads))
    save(figure, path)


def plane_of_best_fit(
    starts: Float[np.ndarray, "P D"], ends: Float[np.ndarray, "P D"]
) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, "P 2"]]:
    """The pairs' coordinates: the second along their mean difference, the first where they differ most beside it.

    Raises:
      InputError: the differences cancel out.
    """
    mean = (ends - starts).mean(0, dtype=np.float64)
    length = np.linalg.norm(mean)
    if length < 1e-6:
        raise InputError("the pairs' differences cancel out; turn some pairs round, so that all go the same way")
    both = np.concatenate([starts, ends]).astype(np.float64)
    height = both @ (mean / length)
    across = principal_axes(both - np.outer(height, mean / length), 1)[:, 0]
    points = np.stack([across, height], axis=1)
    return points[: len(starts)], points[len(starts) :]


def _parallel(starts: Float[np.ndarray, "P D"], ends: Float[np.ndarray, "P D"]) -> float:
    """The mean cosine between two pairs' differences."""
    arrows = (ends - starts).astype(np.float64)
    arrows /= np.maximum(np.linalg.norm(arrows, axis=1, keepdims=True), 1e-30)
    return float((arrows @ arrows.T)[np.triu_indices(len(arrows), 1)].mean())
