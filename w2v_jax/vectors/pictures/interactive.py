"""A word map to explore in a browser: one HTML file that needs no network."""

import json
import os
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Float

from ...files import writing
from ..endings import check_picture
from ..keyed_vectors import KeyedVectors
from .layout import Method, positions
from .word_map import METHODS, color_groups, unit_rows

NEIGHBORS = 10
QUERIES = 256  # asked in one product
GRID = 10_000  # places along the longer side: one in a hundredth of a pixel
HERE = "THE DATA"


def write_interactive_map(
    vectors: KeyedVectors, words: Sequence[str], path: str | os.PathLike[str], *, method: Method = "pca"
) -> None:
    """Write a map of words as one HTML file, to open in any browser: point at a word to see its nearest words.

    Words can be searched for, and reached by mouse, touch or keyboard. The neighbours are those among
    all words that have vectors, on the map or not.

    Raises:
      InputError: a word has no vector, there are fewer than two, or the path cannot be written.
    """
    check_picture(path, [".html"])
    template = (files(__package__) / "interactive.html").read_text(encoding="utf-8")
    with writing(path) as file:
        file.write(template.replace(HERE, as_script(map_data(vectors, list(dict.fromkeys(words)), method))).encode())


def map_data(vectors: KeyedVectors, words: Sequence[str], method: Method) -> dict[str, Any]:
    """What the page is drawn from, all of it numbers and words.

    `words` begins with those on the map, as many as there are `x`, `y` and `group`; the others are only
    neighbours. `near` are the places in `words` of each one's neighbours, `cosines` theirs in hundredths.
    """
    unit = unit_rows(vectors, words)
    x, y = on_grid(positions(unit, method)).T.tolist()
    starts = range(0, len(words), QUERIES)
    near = [row for i in starts for row in vectors.most_similar_each(words[i : i + QUERIES], topn=NEIGHBORS)]
    place = {word: i for i, word in enumerate(words)}
    for row in near:
        for word, _ in row:
            place.setdefault(word, len(place))
    return {
        "title": f"{len(words):,} words, by {METHODS[method]} of their vectors",
        "words": list(place), "x": x, "y": y, "group": color_groups(unit).tolist(),
        "near": [[place[word] for word, _ in row] for row in near],
        "cosines": [[round(100 * cosine) for _, cosine in row] for row in near],
    }  # fmt: skip


def on_grid(points: Float[np.ndarray, "n 2"]) -> np.ndarray:
    """Whole numbers from 0 to GRID that keep the points' proportions.

    >>> on_grid(np.array([(0.0, 1.0), (2.0, 2.0), (4.0, 1.0)])).tolist()
    [[0, 0], [5000, 2500], [10000, 0]]
    """
    extent = np.ptp(points, axis=0).max() or 1.0
    return np.rint((points - points.min(0)) * (GRID / extent)).astype(int)


def as_script(data: Any) -> str:
    """Data as JSON that may stand inside a script element, whatever its words are.

    >>> as_script({"word": "</script>&\u2028"})
    '{"word":"\\\\u003c/script\\\\u003e\\\\u0026\\\\u2028"}'
    """
    text = json.dumps(data, separators=(",", ":"))  # nothing but ASCII
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
