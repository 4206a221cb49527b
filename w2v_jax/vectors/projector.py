"""Vectors for TensorBoard's projector (projector.tensorflow.org): rows of numbers, and their words beside them."""

import os

import numpy as np

from ..files import writing
from .table import Table
from .word2vec_text import spelled

ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def write_projector(path: str | os.PathLike[str], table: Table) -> None:
    """Write `NAME.tsv`, the vectors, and `NAME.metadata.tsv`, the words and their counts where they are known.

    Tabs and line ends in words are escaped as Python would; a word that is blank stands in quotes, since the
    projector skips blank lines.
    """
    stem = os.fspath(path).removesuffix(".tsv")
    labels = [word.translate(ESCAPES) if word.strip() else repr(word) for word in table.words]
    if table.counts is not None:  # the projector wants titles over two columns, and none over one
        rows = zip(labels, np.asarray(table.counts).tolist(), strict=True)
        labels = ["word\tcount", *(f"{label}\t{count}" for label, count in rows)]
    with writing(f"{stem}.metadata.tsv") as metadata, writing(path) as vectors:
        metadata.writelines(f"{label}\n".encode() for label in labels)
        metadata.flush()  # if there is no room for it, the vectors must not change either
        vectors.writelines(row + b"\n" for row in spelled(table.vectors, "\t"))
