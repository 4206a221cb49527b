"""Cache directories that are written atomically and found again by a key of their inputs."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import DTypeLike

from .errors import InputError
from .paths import expand

MANIFEST = "about.json"
LOCK_SECONDS = 600.0


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for encoded corpora, counts and downloads, by default the user's cache.

    Raises:
      InputError: there is no home folder.
    """
    if default := Path(expand(folder)) if folder is not None else _default_folder():
        return default
    raise InputError("no home folder is known, where a cache could be; name a folder with --cache")


def _default_folder() -> Path | None:
    with contextlib.suppress(InputError, RuntimeError, KeyError):  # there is no home folder
        return Path(expand(platformdirs.user_cache_path("w2v_jax")))
    return None


def cannot_write(folder: Path, error: OSError) -> InputError:
    """Return the error for a directory of a cache; in the default one, it advises to name another."""
    default = _default_folder()
    advice = "; name another folder with --cache" if default and folder.is_relative_to(default) else ""
    return InputError(f"{folder}: cannot be written: {error.strerror or error}{advice}")


def digest(key: dict[str, Any]) -> str:
    """Return a short hash of a key, to name its directory."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def map_array(path: Path, dtype: DTypeLike) -> np.ndarray[Any, Any]:
    """Map a file of numbers read-only; an empty file, which cannot be mapped, gives an empty array."""
    return np.memmap(path, dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_dir(folder: Path, key: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a temporary directory and a manifest to fill; rename the directory to `folder` at the end.

    An incomplete directory of that name is replaced, a complete one of the same key is kept, any other refused.
    """
    manifest: dict[str, Any] = {"key": key}
    sweep(folder.parent, folder.name)
    try:
        with temporary_dir(folder.parent, folder.name) as temporary:
            yield temporary, manifest
            manifest["checksums"] = {path.name: checksum(path) for path in sorted(temporary.iterdir())}
            (temporary / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")
            try:
                temporary.replace(folder)
            except OSError:  # the name is taken: by a faster process, or by an incomplete directory
                is_ours = {path.name for path in folder.iterdir()} <= {MANIFEST, *manifest["checksums"]}
                if is_ours and not read_manifest(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    temporary.replace(folder)
                elif lookup(folder, key) is None:
                    raise InputError(f"{folder}: holds something else; name another folder") from None
    except OSError as error:
        if os.path.exists(folder) and not all(os.access(path, os.R_OK) for path in (folder, *folder.glob("*"))):
            raise InputError(
                f"{folder}: is another user's, and cannot be read; give another folder (--cache)"
            ) from error
        raise cannot_write(folder, error) from error


@contextlib.contextmanager
def temporary_dir(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new directory, which is removed at the end, or by a `sweep` if this process is killed."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        temporary = parent / f".{name}.{uuid.uuid4().hex}"
        temporary.mkdir()
        lock = _lock(temporary, LOCK_SECONDS)
        if temporary.exists():  # else a sweep came before the lock
            break
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Wait, at most ten minutes, while another process is in a block of the same folder; where locks fail, go on."""
    path, lock = folder.with_name(f".{folder.name}.lock"), None
    with contextlib.suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        while (lock := _lock(path, LOCK_SECONDS)) is not None:
            path.touch()
            if os.path.samestat(os.fstat(lock), path.stat()):
                break  # else the one before has removed the file that it locked
            os.close(lock)
    try:
        yield
    finally:
        if lock is not None:
            path.unlink(missing_ok=True)
            os.close(lock)


def sweep(parent: Path, name: str | None = None) -> None:
    """Remove the temporary directories and locks that killed processes left, for a directory's name or for all."""
    stem = glob.escape(name) if name else f"*-{'[0-9a-f]' * 16}"
    if not os.path.isdir(parent):  # nor a name too long for the disk
        return
    for path in [*parent.glob(f".{stem}.{'[0-9a-f]' * 32}"), *parent.glob(f".{stem}.lock")]:
        if (lock := _lock(path)) is not None:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            os.close(lock)


def _lock(path: Path, seconds: float = 0.0) -> int | None:
    """Return a descriptor that locks a file or directory until it is closed or its process ends.

    None says that another process holds the lock for so long, or that the disk or the system has no locks.
    """
    deadline = time.monotonic() + seconds
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.05)
            except OSError:
                return None
            else:
                stack.pop_all()
                return descriptor


def lookup(folder: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of a complete directory of this key, else None."""
    return manifest if (manifest := read_manifest(folder)) and manifest["key"] == key else None


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a directory whose files all have their checksums, else None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        intact = all(checksum(folder / Path(name).name) == sha256 for name, sha256 in manifest["checksums"].items())
        return manifest if intact and isinstance(manifest["key"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
