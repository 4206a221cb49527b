"""Open local, remote and compressed files for reading; write files atomically."""

import contextlib
import io
import os
import re
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
from .paths import expand, shorten

READ_ERRORS = (OSError, EOFError, ImportError, ValueError, LZMAError, zlib.error, BadZipFile, zstd.ZstdError)
MAX_DECOMPRESSED = 1 << 30  # bytes that any compressed file may expand to
MAX_RATIO = 200  # the expansion allowed to a larger file; text expands 3 to 10 times
MAX_LINE_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16  # decompressed at a time, so that they stay in the CPU cache
HEAD_BYTES = 1 << 10  # that name a format
ASCII, BOM, ZIPPED = rb"[\t\n\r -~]", rb"(\xef\xbb\xbf)?\s*", rb"PK\x03\x04.{26}"
FORMATS = {
    "a gzip file": rb"\x1f\x8b\x08", "a bzip2 file": rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "an xz file": rb"\xfd7zXZ\0",
    "a Zstandard file": rb"\x28\xb5\x2f\xfd", "a PyTorch file": ZIPPED + rb"[^\0]*/(data\.pkl|\.format_version)",
    "a NumPy archive (.npz)": ZIPPED + rb"[^\0]{1,200}?\.npy",
    "an Office document": ZIPPED + rb"(\[Content_Types\]|_rels/|docProps/|word/|xl/|ppt/|mimetypeapplication/)",
    "a zip file": rb"PK(\x03\x04|\x05\x06)", "an LZ4 file": rb"\x04\x22\x4d\x18", "a 7z file": rb"7z\xbc\xaf\x27\x1c",
    "a RAR file": rb"Rar!\x1a\x07", "a compress (.Z) file": rb"\x1f\x9d", "a tar archive": rb".{257}ustar",
    "a Parquet file": rb"PAR1", "an Arrow or Feather file": rb"ARROW1|FEA1|\xff{4}..\0\0\x10\0\0\0",
    "an Avro file": rb"Obj\x01", "an HDF5 file": rb"\x89HDF\r\n", "a NumPy array (.npy)": rb"\x93NUMPY",
    "an SQLite database": rb"SQLite format 3\0",
    "a pickle, as gensim's .kv and .model are": rb"\x80[\x02-\x05][^\0-\x09]",
    "a fastText model": re.escape((793712314).to_bytes(4, "little")), "a PDF file": BOM + rb"%PDF-",
    "an RTF document": rb"\{\\rtf", "an old Office document": rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "an image": rb"\x89PNG|\xff\xd8\xff|GIF8[79]a", "an HTML page": rb"(?i)" + BOM + rb"<(!doctype html|html[\s>])",
    "an XML document": BOM + rb"<\?xml\s",
    "UTF-32 text": rb"\xff\xfe\0\0|\0\0\xfe\xff|(%b\0{3}){3}|(\0{3}%b){3}" % (ASCII, ASCII),
    "UTF-16 text": rb"\xff\xfe|\xfe\xff|(%b\0){4}|(\0%b){4}" % (ASCII, ASCII),
}  # fmt: skip
"""A pattern of the first bytes of each format; of two that match, the first one counts."""
CODECS = {"a gzip file": "gzip", "a bzip2 file": "bz2", "an xz file": "xz", "a Zstandard file": "zstd",
          "a zip file": "zip"}  # fmt: skip


def describe_format(head: bytes) -> str | None:
    """Return what a file is by its first bytes, if it is no plain text.

    >>> describe_format(b"PAR1"), describe_format(b"to be or not to be")
    ('a Parquet file', None)
    """
    head = head[:HEAD_BYTES]
    return next((name for name, pattern in FORMATS.items() if re.match(pattern, head, re.DOTALL)), None)


@contextlib.contextmanager
def open_input(path: str | os.PathLike[str], *, decompress: bool = True) -> Iterator[BinaryIO]:
    """Open a file as bytes, decompressed (gz, bz2, xz, zst, zip) by its first bytes, or else by its suffix.

    A path that exists is that file; any other may be an fsspec URL. Decompression bombs are refused: a file may
    expand to 1 GiB or to 200 times the bytes read so far, whichever is more. One layer of compression is removed,
    and the decompressed stream cannot seek.

    Raises:
      InputError: the file is missing, a directory, unreadable, damaged, cut short or a bomb.
    """
    name = expand(path)
    try:
        source = open(name, "rb") if os.path.exists(name) else fsspec.open(name, "rb")  # noqa: SIM115
        with source as raw:
            codec = find_compression(_peek(raw), getattr(source, "path", name)) if decompress else None
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


def find_compression(head: bytes, name: str) -> str | None:
    """Return fsspec's name of a file's compression, by its first bytes or else by its name."""
    return CODECS.get(describe_format(head) or "") or infer_compression(name)


def _peek(file: BinaryIO) -> bytes:
    """Return the first bytes of a file that can go back to them."""
    if not file.seekable():
        return b""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return head


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
    target = Path(os.path.realpath(expand(path)))  # writes through a link
    check_writable(target)
    temporary = target.with_name(f".{shorten(target.name)}.{uuid.uuid4().hex}")
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
    target = Path(expand(path))
    try:
        if target.is_dir():
            raise InputError(f"{target}: is a directory; name a file in it")
        if target.exists() and not target.is_file():  # a device or a pipe, which the new file would replace
            raise InputError(f"{target}: is not a regular file; choose another name")
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}: {target.parent}") from None


def check_folder(path: Path) -> None:
    """Check, before hours of work, that a folder can be made, or be written if it exists.

    Raises:
      InputError: its name is too long, or the folder or the one that it would be in is read-only or no folder.
    """
    folder = path
    try:
        while not os.path.lexists(folder) and folder != folder.parent:
            with contextlib.suppress(FileNotFoundError):
                folder.lstat()
            folder = folder.parent
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}: {folder}") from None
