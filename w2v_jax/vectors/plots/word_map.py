"""Draw a map of words, with a label at each word."""

import os
from collections.abc import Sequence

import numpy as np

from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS, new_figure, save_figure
from .labels import draw_words
from .layout import METHODS, Method, color_clusters, project, unit_vectors


def draw_word_map(
    vectors: KeyedVectors, words: Sequence[str], path: str | os.PathLike[str], *,
    neighbors: int = 0, method: Method = "pca",
) -> None:  # fmt: skip
    """Draw words at the projections of their vectors, as PNG or SVG by the path's ending.

    Colors are clusters of similar words. Labels never overlap; a later word without a free place has no label.

    Args:
      neighbors: number of nearest words to add to each word, in its color.

    Raises:
      InputError: a word has no vector, under two words are left, t-SNE is not installed, or the path cannot be written.
    """
    check_picture(path)
    queries = list(dict.fromkeys(words))
    groups = add_neighbors(vectors, queries, neighbors) if neighbors else dict.fromkeys(queries, 0)
    mapped = list(groups)
    unit = unit_vectors(vectors, mapped)
    points = project(unit, method)
    clusters = np.array(list(groups.values())) if neighbors else color_clusters(unit)
    bold = np.array([bool(neighbors) and word in queries for word in mapped])
    figure, axes = new_figure(points, f"{len(mapped):,} words, by {METHODS[method]} of their vectors", margin=0.05)
    colors = [COLORS[i % len(COLORS)] for i in clusters]
    draw_words(axes, mapped, points, colors, areas=np.where(bold, 40.0, 9.0).tolist(), bold=bold.tolist())
    save_figure(figure, path)


def add_neighbors(vectors: KeyedVectors, words: Sequence[str], count: int) -> dict[str, int]:
    """Return the words and their neighbours, each with the index of the first word to whose group it belongs."""
    groups = {word: i for i, word in enumerate(words)}
    for i, neighbors in enumerate(vectors.most_similar_each(words, topn=count)):
        for word, _ in neighbors:
            groups.setdefault(word, i)
    return groups
