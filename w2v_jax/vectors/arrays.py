"""A table of words and vectors as named arrays, for the formats that hold nothing else.

| array       | dtype, shape      |                                                                  |
|-------------|-------------------|------------------------------------------------------------------|
| `vectors`   | float [V, D]      |                                                                  |
| `words`     | uint8 [bytes]     | all words in UTF-8, one after the other; they may hold anything  |
| `word_ends` | int64 [V]         | where each ends in `words`                                       |
| `counts`    | int64 [V]         | only where they are known                                        |
| `outside`   | float [V, D]      | only where both tables were kept                                 |
| `center`    | float [V, D]      | as well, unless `vectors` are the center vectors                 |
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..errors import InputError
from .table import Stored, Table, cast

Arrays = dict[str, np.ndarray[Any, Any]]
NAMES = ("vectors", "words", "word_ends", "counts", "center", "outside")


def to_arrays(words: Sequence[bytes], table: Table) -> Arrays:
    """The table's arrays; `words` are its words."""
    arrays = {
        "vectors": table.vectors,
        "words": np.frombuffer(b"".join(words), np.uint8),
        "word_ends": np.cumsum([len(word) for word in words], dtype=np.int64),
    }
    if table.counts is not None:
        arrays["counts"] = np.asarray(table.counts, np.int64)
    if table.tables is not None:
        center, arrays["outside"] = table.tables
        if not np.array_equal(center, table.vectors):
            arrays["center"] = center
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray[Any, Any]], name: str, limit: int, dtype: DTypeLike) -> Stored:
    """The table's first `limit` words.

    Raises:
      InputError: an array is missing or is not as the table above has it.
    """
    for key in ("vectors", "words", "word_ends"):
        if key not in arrays:
            raise InputError(f"{name}: holds no array {key!r}; it is no vectors file, or one of another program")
    vectors, ends = arrays["vectors"], arrays["word_ends"]
    if vectors.ndim != 2 or vectors.size == 0:
        raise InputError(f"{name}: 'vectors' has the shape {vectors.shape}; it must be words × numbers, none of them 0")
    for key, array in arrays.items():
        shape = (array.size,) if key == "words" else vectors.shape[: 1 if key in ("word_ends", "counts") else 2]
        kind = {"words": "u1", "word_ends": "i8", "counts": "i8"}.get(key)
        if array.shape != shape or not (array.dtype == kind if kind else _is_float(array.dtype)):
            raise InputError(f"{name}: {key!r} has the shape {array.shape} of {array.dtype}, which does not fit")
    if ends[0] < 0 or (np.diff(ends) < 0).any() or ends[-1] != arrays["words"].size:
        raise InputError(f"{name}: 'word_ends' do not divide 'words'; fetch the file again")
    if "counts" in arrays and (arrays["counts"] < 0).any():
        raise InputError(f"{name}: 'counts' holds a number below 0")
    ends = ends[:limit]
    joined = arrays["words"][: ends[-1]].tobytes()
    words = [joined[start:end] for start, end in pairwise([0, *ends.tolist()])]
    tables = None
    if "outside" in arrays:
        tables = arrays.get("center", vectors)[:limit], arrays["outside"][:limit]
    counts = arrays["counts"][:limit] if "counts" in arrays else None
    return Stored(words, cast(vectors[:limit], dtype), counts, tables)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype.name == "bfloat16"
