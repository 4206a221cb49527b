"""Draw words with their labels: a map, analogies as arrows, and the neighbourhood of a word.

Each function raises InputError where a word has no vector, fewer than two words are left, or the path cannot be
written.
"""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.patches import Circle
from scipy.cluster.hierarchy import leaves_list, linkage

from ...errors import InputError
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS, new_figure, save_figure
from .labels import draw_words, printable, sample_segments
from .layout import METHODS, Method, color_clusters, principal_axes, project, unit_vectors


def draw_word_map(
    vectors: KeyedVectors, words: Sequence[str], path: str | os.PathLike[str], *,
    neighbors: int = 0, method: Method = "pca",
) -> None:  # fmt: skip
    """Draw words at the projections of their vectors, as PNG or SVG by the path's ending.

    Colors are clusters of similar words. Labels never overlap; a later word without a free place has no label.

    Args:
      neighbors: number of nearest words to add to each word, in its color.
    """
    queries = list(dict.fromkeys(words))
    groups = add_neighbors(vectors, queries, neighbors) if neighbors else dict.fromkeys(queries, 0)
    mapped = list(groups)
    unit = unit_vectors(vectors, mapped)
    points = project(unit, method)
    clusters = groups.values() if neighbors else color_clusters(unit)
    bold = [bool(neighbors) and word in queries for word in mapped]
    figure, axes = new_figure(points, f"{len(mapped):,} words, by {METHODS[method]} of their vectors", margin=0.05)
    colors = [COLORS[i % len(COLORS)] for i in clusters]
    draw_words(axes, mapped, points, colors, areas=np.where(bold, 40.0, 9.0).tolist(), bold=bold)
    save_figure(figure, path)


def add_neighbors(vectors: KeyedVectors, words: Sequence[str], count: int) -> dict[str, int]:
    """Return the words and their neighbours, each with the index of the first word to whose group it belongs."""
    groups = {word: i for i, word in enumerate(words)}
    for i, neighbors in enumerate(vectors.most_similar_each(words, topn=count)):
        for word, _ in neighbors:
            groups.setdefault(word, i)
    return groups


def draw_analogies(vectors: KeyedVectors, pairs: Sequence[tuple[str, str]], path: str | os.PathLike[str]) -> None:
    """Draw an arrow from the first to the second word of each pair, as PNG or SVG by the path's ending.

    The vertical axis is the mean difference of the pairs, so that parallel pairs point up together. The title states
    the mean cosine between the differences, in all dimensions.

    Raises:
      InputError: there are fewer than two pairs, a pair is one word twice, or the differences cancel out.
    """
    pairs = list(dict.fromkeys((start, end) for start, end in pairs))
    if len(pairs) < 2:
        raise InputError("an analogy needs two pairs or more, as in man:woman king:queen")
    words = [start for start, _ in pairs] + [end for _, end in pairs]
    if same := [start for start, end in pairs if start == end]:
        raise InputError(f"the pair {same[0]}:{same[0]} is one word twice; a pair needs two words")
    starts, ends = np.split(unit_vectors(vectors, words).astype(np.float64), 2)
    tails, heads = project_pairs(starts, ends)
    points = np.concatenate([tails, heads])
    arrows = ends - starts
    arrows /= np.maximum(np.linalg.norm(arrows, axis=1, keepdims=True), 1e-30)
    cosine = (arrows @ arrows.T)[np.triu_indices(len(arrows), 1)].mean()
    title = f"{len(pairs)} pairs; mean cosine between their arrows {cosine:.2f}"
    figure, axes = new_figure(points, title, margin=0.12, size=8)
    if len(pairs) == 2:  # complete the parallelogram
        for side in (tails, heads):
            axes.plot(*side.T, color="#aaaaaa", linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    colors = [COLORS[i % len(COLORS)] for i in range(len(pairs))] * 2
    for tail, head, color in zip(tails.tolist(), heads.tolist(), colors, strict=False):
        arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 3, "shrinkB": 3, "linewidth": 1.4}
        axes.annotate("", head, tail, arrowprops=arrow)
    areas, avoid = [18.0] * len(words), sample_segments(tails, heads)
    draw_words(axes, words, points, colors, areas=areas, bold=[True] * len(words), avoid=avoid)
    save_figure(figure, path)


def project_pairs(
    starts: Float[np.ndarray, "P D"], ends: Float[np.ndarray, "P D"]
) -> tuple[Float[np.ndarray, "P 2"], Float[np.ndarray, "P 2"]]:
    """Project pairs to the plane of their mean difference (vertical) and the first principal axis orthogonal to it."""
    up = (ends - starts).mean(0, dtype=np.float64)
    length = np.linalg.norm(up)
    if length < 1e-6:
        raise InputError("the pairs' differences cancel out; reverse some pairs, so that all point the same way")
    up /= length
    rows = np.concatenate([starts, ends])
    height = rows @ up
    tails, heads = np.split(np.column_stack([principal_axes(rows - np.outer(height, up), 1), height]), 2)
    return tails, heads


def draw_neighborhood(vectors: KeyedVectors, word: str, path: str | os.PathLike[str], *, neighbors: int = 20) -> None:
    """Draw the nearest words around a word, as PNG or SVG by the path's ending.

    A neighbour's distance from the center is 1 − cosine; circles are labelled with cosines. Similar neighbours are
    adjacent. Lines are the edges of the relative neighbourhood graph.
    """
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
    rays = np.column_stack([np.cos(angle), np.sin(angle)])
    return np.concatenate([np.zeros((1, 2)), (1 - unit[1:] @ unit[:1].T) * rays])


def relative_neighborhood_graph(unit: Float[np.ndarray, "n D"]) -> Int[np.ndarray, "edges 2"]:
    """Return the pairs of rows to which no third row is nearer than they are to each other (Toussaint, 1980)."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest_to_both = np.minimum(cosines[:, None], cosines[None]).max(-1)
    return np.argwhere(np.triu(cosines >= nearest_to_both, 1))
