"""Write an interactive word map: one HTML file that needs no network."""

import json
import os
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from ...files import atomic_write
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .layout import METHODS, Method, color_clusters, project, unit_vectors

NEIGHBORS = 10
GRID = 10_000  # integer positions along the longer side: a hundredth of a pixel
PLACEHOLDER = "MAP_DATA"


def write_interactive_map(
    vectors: KeyedVectors, words: Sequence[str], path: str | os.PathLike[str], *, method: Method = "pca"
) -> None:
    """Write a map of words as one HTML file, which shows the nearest words of each word.

    Neighbours are searched among all words, on the map or not.

    Raises:
      InputError: a word has no vector, under two words are left, t-SNE is not installed, or the path cannot be written.
    """
    check_picture(path, [".html"])
    words = list(dict.fromkeys(words))
    unit = unit_vectors(vectors, words)
    points = project(unit, method)
    x, y = np.rint((points - points.min(0)) * (GRID / (np.ptp(points, axis=0).max() or 1.0))).astype(int).T.tolist()
    nearest = vectors.most_similar_each(words, topn=NEIGHBORS)
    neighbors = (word for row in nearest for word, _ in row)
    index = {word: i for i, word in enumerate(dict.fromkeys([*words, *neighbors]))}
    data = {  # all lists but the first have an entry for each word of the map
        "title": f"{len(words):,} words, by {METHODS[method]} of their vectors",
        "words": list(index), "x": x, "y": y, "group": color_clusters(unit).tolist(),
        "near": [[index[word] for word, _ in row] for row in nearest],  # indices in "words"
        "cosines": [[round(100 * cosine) for _, cosine in row] for row in nearest],  # in hundredths
    }  # fmt: skip
    text = json.dumps(data, separators=(",", ":"))  # ASCII only
    for character in "<>&":  # so that no word ends the script element
        text = text.replace(character, f"\\u{ord(character):04x}")
    template = (files(__package__) / "interactive.html").read_text(encoding="utf-8")
    with atomic_write(path) as file:
        file.write(template.replace(PLACEHOLDER, text).encode())
