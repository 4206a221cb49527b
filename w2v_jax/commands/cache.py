"""The command `cache`."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Annotated

import tyro

DOWNLOADS = {"text8.zip": "download", "docstrings.txt": "generated text"}


def cache(folder: Annotated[Path | None, tyro.conf.arg(name="cache")] = None, clear: bool = False) -> None:
    """List what the cache holds: encoded texts, counts and downloads; or remove it.

    Example: python -m w2v_jax cache --clear

    Args:
        folder: The cache's folder, if it is not the default one.
        clear: Remove what is listed, and what killed processes left. Other files stay.
    """
    from ..cache import cache_folder, sweep

    place = cache_folder(folder)
    entries = {path: kind for path in sorted(place.glob("*")) if (kind := _describe(path))}
    total = 0
    for path, kind in entries.items():
        files = [path] if path.is_file() else list(path.iterdir())
        total += (size := sum(file.stat().st_size for file in files))
        print(f"{size:>15,} bytes  {date.fromtimestamp(path.stat().st_mtime)}  {path.name}: {kind}")
        if clear:
            path.unlink() if path.is_file() else shutil.rmtree(path)
    if clear:
        sweep(place)
    print(f"{'removed ' if clear else ''}{total:,} bytes in {place}")


def _describe(path: Path) -> str | None:
    """Say what an entry of the cache is; return None for a file of another program."""
    from ..cache import MANIFEST

    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if "corpus" in manifest["key"]:
            return f"counts of {manifest['key']['words']:,} words"
        return f"encoded text, {manifest['source_tokens']:,} words, {len(manifest['words']):,} with vectors"
    except (OSError, ValueError, KeyError, TypeError):
        return DOWNLOADS.get(path.name) if path.is_file() else None
