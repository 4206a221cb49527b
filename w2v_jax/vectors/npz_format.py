"""numpy's `.npz`, as `numpy.savez` writes it and `numpy.load` reads it; no pickle, no compression, no eval."""

import os
import re
import struct
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from ..errors import InputError
from .arrays import NAMES, Arrays, from_arrays
from .table import Stored, aligned

# numpy evaluates this header as Python; what savez writes of our arrays needs no more than a pattern.
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?s:..)\{'descr': '(<f[248]|<i8|\|u1)', 'fortran_order': False, "
    rb"'shape': \((\d{1,18}),(?: (\d{1,18}))?\), \} *\n"
)


def read_npz(file: BinaryIO, name: str, size: int, limit: int, dtype: DTypeLike) -> Stored:
    """The first `limit` words of a file."""
    try:
        length = file.seek(0, os.SEEK_END)
        with zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
            arrays = {
                key: _array(archive, members[f"{key}.npy"], length, f"{name}: {key!r}")
                for key in NAMES
                if f"{key}.npy" in members
            }
    except (RuntimeError, struct.error, OverflowError, zipfile.BadZipFile) as error:
        raise InputError(f"{name}: is damaged, or not one that numpy.savez wrote: {error}") from None
    return from_arrays(arrays, name, limit, dtype)


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, length: int, name: str) -> np.ndarray[Any, Any]:
    if info.compress_type != zipfile.ZIP_STORED or not info.compress_size == info.file_size <= length:
        raise InputError(f"{name} is compressed or damaged; write it by numpy.savez, not savez_compressed")
    with archive.open(info) as member:
        read = np.frombuffer(member.read(), np.uint8)
    raw = aligned(read.shape, np.uint8)
    raw[:] = read
    if not (match := HEADER.match(raw[:1024].tobytes())):
        raise InputError(f"{name} is no plain array of numbers as numpy.savez writes it")
    dtype = np.dtype(match[1].decode())
    shape = tuple(int(number) for number in match.groups()[1:] if number)
    start, count = match.end(), 1
    for number in shape:
        count *= number
    if len(raw) - start != count * dtype.itemsize:
        raise InputError(f"{name} promises the shape {shape} but has {len(raw) - start:,} bytes; fetch it again")
    return raw[start:].view(dtype).reshape(shape)


def write_npz(file: BinaryIO, arrays: Arrays) -> None:
    """Arrays of any dtype but bfloat16, which numpy's files do not know."""
    np.savez(file, allow_pickle=False, **arrays)
