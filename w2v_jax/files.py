"""Files in, files out: read anything, anywhere; write the whole file or none of it."""

import contextlib
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import fsspec
from fsspec.compression import zstd
from fsspec.utils import infer_compression

from .errors import InputError

UNREADABLE: tuple[type[Exception], ...] = (
    OSError, EOFError, ImportError, ValueError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, zstd.ZstdError
)  # fmt: skip


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether `reading` unpacks a file of this name."""
    return infer_compression(os.fspath(path)) is not None


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], *, unpack: bool = True) -> Iterator[BinaryIO]:
    """Open a file's bytes for reading: local or any fsspec URL, unpacked by its ending (gz, bz2, xz, zst, zip).

    Raises:
      InputError: there is no such file, it is a directory, cannot be opened, or is damaged or cut short.
    """
    name = os.fspath(path)
    try:
        zipped = unpack and name.endswith(".zip")
        with fsspec.open(name, "rb", compression="infer" if unpack and not zipped else None) as file:
            yield _unzip(file) if zipped else cast(BinaryIO, file)
    except InputError:
        raise
    except FileNotFoundError as error:  # which is also what fsspec makes of every trouble with a URL
        if error.__cause__ is None or isinstance(error.__cause__, FileNotFoundError):
            raise InputError(f"{name}: no such file") from None
        raise InputError(f"{name}: cannot be read: {_reason(error.__cause__)}") from error
    except IsADirectoryError:
        raise InputError(f"{name}: is a directory; name a file in it") from None
    except UNREADABLE as error:
        raise InputError(f"{name}: cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _unzip(file: BinaryIO) -> BinaryIO:
    """The one file in an archive; fsspec's own way takes the first entry, a folder's too."""
    archive = zipfile.ZipFile(file)
    members = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(members) != 1:
        raise zipfile.BadZipFile(f"holds {len(members)} files; it must hold one")
    try:
        return cast(BinaryIO, archive.open(members[0]))
    except (RuntimeError, NotImplementedError) as error:  # encrypted; packed in a way that Python cannot undo
        raise zipfile.BadZipFile(str(error)) from error


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a local file that appears under its name only when it is whole; a failure leaves the old one.

    Raises:
      InputError: the folder does not exist or cannot be written, or the name is a directory.
    """
    target = Path(path).resolve()  # so that what a link points to is written
    if target.is_dir():
        raise InputError(f"{target}: is a directory; name a file in it")
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}: {target.parent}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise, before hours of work, what `writing` would raise after them."""
    target = Path(path)
    try:
        if target.is_dir():
            raise InputError(f"{target}: is a directory; name a file in it")
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}: {target.parent}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
