"""safetensors files: eight bytes of length, a JSON header, and the bytes of the arrays.

| array         | dtype, shape          |                                                                 |
|---------------|-----------------------|-----------------------------------------------------------------|
| `vectors`     | float [V, D]          |                                                                 |
| `words`       | uint8 [bytes]         | all words in UTF-8, concatenated; a word may hold any character |
| `word_ends`   | int64 [V]             | where each word ends in `words`                                 |
| `counts`      | int64 [V]             | only if they are known                                          |
| `outside`     | float [V, D]          | only if both tables are kept                                    |
| `center`      | float [V, D]          | only with `outside`, and unless it equals `vectors`             |
| `tables.NAME` | float [rows, columns] | any other table of a model                                      |

The arrays are views of the mapped file, so opening a file costs no memory. The format's own library copies
every array and cannot read a stream.
"""

import json
import math
from itertools import pairwise
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from jaxtyping import UInt8
from numpy.typing import DTypeLike

from ..errors import InputError
from .table import CACHE_LINE, Table

Arrays = dict[str, np.ndarray[Any, Any]]
NAMES = ("vectors", "words", "word_ends", "counts", "center", "outside")
PREFIX = "tables."
INTEGERS = {"words": "uint8", "word_ends": "int64", "counts": "int64"}
MAX_HEADER_BYTES = 1 << 16  # parsed JSON takes many times its size in memory
DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16), "F32": np.dtype("<f4"), "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"), "U8": np.dtype("u1"),
}  # fmt: skip


def read_safetensors(file: BinaryIO, name: str, size: int, limit: int, _: DTypeLike) -> Table[bytes]:
    """Read the first `limit` words and all rows; a file of known `size` is mapped."""
    # Copy on write: an owner of the memory may write to it, and the file never changes.
    content = np.memmap(file, np.uint8, "c") if size else np.frombuffer(file.read(), np.uint8)
    return from_arrays(_views(content.view(np.ndarray), name), name, limit)


def from_arrays(arrays: Arrays, name: str, limit: int) -> Table[bytes]:
    """Return the first `limit` words, and all rows."""
    _check_arrays(arrays, name)
    vectors, ends = arrays["vectors"], arrays["word_ends"][:limit]
    tables = {key.removeprefix(PREFIX): rows for key, rows in arrays.items() if key.startswith(PREFIX)}
    if "outside" in arrays:
        tables |= {"center": arrays.get("center", vectors), "outside": arrays["outside"]}
    joined = arrays["words"][: ends[-1]].tobytes()
    words = [joined[start:end] for start, end in pairwise([0, *ends.tolist()])]
    return Table(words, vectors, arrays.get("counts"), tables)


def is_our_array(key: str) -> bool:
    """Return whether an array has a name of the table above."""
    return key in NAMES or key.startswith(PREFIX)


def _views(content: UInt8[np.ndarray, " bytes"], name: str) -> Arrays:
    """Parse the header, and return the arrays that have one of our names."""
    length = int.from_bytes(content[:8].tobytes(), "little")
    if len(content) < 8 or not 2 <= length <= min(len(content) - 8, MAX_HEADER_BYTES):
        raise InputError(f"{name}: is no safetensors file of vectors: its header cannot have {length:,} bytes")
    try:
        header = json.loads(content[8 : 8 + length].tobytes())
    except (ValueError, RecursionError):
        raise InputError(f"{name}: its header is damaged: it is not JSON") from None
    if not isinstance(header, dict):
        raise InputError(f"{name}: its header is damaged: it is no object")
    data, arrays, total = content[8 + length :], Arrays(), 0
    for key in header:
        if is_our_array(key):
            arrays[key] = _view(header[key], data, f"{name}: {key!r}")
            total += arrays[key].nbytes
            if total > len(data):  # copies of them would take more memory than the file has bytes
                raise InputError(f"{name}: its arrays overlap; fetch it again")
    return arrays


def _view(entry: object, data: UInt8[np.ndarray, " bytes"], name: str) -> np.ndarray[Any, Any]:
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(start), int(end)]} if kind in DTYPES:
            is_shape = all(type(length) is int and 0 <= length <= len(data) for length in shape)
            if is_shape and 0 <= start <= end <= len(data) and end - start == math.prod(shape) * DTYPES[kind].itemsize:
                return np.require(data[start:end].view(DTYPES[kind]).reshape(shape), requirements=["A"])
    raise InputError(f"{name} is described as {str(entry)[:200]!r}, which the file cannot hold; fetch it again")


def _check_arrays(arrays: Arrays, name: str) -> None:
    """Refuse arrays that are missing, or differ from the table above."""
    for key in ("vectors", "words", "word_ends"):
        if key not in arrays:
            raise InputError(f"{name}: holds no array {key!r}; it is no vectors file, or one of another program")
    vectors, ends = arrays["vectors"], arrays["word_ends"]
    if vectors.ndim != 2 or vectors.size == 0:
        raise InputError(f"{name}: 'vectors' has the shape {vectors.shape}; it must be words × numbers, none of them 0")
    for key, array in arrays.items():
        shape = (array.size,) if key == "words" else vectors.shape[: 1 if key in INTEGERS else 2]
        fits = array.ndim == 2 if key.startswith(PREFIX) else array.shape == shape
        kind = array.dtype.name
        if not fits or not (kind == INTEGERS[key] if key in INTEGERS else "float" in kind):
            raise InputError(f"{name}: {key!r} has the shape {array.shape} of {array.dtype}, which does not fit")
    if ends[0] < 0 or (np.diff(ends) < 0).any() or ends[-1] != arrays["words"].size:
        raise InputError(f"{name}: 'word_ends' do not divide 'words'; fetch the file again")
    if "counts" in arrays and (arrays["counts"] < 0).any():
        raise InputError(f"{name}: 'counts' holds a number below 0")


def to_arrays(table: Table[bytes]) -> Arrays:
    """Return the arrays of the table above."""
    vectors, tables = table.vectors, dict(table.tables)
    arrays: Arrays = {
        "vectors": vectors,
        "words": np.frombuffer(b"".join(table.words), np.uint8),
        "word_ends": np.cumsum([*map(len, table.words)], dtype=np.int64),
    }
    if table.counts is not None:
        arrays["counts"] = np.asarray(table.counts, np.int64)
    if all(key in tables and tables[key].shape == vectors.shape for key in ("center", "outside")):
        center, arrays["outside"] = tables.pop("center"), tables.pop("outside")
        if not np.array_equal(center, vectors):
            arrays["center"] = center
    return arrays | {PREFIX + key: rows for key, rows in tables.items()}


def write_safetensors(file: BinaryIO, table: Table[bytes], name: str) -> None:
    """Write all that a table has; the header is padded, so that the vectors can be used without a copy."""
    arrays = to_arrays(table)
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "w2v_jax"}}
    start = 0
    for key, array in arrays.items():
        header[key] = {"dtype": kinds[array.dtype], "shape": array.shape, "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % CACHE_LINE)
    if len(text) > MAX_HEADER_BYTES:
        raise InputError(
            f"{name}: {len(table.tables):,} tables need a header of {len(text):,} bytes; keep fewer tables"
        )
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays.values():
        file.write(np.ascontiguousarray(array).view(np.uint8).data)
