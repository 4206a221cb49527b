"""The endings of files; apart from the formats, so that a wrong one is told before numpy is imported."""

import os
from collections.abc import Sequence

from ..errors import InputError

READ = (".bin", ".txt", ".vec", ".safetensors", ".npz")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
PROJECTOR = ".tsv"
ENDINGS = ".bin (word2vec binary), .txt or .vec (word2vec text), .safetensors or .npz"


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise, before hours of work, what `save` would raise of the path's ending."""
    if ending_of(os.fspath(path))[1]:
        raise InputError(f"{os.fspath(path)}: the ending must be {ENDINGS} or {PROJECTOR} (TensorBoard); pack it later")


def check_source(path: str) -> None:
    """Raise, before anything slow is imported, what `load` would raise of a name: its ending, or no such file."""
    source_ending(path)
    if "://" not in path and "::" not in path and not os.path.exists(os.path.expanduser(path)):
        raise InputError(f"{path}: no such file")


def source_ending(path: str) -> tuple[str, bool]:
    """`ending_of` a file to read."""
    ending, packed = ending_of(path)
    if ending == PROJECTOR:
        raise InputError(f"{path}: is written for TensorBoard, and not read; name the file that it was made from")
    return ending, packed


def check_picture(path: str | os.PathLike[str], endings: Sequence[str] = (".png", ".svg")) -> None:
    """Raise, before any work, where the path's ending is none of a picture's.

    Raises:
      InputError: the ending is another.
    """
    if not os.fspath(path).endswith(tuple(endings)):
        raise InputError(f"{os.fspath(path)}: the ending must be {' or '.join(endings)}")


def ending_of(name: str) -> tuple[str, bool]:
    """A file's ending, and whether it is packed.

    >>> ending_of("vectors.txt.gz")
    ('.txt', True)
    """
    stem, ending = os.path.splitext(name)
    if packed := ending in PACKED:
        ending = os.path.splitext(stem)[1]
    ending = ending.lower()
    if ending not in READ and ending != PROJECTOR:
        raise InputError(f"{name}: the ending must be {ENDINGS}")
    return ending, packed
