"""Files in, files out: read anything, anywhere; write the whole file or none of it."""

import contextlib
import io
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.compression import compr, zstd
from fsspec.utils import infer_compression

from .errors import InputError

UNREADABLE: tuple[type[Exception], ...] = (
    OSError, EOFError, ImportError, ValueError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, zstd.ZstdError
)  # fmt: skip
UNPACKED = 1 << 30  # bytes that any packed file may become
TIMES = 200  # what was read of it, that a larger one may become; text becomes 3 to 10 times as long
AT_ONCE = 1 << 16  # bytes unpacked: so few stay in the processor's cache


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether `reading` unpacks a file of this name."""
    return infer_compression(os.fspath(path)) is not None


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], *, unpack: bool = True) -> Iterator[BinaryIO]:
    """Open a file's bytes for reading: local or any fsspec URL, unpacked once by its ending (gz, bz2, xz, zst, zip).

    No packed file is a way to fill the memory or the disk: 1 GiB may come out of it, or 200 times the bytes that
    were read of it until then, whichever is more.

    Raises:
      InputError: there is no such file, it is a directory, cannot be opened, is damaged or cut short, or more
        comes out of it than that.
    """
    name = os.fspath(path)
    try:
        found = fsspec.open(name, "rb")
        kind = infer_compression(found.path) if unpack else None
        with found as packed:
            if kind is None:
                yield cast(BinaryIO, packed)
            else:
                with _unzip(packed) if kind == "zip" else compr[kind](packed, mode="rb") as file:
                    yield cast(BinaryIO, io.BufferedReader(_Unpacked(file, packed, name), AT_ONCE))
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


class _Unpacked(io.RawIOBase):
    """What comes out of a packed file, and an error where that is out of all proportion."""

    def __init__(self, file: Any, packed: Any, name: str) -> None:
        self.file, self.packed, self.name = file, packed, name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return cast(bool, self.file.seekable())

    def readinto(self, buffer: Any) -> int:
        size = cast(int, self.file.readinto(memoryview(buffer)[:AT_ONCE]))
        if (out := self.file.tell()) > UNPACKED and out > TIMES * self.packed.tell():
            raise InputError(
                f"{self.name}: over {UNPACKED >> 30} GiB came out of it, over {TIMES} times what was read, "
                "so it is taken for a bomb; unpack it yourself if you trust it"
            )
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = offset + self.tell(), os.SEEK_SET
        while whence == os.SEEK_END and self.read(AT_ONCE):  # what is passed over counts too
            pass
        while (ahead := offset - self.tell()) > 0 and self.read(min(ahead, AT_ONCE)):
            pass
        return cast(int, self.file.seek(offset, whence))

    def tell(self) -> int:
        return cast(int, self.file.tell())


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a local file that appears under its name only when it is whole; a failure leaves the old one.

    Raises:
      InputError: the folder does not exist or cannot be written, or the name is a directory's or a device's.
    """
    target = Path(os.path.realpath(path))  # so that what a link points to is written
    _check_that_it_can_be_a_file(target)
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
        _check_that_it_can_be_a_file(target)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}: {target.parent}") from None


def _check_that_it_can_be_a_file(target: Path) -> None:
    if target.is_dir():
        raise InputError(f"{target}: is a directory; name a file in it")
    if target.exists() and not target.is_file():  # a device, a pipe: it would be replaced
        raise InputError(f"{target}: is no regular file; choose another name")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
