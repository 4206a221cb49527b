"""Named corpora: the docstrings of the installed Python packages, and text8."""

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

from ..cache import cache_folder, cannot_write, checksum, digest, sweep, temporary_dir
from ..errors import InputError

FILES = {"docstrings": "docstrings.txt", "text8": "text8.zip"}
TEXT8_URL = "http://mattmahoney.net/dc/text8.zip"
TEXT8_SHA256 = "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"


def named_corpus(name: str, *, cache: str | os.PathLike[str] | None = None) -> Path:
    """Return the file of a named corpus in the cache, generated or downloaded as needed.

    `docstrings` is the documentation of the standard library and of the installed packages, 1.5 to 2
    million words, one paragraph a line. `text8` is the first 100 MB of cleaned Wikipedia (Mahoney, 2006).

    Raises:
      InputError: no corpus has this name, or it cannot be downloaded.
    """
    folder = cache_folder(cache)
    if name not in FILES:
        raise InputError(f"{name}: no such corpus; the named ones are {' and '.join(FILES)}")
    target = folder / FILES[name]
    if name == "text8" and target.is_file() and checksum(target) == TEXT8_SHA256:
        return target
    sweep(folder)
    try:
        with temporary_dir(folder, f"{name}-{digest({})}") as temporary:
            if name == "text8":
                _download(temporary / target.name)
            else:
                _write_docstrings(temporary / target.name)
            os.replace(temporary / target.name, target)
    except OSError as error:
        raise cannot_write(folder, error) from None
    return target


def _download(path: Path) -> None:
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(TEXT8_URL, TEXT8_SHA256, fname=path.name, path=path.parent, progressbar=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{TEXT8_URL}: cannot be downloaded: {' '.join(str(error).split())}") from error


def _write_docstrings(path: Path) -> None:
    sources = tqdm(sorted(_source_files()), desc="reading documentation", unit="files", disable=None)
    with open(path, "wb") as file:
        unique = dict.fromkeys(paragraph for source in sources for paragraph in _paragraphs(source))
        file.writelines(f"{paragraph}\n".encode() for paragraph in unique)


def _source_files() -> Iterator[Path]:
    for module in Path(sysconfig.get_path("stdlib")).iterdir():
        if module.is_dir() and module.name not in ("site-packages", "test", "idlelib", "lib2to3"):
            yield from module.rglob("*.py")
        elif module.match("[!.]*.py"):
            yield module
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
    for text in _iter_docstrings(tree):
        prose = "\n".join("" if line.lstrip().startswith((">>>", "...")) else line for line in text.split("\n"))
        for paragraph in re.split(r"\n\s*\n", prose):
            words = re.findall(r"[a-z]+", paragraph.lower())
            if len(words) > 3:
                yield " ".join(words)


def _iter_docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    yield ast.get_docstring(node, clean=False) or ""
    for child in node.body:  # not deeper: visiting every expression takes longer than parsing
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _iter_docstrings(child)
