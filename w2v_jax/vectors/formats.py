"""Load and save vectors files; the path's ending selects the format."""

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
from fsspec.utils import infer_compression
from numpy.typing import DTypeLike

from ..errors import InputError, check_one_of
from ..files import atomic_write, open_input
from .endings import PROJECTOR, AnyPath, check_ending, check_source
from .safetensors_format import read_safetensors, write_safetensors
from .table import Table, cast
from .word2vec_formats import read_binary, read_text, write_binary, write_projector, write_text

Errors = Literal["strict", "replace", "ignore"]
"""How to decode words that are not UTF-8: refuse the file, put U+FFFD for the bytes, or drop them."""
READERS = {".bin": read_binary, ".txt": read_text, ".vec": read_text, ".safetensors": read_safetensors}
WRITERS = {".bin": write_binary, ".txt": write_text, ".vec": write_text, ".safetensors": write_safetensors}
DTYPES = {
    ".bin": ("float32",), ".txt": ("float32", "float64"), ".vec": ("float32", "float64"), PROJECTOR: ("float32",),
    ".safetensors": ("float16", "bfloat16", "float32", "float64"),
}  # fmt: skip
NO_LIMIT = 1 << 62
NUMBERS_PER_CHECK = 1 << 20


def load(
    path: AnyPath, *, errors: Errors = "strict", limit: int | None = None, dtype: DTypeLike = np.float32
) -> Table[str]:
    """Read a vectors file, as `KeyedVectors.load` documents; of a repeated word, the first vector stays."""
    name = os.fspath(path)
    check_one_of("errors", errors, Errors)
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    if np.dtype(dtype).name not in DTYPES[".safetensors"]:
        raise InputError(f"dtype is {np.dtype(dtype)}; it must be one of {', '.join(DTYPES['.safetensors'])}")
    ending = check_source(name)
    with open_input(name) as file:
        size = os.path.getsize(name) if os.path.isfile(name) and infer_compression(name) is None else 0
        raw = READERS[ending](file, name, size, limit or NO_LIMIT, dtype)
    try:
        words = [word.decode("utf-8", errors) for word in raw.words]
    except UnicodeDecodeError as error:
        number = raw.words.index(error.object) + 1
        raise InputError(f"{name}: word {number}, {error.object[:40]!r}, is not UTF-8; errors 'replace' or 'ignore' "
                         "would read it (convert --errors)") from None  # fmt: skip

    def take(words: Sequence[str], rows: slice | list[int]) -> Table[str]:
        take_rows = lambda array: array[rows] if len(array) == len(raw.vectors) else array
        counts = None if raw.counts is None else raw.counts[rows]
        tables = {key: take_rows(table) for key, table in raw.tables.items()}
        return Table(words, cast(raw.vectors[rows], dtype), counts, tables)

    table = take(words, slice(len(words)))
    _check_finite(table, name)
    if len(set(words)) < len(words):
        rows = sorted({word: i for i, word in reversed([*enumerate(words)])}.values())
        table = take([words[i] for i in rows], rows)
    return table


def save(path: AnyPath, table: Table[str]) -> None:
    """Write a table, as `KeyedVectors.save` documents; numbers must be finite."""
    name, ending = os.fspath(path), check_ending(path)
    if table.vectors.size == 0:
        raise InputError(f"{name}: there are no vectors to write")
    to_format = lambda rows: cast(rows, rows.dtype.name if rows.dtype.name in DTYPES[ending] else "float32")
    tables = {key: to_format(rows) for key, rows in table.tables.items()}
    table = table._replace(vectors=to_format(table.vectors), tables=tables)
    _check_finite(table, name)
    if ending == PROJECTOR:
        write_projector(path, table)
        return
    for word in table.words if ending != ".safetensors" else ():
        if not word or " " in word or "\n" in word:
            raise InputError(
                f"{name}: word2vec files cannot hold {word!r}; replace its spaces, e.g. by '_', or write .safetensors"
            )
    try:
        words = [word.encode() for word in table.words]
    except UnicodeEncodeError as error:
        raise InputError(f"{name}: {error.object!r} is no text that UTF-8 can hold") from None
    with atomic_write(path) as file:
        WRITERS[ending](file, Table(words, *table[1:]), name)


def _check_finite(table: Table[str], name: str) -> None:
    """Refuse infinities and NaNs, in chunks to save memory."""
    for key, rows in {"vectors": table.vectors, **table.tables}.items():
        step = max(1, NUMBERS_PER_CHECK // max(rows.shape[1], 1))
        for start in range(0, len(rows), step):
            finite = np.isfinite(rows[start : start + step])
            if not finite.all():
                row = start + int(np.argmin(finite.all(1)))
                per_word = len(rows) == len(table.words)
                place = f"the vector of {table.words[row]!r}" if per_word else f"row {row:,} of the table {key!r}"
                raise InputError(f"{name}: {place} holds a number that is not finite in {rows.dtype}")
