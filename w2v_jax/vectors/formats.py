"""Vectors files, by their ending; what each format holds is said in its own module."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from ..errors import InputError, check_one_of
from ..files import reading, writing
from .arrays import to_arrays
from .endings import PROJECTOR, check_ending, ending_of, source_ending
from .npz_format import read_npz, write_npz
from .projector import write_projector
from .safetensors_format import read_safetensors, write_safetensors
from .table import Errors, Rows, Table, cast, check_finite, finished
from .word2vec_binary import read_binary, write_binary
from .word2vec_text import read_text, write_text

READERS = {
    ".bin": read_binary, ".txt": read_text, ".vec": read_text, ".safetensors": read_safetensors, ".npz": read_npz
}  # fmt: skip
DTYPES = {
    ".bin": ("float32",), ".txt": ("float32", "float64"), ".vec": ("float32", "float64"), PROJECTOR: ("float32",),
    ".safetensors": ("float16", "bfloat16", "float32", "float64"), ".npz": ("float16", "float32", "float64"),
}  # fmt: skip
NO_LIMIT = 1 << 62


def load(
    path: str | os.PathLike[str], *, errors: Errors = "strict", limit: int | None = None, dtype: DTypeLike = np.float32
) -> Table:
    """The words of a vectors file, their vectors and what else it kept; of a word that stands twice, the first.

    Args:
      errors: what becomes of bytes in a word that are not UTF-8, as in `bytes.decode`.
      limit: only this many words, the first.
      dtype: the vectors' precision.

    Raises:
      InputError: the file is none of ours or is damaged; the message says where.
    """
    name = os.fspath(path)
    check_one_of("errors", errors, Errors)
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    if np.dtype(dtype).name not in DTYPES[".safetensors"]:
        raise InputError(f"dtype is {np.dtype(dtype)}; it must be one of {', '.join(DTYPES['.safetensors'])}")
    ending, packed = source_ending(name)
    with reading(name) as file:
        size = os.path.getsize(name) if os.path.isfile(name) and not packed else 0
        return finished(READERS[ending](file, name, size, limit or NO_LIMIT, dtype), name, errors)


def save(path: str | os.PathLike[str], table: Table) -> None:
    """Write a table in the format of the path's ending; counts and both tables only where the format has them.

    Raises:
      InputError: the path cannot be written or its ending is none of ours, the format cannot hold a word, or
        a number is not finite.
    """
    name = os.fspath(path)
    check_ending(path)
    ending, _ = ending_of(name)
    if table.vectors.size == 0:
        raise InputError(f"{name}: there are no vectors to write")
    tables = table.tables and (_kept(table.tables[0], ending), _kept(table.tables[1], ending))
    table = table._replace(vectors=_kept(table.vectors, ending), tables=tables)
    for rows in (table.vectors, *(table.tables or ())):
        check_finite(rows, table.words, name)
    if ending == PROJECTOR:
        write_projector(path, table)
        return
    words = _encoded(table.words, name, any_word=ending in (".safetensors", ".npz"))
    with writing(path) as file:
        if ending == ".bin":
            write_binary(file, words, table.vectors)
        elif ending == ".safetensors":
            write_safetensors(file, to_arrays(words, table))
        elif ending == ".npz":
            write_npz(file, to_arrays(words, table))
        else:
            write_text(file, words, table.vectors)


def _kept(rows: Rows, ending: str) -> Rows:
    """In a precision that the format holds: their own, or float32."""
    return cast(rows, rows.dtype.name if rows.dtype.name in DTYPES[ending] else "float32")


def _encoded(words: Sequence[str], name: str, *, any_word: bool) -> list[bytes]:
    for word in words:
        if not any_word and (not word or " " in word or "\n" in word):
            raise InputError(
                f"{name}: word2vec files cannot hold {word!r}; replace its spaces, e.g. by '_', or write .safetensors"
            )
    try:
        return [word.encode() for word in words]
    except UnicodeEncodeError as error:
        raise InputError(f"{name}: {error.object!r} is no text that UTF-8 can hold") from None
