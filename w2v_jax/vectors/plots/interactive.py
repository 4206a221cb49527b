"""Write an interactive word map: one HTML file that needs no network."""

import json
import os
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ...files import atomic_write
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .layout import METHODS, Method, color_clusters, project, unit_vectors

NEIGHBORS = 10
QUERY_BATCH = 256  # words whose neighbours are found in one matrix product
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
    template = (files(__package__) / "interactive.html").read_text(encoding="utf-8")
    data = script_json(map_data(vectors, list(dict.fromkeys(words)), method))
    with atomic_write(path) as file:
        file.write(template.replace(PLACEHOLDER, data).encode())


def map_data(vectors: KeyedVectors, words: Sequence[str], method: Method) -> dict[str, Any]:
    """Return the numbers and words from which the page draws the map.

    `words` holds the words of the map first, then the words that are only neighbours. `x`, `y`, `group`, `near` and
    `cosines` have an entry for each word of the map; `near` are indices in `words`, `cosines` are in hundredths.
    """
    unit = unit_vectors(vectors, words)
    x, y = quantize(project(unit, method)).T.tolist()
    batches = [words[i : i + QUERY_BATCH] for i in range(0, len(words), QUERY_BATCH)]
    nearest = [row for batch in batches for row in vectors.most_similar_each(batch, topn=NEIGHBORS)]
    index = {word: i for i, word in enumerate(dict.fromkeys([*words, *(word for row in nearest for word, _ in row)]))}
    return {
        "title": f"{len(words):,} words, by {METHODS[method]} of their vectors",
        "words": list(index), "x": x, "y": y, "group": color_clusters(unit).tolist(),
        "near": [[index[word] for word, _ in row] for row in nearest],
        "cosines": [[round(100 * cosine) for _, cosine in row] for row in nearest],
    }  # fmt: skip


def quantize(points: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, "n 2"]:
    """Scale points to integers from 0 to GRID, with equal scales on both axes.

    >>> quantize(np.array([(0.0, 1.0), (2.0, 2.0), (4.0, 1.0)])).tolist()
    [[0, 0], [5000, 2500], [10000, 0]]
    """
    extent = np.ptp(points, axis=0).max() or 1.0
    return np.rint((points - points.min(0)) * (GRID / extent)).astype(int)


def script_json(data: Any) -> str:
    """Return JSON that cannot end the script element in which it stands, whatever its words are.

    >>> script_json({"word": "</script>&\u2028"})
    '{"word":"\\\\u003c/script\\\\u003e\\\\u0026\\\\u2028"}'
    """
    text = json.dumps(data, separators=(",", ":"))  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
