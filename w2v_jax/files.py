"""Open local, remote and compressed files for reading; write files atomically."""

import contextlib
import io
import os
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import BadZipFile, ZipFile

import fsspec
from fsspec.compression import compr, zstd
from fsspec.utils import infer_compression

from .errors import InputError

READ_ERRORS = (OSError, EOFError, ImportError, ValueError, LZMAError, zlib.error, BadZipFile, zstd.ZstdError)
MAX_DECOMPRESSED = 1 << 30  # bytes that any compressed file may expand to
MAX_RATIO = 200  # the expansion allowed to a larger file; text expands 3 to 10 times
MAX_LINE_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16  # decompressed at a time, so that they stay in the CPU cache


@contextlib.contextmanager
def open_input(path: str | os.PathLike[str], *, decompress: bool = True) -> Iterator[BinaryIO]:
    """Open a local file or any fsspec URL as bytes, decompressed by its suffix (gz, bz2, xz, zst, zip).

    Decompression bombs are refused: a file may expand to 1 GiB or to 200 times the bytes read so far,
    whichever is more. One layer of compression is removed, and the decompressed stream cannot seek.

    Raises:
      InputError: the file is missing, a directory, unreadable, damaged, cut short or a bomb.
    """
    name = os.fspath(path)
    try:
        source = fsspec.open(name, "rb")
        codec = infer_compression(source.path) if decompress else None
        with source as raw:
            if codec is None:
                yield raw
            else:
                with _unzip(raw) if codec == "zip" else compr[codec](raw, mode="rb") as file:
                    yield io.BufferedReader(_Decompressed(file, raw, name), CHUNK_BYTES)
    except READ_ERRORS as error:
        # fsspec raises FileNotFoundError for every failure of a URL, with the true error as its cause.
        cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
        reason = "is a directory; name a file in it" if isinstance(cause, IsADirectoryError) else "no such file"
        if not isinstance(cause, IsADirectoryError | FileNotFoundError):
            reason = f"cannot be read: {(str(cause) or type(cause).__name__).splitlines()[0]}"
        raise InputError(f"{name}: {reason}") from error


def _unzip(file: BinaryIO) -> BinaryIO:
    """Open the only file of an archive; fsspec would open the first entry, even a directory."""
    archive = ZipFile(file)
    members = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(members) != 1:
        raise BadZipFile(f"holds {len(members)} files; it must hold one")
    try:
        return cast(BinaryIO, archive.open(members[0]))
    except RuntimeError as error:  # encrypted, or of an unknown compression method
        raise BadZipFile(str(error)) from error


def read_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the lines of a file; InputError names one that is not UTF-8, or over a mebibyte."""
    for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
        if len(line) == MAX_LINE_BYTES:
            raise InputError(f"{name}: line {number} is over {MAX_LINE_BYTES:,} bytes; give a text with line ends")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{name}: line {number} is not UTF-8") from None


class _Decompressed(io.RawIOBase):
    """A decompressed stream that fails when it expands too much."""

    def __init__(self, file: Any, raw: Any, name: str) -> None:
        self.file, self.raw, self.name = file, raw, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size: int = self.file.readinto(memoryview(buffer)[:CHUNK_BYTES])
        if (expanded := self.file.tell()) > MAX_DECOMPRESSED and expanded > MAX_RATIO * self.raw.tell():
            raise InputError(
                f"{self.name}: expands to over {MAX_DECOMPRESSED >> 30} GiB and over {MAX_RATIO} times its compressed "
                "size, as a decompression bomb does; decompress it yourself if you trust it"
            )
        return size


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a local file that gets its name only when it is complete; a failure leaves the old file.

    Raises:
      InputError: as `check_writable`, or the disk fails.
    """
    target = Path(os.path.realpath(path))  # writes through a link
    check_writable(target)
    temporary = target.with_name(f".{target.name[:50]}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check, before hours of work, that `atomic_write` can write a file.

    Raises:
      InputError: the folder is missing or read-only, or the name is that of a directory, a device or a pipe.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{target}: is a directory; name a file in it")
        if target.exists() and not target.is_file():  # a device or a pipe, which the new file would replace
            raise InputError(f"{target}: is not a regular file; choose another name")
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}: {target.parent}") from None
