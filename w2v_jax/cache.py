"""Cache directories that are written atomically and found again by a key of their inputs."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import DTypeLike

from .errors import InputError

MANIFEST = "about.json"


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for encoded corpora, counts and downloads, by default the user's cache."""
    return platformdirs.user_cache_path("w2v_jax") if folder is None else Path(folder)


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
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
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
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
