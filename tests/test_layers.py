"""The rooms and their levels: imports go down, never up, and never sideways between rooms of one level."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "w2v_jax"
LEVELS = {
    "errors": 0, "paths": -1, "params": 0, "config": 0, "files": 0, "cache": 0, "tiling": 0, "signals": 0,
    "progress": 0, "text": 1, "distributed": 2, "sampling": 2, "objectives": 3, "vectors": 4, "models": 4,
    "training": 5, "counts": 6, "commands": 7, "cli": 8, "__main__": 9, "__init__": 9,
}  # fmt: skip


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py").removesuffix(".pyi")


def imports(tree: ast.AST, depth: int) -> Iterator[str]:
    """The rooms that a file `depth` folders below the package imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level == depth + 1:
                yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
        elif (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("w2v_jax")) or (
            isinstance(node, ast.Import) and any(alias.name.startswith("w2v_jax") for alias in node.names)
        ):
            yield from ["absolute"]


def breaches(sources: dict[Path, str]) -> list[str]:
    found = []
    for path, source in sources.items():
        room = room_of(path)
        for other in imports(ast.parse(source), len(path.relative_to(PACKAGE).parts) - 1):
            # config, files and the like may all say what is wrong: errors.py stands below them.
            if other == "absolute" or (other != "errors" and LEVELS[other] >= LEVELS[room] and other != room):
                found.append(f"{path.relative_to(PACKAGE)} imports {other}")
    return found


def test_imports_go_down() -> None:
    sources = {path: path.read_text() for path in PACKAGE.rglob("*.py*") if path.suffix in (".py", ".pyi")}
    assert {room_of(path) for path in sources} == set(LEVELS)
    assert breaches(sources) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [("text/corpus.py", "from ..objectives.softmax import x"), ("params.py", "from .text import corpus"),
     ("vectors/formats.py", "from ..training import loop"), ("sampling/windows.py", "from ..models import skipgram"),
     ("config.py", "import w2v_jax.cli"), ("files.py", "from .config import x")],
)  # fmt: skip
def test_a_breach_is_found(file: str, line: str) -> None:
    assert breaches({PACKAGE / file: line})


def test_files_are_short_and_none_is_a_drawer() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.read_text().count("\n") <= 300, path
        assert path.stem not in ("utils", "util", "helpers", "common", "misc")
