"""A map of words: like words lie together, each with its label."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ...errors import InputError
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS, blank, save
from .labels import write_labels
from .layout import Method, groups, positions

METHODS = {"pca": "PCA", "tsne": "t-SNE"}


def draw_word_map(
    vectors: KeyedVectors,
    words: Sequence[str],
    path: str | os.PathLike[str],
    *,
    neighbors: int = 0,
    method: Method = "pca",
) -> None:
    """Draw words where their vectors put them; a PNG or SVG by the path's ending.

    With neighbours, each of the words is joined by so many words nearest to it, in its color; without,
    colors are groups of like words. Labels never overlap: a later word's label that finds no place
    beside its point is left out, and the point stays.

    Raises:
      InputError: a word has no vector, fewer than two are left, or the path cannot be written.
    """
    check_picture(path)
    chosen = list(dict.fromkeys(words))
    group = with_neighbors(vectors, chosen, neighbors) if neighbors else dict.fromkeys(chosen, 0)
    mapped = list(group)
    unit = unit_rows(vectors, mapped)
    points = positions(unit, method)
    member = np.array(list(group.values())) if neighbors else color_groups(unit)
    bold = np.array([bool(neighbors) and word in chosen for word in mapped])
    figure, axes = blank(points, f"{len(mapped):,} words, by {METHODS[method]} of their vectors", margin=0.05)
    colors = [COLORS[i % len(COLORS)] for i in member]
    areas = np.where(bold, 40.0, 9.0).tolist()
    axes.scatter(points[:, 0], points[:, 1], s=areas, color=colors, linewidths=0)
    write_labels(axes, mapped, points, colors, areas=areas, bold=bold.tolist())
    save(figure, path)


def with_neighbors(vectors: KeyedVectors, words: Sequence[str], count: int) -> dict[str, int]:
    """The words and those nearest to each; whose each is: its own, or that of the first it is near to.

    Raises:
      InputError: a word has no vector.
    """
    group = {word: i for i, word in enumerate(words)}
    for i, near in enumerate(vectors.most_similar_each(words, topn=count)):
        for word, _ in near:
            group.setdefault(word, i)
    return group


def unit_rows(vectors: KeyedVectors, words: Sequence[str]) -> Float[np.ndarray, "n D"]:
    """The words' vectors at length 1.

    Raises:
      InputError: a word has no vector, or there are fewer than two.
    """
    if len(words) < 2:
        raise InputError(f"a map of {len(words)} word(s) shows nothing; name two words or more")
    return np.asarray(vectors.unit)[[vectors.vocabulary[word] for word in words]]


def color_groups(unit: Float[np.ndarray, "n D"]) -> Int[np.ndarray, " n"]:
    """Groups of like words, as many as there are colors, and fewer where there are few words."""
    return groups(unit, min(len(COLORS), 1 + len(unit) // 12))
