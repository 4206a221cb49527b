"""`info`, `plot` and `convert`."""

import os
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from .output import print_json


def info(
    vectors: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="VECTORS")],
    json_: Annotated[bool, tyro.conf.arg(name="json")] = False,
) -> None:
    """Say what is in a vectors file.

    Example: python -m w2v_jax info vectors.bin

    Args:
        vectors: A vectors file: .bin, .txt, .vec, .safetensors or .npz.
        json_: Print one JSON object instead.
    """
    from ..vectors.endings import check_source

    check_source(vectors)
    from ..vectors.about import about
    from ..vectors.keyed_vectors import KeyedVectors

    found = about(KeyedVectors.load(vectors))
    if json_:
        print_json(found._asdict())
        return
    present = {True: "yes", False: "no"}
    print(f"{found.words:,} words, vectors of {found.dim:,} numbers, {found.dtype}")
    if found.lengths:
        print("lengths: least {:.4g}, quartiles {:.4g}, {:.4g}, {:.4g}, greatest {:.4g}".format(*found.lengths))
        print(f"first words: {', '.join(found.first)}")
    print(f"counts: {present[found.counts]}; outside vectors: {present[found.outside]}")


def plot(
    source: tyro.conf.Positional[str],
    out: Path,
    words: tuple[str, ...] = (),
    analogies: tuple[str, ...] = (),
    neighbors_of: str | None = None,
    top: int | None = None,
    method: Literal["pca", "tsne"] = "pca",
) -> None:
    """Draw a map of words, analogies or a word's neighbourhood, or the curves of a training.

    Without --words, --analogies and --neighbors-of it is a map of the most frequent words.

    Example: python -m w2v_jax plot vectors.bin --out map.html

    Args:
        source: A vectors file (.bin, .txt, .vec, .safetensors, .npz); or what train --metrics
            wrote (.jsonl), for the curves of a training.
        out: Where the picture goes: .png or .svg; or .html for a map to explore in a browser.
        words: A map of these words, each with so many of its neighbours as --top says (none).
        analogies: Arrows between the words of two pairs or more, written man:woman king:queen.
        neighbors_of: The words nearest to this one, around it, as many as --top says (20).
        top: How many words: of a map, the most frequent ones (300; 3000 in HTML).
        method: Lay the map out by PCA, or by t-SNE, which needs scikit-learn.
    """
    from ..vectors.pictures.plot import plot

    plot(source, out, words=words, analogies=analogies, neighbors_of=neighbors_of, top=top, method=method)
    print(f"drawn in {out}")


def convert(
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="IN")],
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")],
    limit: int | None = None,
    errors: Literal["strict", "replace", "ignore"] = "strict",
) -> None:
    """Write a vectors file in another format; the endings say which.

    Example: python -m w2v_jax convert glove.6B.100d.txt.gz vectors.safetensors --limit 100000

    Args:
        source: A vectors file: word2vec binary (.bin), word2vec, fastText or GloVe text (.txt, .vec),
            .safetensors or .npz; plain or compressed, local or a URL.
        out: Where the vectors go: .bin, .txt, .vec, .safetensors, .npz, or .tsv with its .metadata.tsv, for
            TensorBoard's projector.
        limit: Only this many words, the first.
        errors: What becomes of bytes in a word that are not UTF-8: the file is refused (strict), U+FFFD
            stands for them (replace), or they are dropped (ignore).
    """
    from ..files import check_writable
    from ..vectors.endings import check_ending, check_source

    if os.path.realpath(out) == os.path.realpath(source):
        raise InputError(f"{out}: would overwrite another file of this command; choose another name")
    check_ending(out)
    check_writable(out)
    check_source(source)
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    from ..vectors.keyed_vectors import KeyedVectors

    vectors = KeyedVectors.load(source, errors=errors, limit=limit)
    vectors.save(out)
    print(f"{len(vectors):,} vectors in {out}")
