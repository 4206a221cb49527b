"""The interactive map is one self-contained file, and no word escapes from its JSON."""

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.plots import interactive
from w2v_jax.vectors.plots.interactive import GRID, PLACEHOLDER, write_interactive_map


class Page(HTMLParser):
    """The elements of a page, and its data."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()
        (data,) = re.findall(r'<script [^>]*id="data">(.*?)</script', source, re.DOTALL | re.IGNORECASE)
        assert not set("<>&") & set(data)  # nothing that HTML parses
        self.data: Any = json.loads(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def page_of(vectors: KeyedVectors, words: list[str], folder: Path) -> Page:
    write_interactive_map(vectors, words, folder / "map.html")
    return Page((folder / "map.html").read_bytes().decode())


def test_page_holds_words_and_neighbours(vectors: KeyedVectors, tmp_path: Path) -> None:
    words = [*vectors.words[:9], "run3"]
    data = page_of(vectors, words, tmp_path).data
    assert data["title"] == "10 words, by PCA of their vectors"
    assert data["words"][:10] == words
    assert set(data["words"]) <= set(vectors.words)
    assert [len(data[name]) for name in ("x", "y", "group", "near", "cosines")] == [10] * 5
    assert {min(data["x"] + data["y"]), max(data["x"] + data["y"])} == {0, GRID}
    for i, word in enumerate(words):
        near = vectors.most_similar(word, topn=10)
        assert [data["words"][j] for j in data["near"][i]] == [other for other, _ in near]
        np.testing.assert_allclose(np.array(data["cosines"][i]) / 100, [cosine for _, cosine in near], atol=0.0051)


def test_words_cannot_escape_from_the_page(hostile: KeyedVectors, vectors: KeyedVectors, tmp_path: Path) -> None:
    page = page_of(hostile, list(hostile.words), tmp_path)
    assert page.data["words"] == list(hostile.words)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in page_of(vectors, list(vectors.words), tmp_path).tags]


def test_page_loads_nothing(vectors: KeyedVectors, tmp_path: Path) -> None:
    page = page_of(vectors, list(vectors.words), tmp_path)
    source = (tmp_path / "map.html").read_text()
    assert (files(interactive.__package__) / "interactive.html").read_text("utf-8").count(PLACEHOLDER) == 1
    assert not {"link", "img", "iframe", "base"} & {tag for tag, _ in page.tags}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.tags)
    assert not any(word in source for word in ("http://", "https://", "@import", "url(", "fetch(", "import("))
    assert "default-src 'none'" in source
