"""TensorBoard's projector: one line of numbers and one label for each word."""

from pathlib import Path

import numpy as np

from w2v_jax.vectors.formats import save
from w2v_jax.vectors.table import Table

WORDS = ["the", "a\tb", "c\nd\r", "\\n", "", "\u3000", "字"]
VECTORS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def test_rows_and_labels(tmp_path: Path) -> None:
    save(tmp_path / "v.tsv", Table(WORDS, VECTORS))
    labels = (tmp_path / "v.metadata.tsv").read_bytes().decode().split("\n")
    assert labels == ["the", r"a\tb", r"c\nd\r", r"\\n", "''", r"'\u3000'", "字", ""]
    assert all(label.strip() for label in labels[:-1])  # the projector skips blank lines
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "v.tsv", np.float32, delimiter="\t"), VECTORS)
    assert len(list(tmp_path.iterdir())) == 2


def test_counts_stand_beside_the_words_under_titles(tmp_path: Path) -> None:
    save(tmp_path / "v.tsv", Table(WORDS[:2], VECTORS[:2], np.array([9, 1])))
    assert (tmp_path / "v.metadata.tsv").read_text() == "word\tcount\nthe\t9\na\\tb\t1\n"
