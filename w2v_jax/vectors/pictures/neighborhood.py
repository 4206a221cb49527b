"""A word's neighbourhood: the word in the middle, its neighbours as far from it as their vectors are."""

import os

import numpy as np
from jaxtyping import Float, Int
from matplotlib.patches import Circle

from ...errors import InputError
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS, blank, save
from .labels import along, shown, write_labels
from .layout import principal_axes
from .word_map import color_groups, unit_rows


def draw_neighborhood(vectors: KeyedVectors, word: str, path: str | os.PathLike[str], *, neighbors: int = 20) -> None:
    """Draw the words nearest to a word around it; a PNG or SVG by the path's ending.

    A neighbour's distance from the middle is 1 − cosine, and circles say which cosine that is. Like
    neighbours stand side by side; a line joins two words than which no third one shown is nearer to both.

    Raises:
      InputError: the word has no vector or no neighbours, or the path cannot be written.
    """
    check_picture(path)
    near = [other for other, _ in vectors.most_similar(word, topn=neighbors)]
    if not near:
        raise InputError(f"{word!r} has no neighbours in a file of one word")
    unit = unit_rows(vectors, [word, *near])
    points = around_the_first(unit)
    title = f"the {len(near)} words nearest to {shown(word)}; the circles are cosines"
    figure, axes = blank(points, title, margin=0.12, size=8)
    for radius in np.arange(1, 21) / 10:
        if radius <= np.linalg.norm(points, axis=1).max():
            axes.add_patch(Circle((0, 0), radius, fill=False, color="#dddddd", zorder=0))
            axes.text(0, radius, f"{1 - radius:.1f}", color="#999999", fontsize=7, ha="center", va="center", zorder=0,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    lines = points[relative_neighbors(unit)]
    axes.plot(lines[..., 0].T, lines[..., 1].T, color="#aaaaaa", linewidth=0.8, zorder=1)
    colors = [COLORS[i] for i in color_groups(unit)]
    areas = [60.0] + [18.0] * len(near)
    axes.scatter(points[:, 0], points[:, 1], s=areas, color=colors, linewidths=0, zorder=2)
    bold = [True] + [False] * len(near)
    write_labels(axes, [word, *near], points, colors, areas=areas, bold=bold, avoid=along(lines[:, 0], lines[:, 1]))
    save(figure, path)


def around_the_first(unit: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n 2"]:
    """The first row in the middle and the others around it, 1 − cosine away, like ones side by side.

    They stand at equal angles, so that each has room for its label, in the order of a short round trip.
    """
    distances = 1 - unit @ unit.T
    order = round_trip(unit[1:])
    angle = np.empty(len(order))
    angle[order] = 2 * np.pi * (np.arange(len(order)) + 0.5) / len(order)
    rays = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([np.zeros((1, 2)), distances[1:, :1] * rays])


def round_trip(unit: Float[np.ndarray, "n D"]) -> Int[np.ndarray, " n"]:
    """An order of the rows in which like ones follow each other, the last being followed by the first.

    Starts from the rows' angles in the plane that shows most of them (PCA), and turns stretches of the way
    round for as long as that shortens it (2-opt).
    """
    distances = 1 - unit @ unit.T
    plane = principal_axes(unit, 2)
    order = np.arctan2(plane[:, 1], plane[:, 0]).argsort(kind="stable")
    shorter = True
    while shorter:
        shorter = False
        for i in range(len(order) - 2):
            before, first = order[i], order[i + 1]
            lasts, after = order[i + 2 :], np.roll(order, -1)[i + 2 :]
            gains = distances[before, first] + distances[lasts, after]
            gains -= distances[before, lasts] + distances[first, after]
            if gains.max() > 1e-9:
                end = i + 3 + gains.argmax()
                order[i + 1 : end] = order[i + 1 : end][::-1].copy()
                shorter = True
    return order


def relative_neighbors(unit: Float[np.ndarray, "n D"]) -> Int[np.ndarray, "pairs 2"]:
    """The pairs of rows than which no third row is nearer to both (Toussaint, 1980)."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    third = np.minimum(cosines[:, None], cosines[None]).max(-1)  # the nearest to both
    return np.argwhere(np.triu(cosines >= third, 1))
