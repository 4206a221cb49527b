"""Folders of files that were costly to make: whole or not there, and known by what they were made from."""

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from .errors import InputError

META = "about.json"


def default_cache() -> Path:
    """Where encoded corpora, counts and downloads lie when nobody names a folder."""
    return platformdirs.user_cache_path("w2v_jax")


def digest(key: dict[str, Any]) -> str:
    """A short name for a key."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def making(folder: Path, key: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give (another folder to write files in, what to say about them); it gets its name when all is written.

    A folder of that name that is not whole is replaced, and one of the same key is left as it is; one
    that holds other files than those is never touched.

    Raises:
      InputError: the folder cannot be written, or holds something else.
    """
    about: dict[str, Any] = {"key": key}
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        yield temporary, about
        about["checksums"] = {path.name: checksum(path) for path in sorted(temporary.iterdir())}
        (temporary / META).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        try:
            temporary.replace(folder)
        except OSError:  # something is there: another process was quicker, or it is what was found unfit
            there = whole(folder)
            ours = {path.name for path in temporary.iterdir()}
            if there is None and {path.name for path in folder.iterdir()} <= ours:
                shutil.rmtree(folder, ignore_errors=True)
                temporary.replace(folder)
            elif there is None or there["key"] != key:
                raise InputError(f"{folder}: holds something else; name another folder") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def made(folder: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """What `making` was told about the folder, unless it is not there, not whole, or not of this key."""
    about = whole(folder)
    return about if about is not None and about["key"] == key else None


def whole(folder: Path) -> dict[str, Any] | None:
    """What `making` was told about the folder, unless it is not there or not whole."""
    try:
        about = json.loads((folder / META).read_text(encoding="utf-8"))
        right = all(checksum(folder / Path(name).name) == sum_ for name, sum_ in about["checksums"].items())
        return about if right and isinstance(about["key"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
