"""safetensors: eight bytes of length, a header of JSON, and the arrays' bytes, which are used where they lie.

The format's own library copies every array, twice when it writes, and cannot read from a stream.
Ours are views of the mapped file, so that opening one costs no memory; it is the witness in the tests.
"""

import json
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from jaxtyping import UInt8
from numpy.typing import DTypeLike

from ..errors import InputError
from .arrays import NAMES, Arrays, from_arrays
from .table import LINE, Stored

LONGEST_HEADER = 1 << 16  # bytes; ours are under 1,000, and JSON takes many times its size in memory
DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16), "F32": np.dtype("<f4"), "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"), "U8": np.dtype("u1"),
}  # fmt: skip


def read_safetensors(file: BinaryIO, name: str, size: int, limit: int, dtype: DTypeLike) -> Stored:
    """The first `limit` words of a file; one of known `size` is mapped, not read."""
    # Copy on write: whoever takes the memory over may write to it, and the file never changes.
    raw = np.memmap(name, np.uint8, "c") if size else np.frombuffer(file.read(), np.uint8)
    return from_arrays(_views(raw.view(np.ndarray), name), name, limit, dtype)


def _views(raw: UInt8[np.ndarray, " bytes"], name: str) -> Arrays:
    length = int.from_bytes(raw[:8].tobytes(), "little")
    if len(raw) < 8 or not 2 <= length <= min(len(raw) - 8, LONGEST_HEADER):
        raise InputError(f"{name}: is no safetensors file of vectors: its header cannot have {length:,} bytes")
    try:
        header = json.loads(raw[8 : 8 + length].tobytes())
    except (ValueError, RecursionError):
        raise InputError(f"{name}: its header is damaged: it is not JSON") from None
    if not isinstance(header, dict):
        raise InputError(f"{name}: its header is damaged: it is no object")
    return {key: _view(header[key], raw[8 + length :], f"{name}: {key!r}") for key in NAMES if key in header}


def _view(entry: object, data: UInt8[np.ndarray, " bytes"], name: str) -> np.ndarray[Any, Any]:
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(start), int(end)]} if kind in DTYPES:
            count = 1
            for length in shape:
                count *= length if type(length) is int and length >= 0 else 1 << 63
            if 0 <= start <= end <= len(data) and end - start == count * DTYPES[kind].itemsize:
                return np.require(data[start:end].view(DTYPES[kind]).reshape(shape), requirements=["A"])
    raise InputError(f"{name} is described as {str(entry)[:200]!r}, which the file cannot hold; fetch it again")


def write_safetensors(file: BinaryIO, arrays: Arrays) -> None:
    """The header is filled up with spaces, so that the first array can be used without a copy."""
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "w2v_jax"}}
    start = 0
    for key, array in arrays.items():
        header[key] = {"dtype": kinds[array.dtype], "shape": array.shape, "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % LINE)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays.values():
        file.write(np.ascontiguousarray(array).view(np.uint8).data)
