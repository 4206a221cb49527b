"""Draw the neighbourhood of a word: the word in the center, its neighbours at their cosine distances."""

import os

import numpy as np
from jaxtyping import Float, Int
from matplotlib.patches import Circle
from scipy.cluster.hierarchy import leaves_list, linkage

from ...errors import InputError
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS, new_figure, save_figure
from .labels import draw_words, printable, sample_segments
from .layout import color_clusters, unit_vectors


def draw_neighborhood(vectors: KeyedVectors, word: str, path: str | os.PathLike[str], *, neighbors: int = 20) -> None:
    """Draw the nearest words around a word, as PNG or SVG by the path's ending.

    A neighbour's distance from the center is 1 − cosine; circles are labelled with cosines. Similar neighbours are
    adjacent. Lines are the edges of the relative neighbourhood graph.

    Raises:
      InputError: the word has no vector or no neighbours, or the path cannot be written.
    """
    check_picture(path)
    nearest = [neighbor for neighbor, _ in vectors.most_similar(word, topn=neighbors)]
    if not nearest:
        raise InputError(f"{word!r} has no neighbours: the file holds no other word")
    words = [word, *nearest]
    unit = unit_vectors(vectors, words)
    points = radial_layout(unit)
    title = f"the {len(nearest)} words nearest to {printable(word)}; circles are labelled with cosines"
    figure, axes = new_figure(points, title, margin=0.12, size=8)
    for radius in np.arange(1, 21) / 10:
        if radius <= np.linalg.norm(points, axis=1).max():
            axes.add_patch(Circle((0, 0), radius, fill=False, color="#dddddd", zorder=0))
            axes.text(0, radius, f"{1 - radius:.1f}", color="#999999", fontsize=7, ha="center", va="center", zorder=0,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    edges = points[relative_neighborhood_graph(unit)]
    axes.plot(edges[..., 0].T, edges[..., 1].T, color="#aaaaaa", linewidth=0.8, zorder=1)
    colors = [COLORS[i] for i in color_clusters(unit)]
    areas, bold = [60.0] + [18.0] * len(nearest), [True] + [False] * len(nearest)
    avoid = sample_segments(edges[:, 0], edges[:, 1])
    draw_words(axes, words, points, colors, areas=areas, bold=bold, avoid=avoid)
    save_figure(figure, path)


def radial_layout(unit: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n 2"]:
    """Place the first row at the origin and the others around it, at distance 1 − cosine.

    Angles are equally spaced, which leaves space for labels, in an order that keeps similar rows together: that of a
    dendrogram's leaves (Bar-Joseph, Gifford, Jaakkola, 2001).
    """
    count = len(unit) - 1
    order = leaves_list(linkage(unit[1:], "ward", optimal_ordering=True)) if count > 1 else np.arange(count)
    angle = 2 * np.pi * (order.argsort() + 0.5) / count
    rays = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([np.zeros((1, 2)), (1 - unit[1:] @ unit[:1].T) * rays])


def relative_neighborhood_graph(unit: Float[np.ndarray, "n D"]) -> Int[np.ndarray, "edges 2"]:
    """Return the pairs of rows to which no third row is nearer than they are to each other (Toussaint, 1980)."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest_to_both = np.minimum(cosines[:, None], cosines[None]).max(-1)
    return np.argwhere(np.triu(cosines >= nearest_to_both, 1))
