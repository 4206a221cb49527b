"""File endings, apart from the formats: a wrong ending is refused before numpy or jax is imported."""

import os
from collections.abc import Sequence

from ..errors import InputError

AnyPath = str | os.PathLike[str]
WRITABLE = (".bin", ".txt", ".vec", ".safetensors", ".npz")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
PROJECTOR = ".tsv"
ENDINGS = ".bin (word2vec binary), .txt or .vec (word2vec text), .safetensors, .npz"


def check_ending(path: AnyPath) -> str:
    """Return the ending of a file to write, and refuse others."""
    ending = ending_of(name := os.fspath(path))
    if ending not in (*WRITABLE, PROJECTOR) or not name.lower().endswith(ending):
        later = "; compress it later" if name.endswith(COMPRESSED) else ""
        raise InputError(f"{name}: the ending must be {ENDINGS} or {PROJECTOR} (TensorBoard){later}")
    return ending


def check_source(path: str) -> None:
    """Refuse a local file that does not exist."""
    if "://" not in path and "::" not in path and not os.path.exists(os.path.expanduser(path)):
        raise InputError(f"{path}: no such file")


def check_picture(path: AnyPath, endings: Sequence[str] = (".png", ".svg")) -> None:
    """Refuse a path with an ending that no picture has."""
    if not os.fspath(path).endswith(tuple(endings)):
        raise InputError(f"{os.fspath(path)}: the ending must be {' or '.join(endings)}")


def ending_of(name: str) -> str:
    """Return a file's ending, without that of its compression.

    >>> ending_of("vectors.txt.gz")
    '.txt'
    """
    stem, ending = os.path.splitext(name)
    return (os.path.splitext(stem)[1] if ending in COMPRESSED else ending).lower()
