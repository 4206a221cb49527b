"""Corpora with a name: the English that every Python installation holds, and text8."""

import ast
import importlib.metadata
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import pooch
from tqdm import tqdm

from ..cache import default_cache
from ..errors import InputError
from ..files import writing

TEXT8_URL = "http://mattmahoney.net/dc/text8.zip"
TEXT8_SHA256 = "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"


def named_corpus(name: str, *, cache: str | os.PathLike[str] | None = None) -> Path:
    """The file of a named corpus, in the cache folder: made afresh, or fetched where it is not there yet.

    `docstrings` is the documentation of the standard library and of the installed packages, 1.5 to 2
    million words, one paragraph a line; `text8` is the first 100 MB of cleaned Wikipedia
    (Mahoney, 2006), fetched and checked against its hash.

    Raises:
      InputError: no corpus has this name, or it cannot be fetched.
    """
    folder = Path(cache if cache is not None else default_cache())
    if name == "docstrings":
        return docstrings(folder)
    if name == "text8":
        return fetch(TEXT8_URL, TEXT8_SHA256, folder)
    raise InputError(f"{name}: no such corpus; the named ones are docstrings and text8")


def fetch(url: str, sha256: str, folder: Path) -> Path:
    """Download a file into a folder, unless it lies there already with the right hash.

    Raises:
      InputError: the file cannot be fetched, or is not the one that the hash is of.
    """
    pooch.get_logger().setLevel("WARNING")
    try:
        name = url.rsplit("/", 1)[-1]
        return Path(pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder, progressbar=True))
    except (OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be fetched into {folder}: {' '.join(str(error).split())}") from error


def docstrings(folder: Path) -> Path:
    """Write the documentation strings of what is installed, in lower-case words, one paragraph a line."""
    target = folder / "docstrings.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
    seen: set[str] = set()
    with writing(target) as file:
        for source in tqdm(sorted(_sources()), desc="reading documentation", unit="files", disable=None):
            for paragraph in _paragraphs(source):
                if paragraph not in seen:  # documentation is often written once and shown in many places
                    seen.add(paragraph)
                    file.write(f"{paragraph}\n".encode())
    return target


def _sources() -> Iterator[Path]:
    yield from Path(sysconfig.get_path("stdlib")).glob("[!.]*.py")
    for package in Path(sysconfig.get_path("stdlib")).iterdir():
        if package.is_dir() and package.name not in ("site-packages", "test", "idlelib", "lib2to3", "__pycache__"):
            yield from package.rglob("*.py")
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            if file.suffix == ".py" and "tests" not in file.parts:
                yield Path(str(distribution.locate_file(file)))


def _paragraphs(source: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for text in _docstrings_in(tree):
        prose = "\n".join("" if line.lstrip().startswith((">>>", "...")) else line for line in text.split("\n"))
        for paragraph in re.split(r"\n\s*\n", prose):
            words = re.findall(r"[a-z]+", paragraph.lower())
            if len(words) > 3:
                yield " ".join(words)


def _docstrings_in(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    yield ast.get_docstring(node, clean=False) or ""
    for child in node.body:  # and no deeper: a walk of every expression takes longer than the parsing
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings_in(child)
