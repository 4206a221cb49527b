"""NumPy archives: the arrays of `safetensors_format`, as `numpy.load` reads them; never pickled objects."""

import io
import math
import re
import typing
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.typing import DTypeLike

from ..errors import InputError
from ..files import MAX_DECOMPRESSED, MAX_RATIO
from .safetensors_format import Arrays, from_arrays, is_our_array, to_arrays
from .table import Table, empty_aligned

HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<|][fiu][1248])', 'fortran_order': (?:(True)|False), "
    rb"'shape': \((\d{0,15}),? ?(\d{0,15})\), \} *\n", re.DOTALL,
)  # fmt: skip


def read_npz(file: BinaryIO, name: str, size: int, limit: int, _: DTypeLike) -> Table[bytes]:
    """Read the first `limit` words and all rows; an array's header must fit its bytes."""
    arrays = Arrays()
    with ZipFile(file if size else io.BytesIO(file.read())) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        entries = {key: entry for key, entry in entries.items() if is_our_array(key)}
        compressed = sum(entry.compress_size for entry in entries.values())
        if sum(entry.file_size for entry in entries.values()) > max(MAX_DECOMPRESSED, MAX_RATIO * compressed):
            raise InputError(f"{name}: expands to over {MAX_RATIO} times its size, as a decompression bomb does")
        for key, entry in entries.items():
            try:
                content = archive.read(entry)
            except RuntimeError as error:  # encrypted, or of an unknown compression method
                raise InputError(f"{name}: cannot be read: {error}") from error
            header = HEADER.match(content)
            shape = [int(length) for length in header.groups()[2:] if length] if header else []
            if not header or math.prod(shape) * int(header[1][2:]) != len(content) - header.end():
                raise InputError(f"{name}: the array {key!r} is damaged, or not of numbers; write the file again")
            numbers = np.frombuffer(content, header[1].decode(), offset=header.end())
            array = empty_aligned(1, numbers.size, numbers.dtype)
            array[0] = numbers
            arrays[key] = array.reshape(shape, order="F" if header[2] else "C")
    return from_arrays(arrays, name, limit)


def write_npz(file: BinaryIO, table: Table[bytes], _: str) -> None:
    """Write all that a table has."""
    np.savez(file, **typing.cast(Any, to_arrays(table)))
