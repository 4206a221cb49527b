"""The interactive map is one file that holds everything it shows, and no word breaks out of its place."""

import json
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.pictures import interactive
from w2v_jax.vectors.pictures.interactive import GRID, HERE, write_interactive_map


class Page(HTMLParser):
    """The elements of a page, and the text in each kind."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[dict[str, str | None], str]] = []
        self.inside: dict[str, str | None] = {}
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = dict(attrs)
        self.tags.append((tag, self.inside))

    def handle_endtag(self, tag: str) -> None:
        self.inside = {}

    def handle_data(self, data: str) -> None:
        self.text.append((self.inside, data))

    @property
    def data(self) -> Any:
        (data,) = [text for attributes, text in self.text if attributes.get("id") == "data"]
        assert not set("<>&") & set(data)  # whatever a browser makes of them inside a script
        return json.loads(data)


def page_of(vectors: KeyedVectors, words: list[str], folder: Path) -> Page:
    write_interactive_map(vectors, words, folder / "map.html")
    return Page((folder / "map.html").read_bytes().decode())


def test_a_page_holds_words_and_their_neighbours(
    vectors: KeyedVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interactive, "QUERIES", 4)  # asked in several parts
    chosen = [*vectors.words[:9], "run3"]
    data = page_of(vectors, chosen, tmp_path).data
    assert data["title"] == "10 words, by PCA of their vectors"
    assert data["words"][:10] == chosen
    assert set(data["words"]) <= set(vectors.words)
    assert [len(data[name]) for name in ("x", "y", "group", "near", "cosines")] == [10] * 5
    assert {min(data["x"] + data["y"]), max(data["x"] + data["y"])} == {0, GRID}
    for i, word in enumerate(chosen):
        near = vectors.most_similar(word, topn=10)
        assert [data["words"][j] for j in data["near"][i]] == [other for other, _ in near]
        np.testing.assert_allclose(np.array(data["cosines"][i]) / 100, [cosine for _, cosine in near], atol=0.0051)


def test_no_word_breaks_out(hostile: KeyedVectors, vectors: KeyedVectors, tmp_path: Path) -> None:
    page = page_of(hostile, list(hostile.words), tmp_path)
    assert page.data["words"] == list(hostile.words)
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in page_of(vectors, list(vectors.words), tmp_path).tags]


def test_a_page_needs_nothing_else(vectors: KeyedVectors, tmp_path: Path) -> None:
    page = page_of(vectors, list(vectors.words), tmp_path)
    source = (tmp_path / "map.html").read_text()
    assert not {"link", "img", "iframe", "base"} & {tag for tag, _ in page.tags}
    assert not any({"src", "href"} & attributes.keys() for _, attributes in page.tags)
    assert not any(word in source for word in ("http://", "https://", "@import", "url(", "fetch(", "import("))
    assert "default-src 'none'" in source  # and the browser is told to let nothing in


def test_the_template_has_one_place_for_the_data() -> None:
    assert (files(interactive.__package__) / "interactive.html").read_text("utf-8").count(HERE) == 1


def test_refused_before_anything_is_written(vectors: KeyedVectors, tmp_path: Path) -> None:
    for words, message in ((["dog", "cat1"], "'dog' is not in the vocabulary"), (["cat1"], "a map of 1 word")):
        with pytest.raises(InputError, match=message):
            write_interactive_map(vectors, words, tmp_path / "map.html")
    assert list(tmp_path.iterdir()) == []
