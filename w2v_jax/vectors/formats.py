"""Load vectors files in the format of their bytes, and save them in the format that the path's ending selects."""

import io
import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import DTypeLike

from ..errors import InputError, check_one_of, check_positive
from ..files import atomic_write, describe_format, open_input
from ..text.tokens import MAX_WORD_LENGTH
from .endings import PROJECTOR, AnyPath, check_ending, check_source, ending_of
from .npz_format import read_npz, write_npz
from .safetensors_format import read_safetensors, write_safetensors
from .table import Table, cast
from .word2vec_formats import is_binary, parse_header, read_binary, read_text, write_binary, write_projector, write_text

Errors = Literal["strict", "replace", "ignore"]
"""How to decode words that are not UTF-8: refuse the file, put U+FFFD for the bytes, or drop them."""
READERS = {
    ".bin": read_binary, ".txt": read_text, ".vec": read_text, ".safetensors": read_safetensors, ".npz": read_npz,
}  # fmt: skip
WRITERS = {
    ".bin": write_binary, ".txt": write_text, ".vec": write_text, ".safetensors": write_safetensors, ".npz": write_npz,
}  # fmt: skip
DTYPES = {
    ".bin": ("float32",), ".txt": ("float32", "float64"), ".vec": ("float32", "float64"), PROJECTOR: ("float32",),
    ".safetensors": ("float16", "bfloat16", "float32", "float64"), ".npz": ("float16", "float32", "float64"),
}  # fmt: skip
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
FASTTEXT, PICKLE = "a fastText model", "a pickle, as gensim's .kv and .model are"
ADVICE = {
    FASTTEXT: "write its words' vectors: fasttext print-word-vectors MODEL < WORDS > out.vec",
    PICKLE: "load it in gensim, and call save_word2vec_format('out.bin', binary=True)",
}
"""How to convert a format that is not read."""
HEAD_BYTES = 1 << 13
NO_LIMIT = 1 << 62
NUMBERS_PER_CHECK = 1 << 20


def load(
    path: AnyPath, *, errors: Errors = "strict", limit: int | None = None, dtype: DTypeLike = np.float32
) -> Table[str]:
    """Read a vectors file, as `KeyedVectors.load` documents; of a repeated word, the first vector stays."""
    name = os.fspath(path)
    check_one_of("errors", errors, Errors)
    limit = NO_LIMIT if limit is None else check_positive("limit", limit)
    if np.dtype(dtype).name not in DTYPES[".safetensors"]:
        raise InputError(f"dtype is {np.dtype(dtype)}; it must be one of {', '.join(DTYPES['.safetensors'])}")
    check_source(name)
    with open_input(name) as source:
        stream: Any = source
        file = stream if hasattr(stream, "peek") else io.BufferedReader(stream, HEAD_BYTES)  # a remote file
        raw = _choose_reader(file, name)(file, name, _size(source), limit, dtype)
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
    check_finite(table, name)
    if len(set(words)) < len(words):
        rows = sorted({word: i for i, word in reversed([*enumerate(words)])}.values())
        table = take([words[i] for i in rows], rows)
    return table


def _choose_reader(file: Any, name: str) -> Callable[[BinaryIO, str, int, int, DTypeLike], Table[bytes]]:
    """Choose by the first bytes of a file, or by its name if these fit several formats; skip a byte-order mark."""
    head = file.peek(HEAD_BYTES)
    if head.startswith(BYTE_ORDER_MARK):
        file.read(len(BYTE_ORDER_MARK))
        head = head.removeprefix(BYTE_ORDER_MARK)
    if head[:4] == b"PK\3\4":
        return read_npz
    if head[4:9] == b"\0\0\0\0{":
        return read_safetensors
    if kind := describe_format(head):
        advice = ADVICE.get(kind, "read its words and vectors there, and save KeyedVectors(words, vectors)")
        raise InputError(f"{name}: is {kind}, not a file of vectors; {advice}")
    first, _, body = head.partition(b"\n")
    if header := parse_header(first, name):
        return read_binary if is_binary(body, header[1], name) else read_text
    return READERS[ending] if (ending := ending_of(name)) in (".safetensors", ".npz") else read_text


def _size(file: Any) -> int:
    """Return the bytes of a local file; 0 for another, or for a decompressed stream."""
    try:
        return os.fstat(file.fileno()).st_size
    except (OSError, AttributeError):
        return 0


def save(path: AnyPath, table: Table[str]) -> None:
    """Write a table, as `KeyedVectors.save` documents; numbers must be finite."""
    name, ending = os.fspath(path), check_ending(path)
    if table.vectors.size == 0:
        raise InputError(f"{name}: there are no vectors to write")
    to_format = lambda rows: cast(rows, rows.dtype.name if rows.dtype.name in DTYPES[ending] else "float32")
    tables = {key: to_format(rows) for key, rows in table.tables.items()}
    table = table._replace(vectors=to_format(table.vectors), tables=tables)
    check_finite(table, name)
    if ending == PROJECTOR:
        write_projector(path, table)
        return
    for word in table.words if ending in (".bin", ".txt", ".vec") else ():
        if not word or " " in word or "\n" in word or len(word) > MAX_WORD_LENGTH:
            raise InputError(f"{name}: word2vec files cannot hold {word[:40]!r}; replace its spaces, e.g. by '_', or "
                             "write .safetensors")  # fmt: skip
    if len(set(table.words)) < len(table.words):
        raise InputError(f"{name}: a word is repeated; each word needs one vector")
    try:
        words = [word.encode() for word in table.words]
    except UnicodeEncodeError as error:
        raise InputError(f"{name}: {error.object!r} is no text that UTF-8 can hold") from None
    with atomic_write(path) as file:
        WRITERS[ending](file, Table(words, *table[1:]), name)


def check_finite(table: Table[str], name: str) -> None:
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
