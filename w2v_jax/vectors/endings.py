"""The endings of vectors files; apart from the formats, so that a wrong one is told before numpy is imported."""

import os

from ..errors import InputError

READ = (".bin", ".txt", ".vec", ".safetensors", ".npz")
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
PROJECTOR = ".tsv"
ENDINGS = ".bin (word2vec binary), .txt or .vec (word2vec text), .safetensors or .npz"


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise, before hours of work, what `save` would raise of the path's ending."""
    if ending_of(os.fspath(path))[1]:
        raise InputError(f"{os.fspath(path)}: the ending must be {ENDINGS} or {PROJECTOR} (TensorBoard); pack it later")


def ending_of(name: str) -> tuple[str, bool]:
    """A file's ending, and whether it is packed.

    >>> ending_of("vectors.txt.gz")
    ('.txt', True)
    """
    stem, ending = os.path.splitext(name)
    if packed := ending in PACKED:
        ending = os.path.splitext(stem)[1]
    if ending not in READ and ending != PROJECTOR:
        raise InputError(f"{name}: the ending must be {ENDINGS}")
    return ending, packed
