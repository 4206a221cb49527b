"""Only the registry, and the command line's, knows models by name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from w2v_jax.commands.train import COUNT_FITS
from w2v_jax.config import TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.models.registry import MODELS, named_model
from w2v_jax.text.vocabulary import Vocabulary

PACKAGE = Path(__file__).parents[2] / "w2v_jax"
REGISTRIES = {"models/registry.py", "commands/train.py"}
DEFAULT = "negative-sampling"  # which TrainConfig and the command line's options name once


def branches(source: str) -> Iterator[str]:
    """Yield what a module compares with, matches or looks up by an objective's name, or by `objective`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare | ast.Match | ast.Subscript | ast.Dict):
            parts = list(ast.walk(node))
            names = {part.value for part in parts if isinstance(part, ast.Constant)} & {*MODELS, *COUNT_FITS}
            attributes = {part.attr for part in parts if isinstance(part, ast.Attribute)}
            if names or ("objective" in attributes and isinstance(node, ast.Compare | ast.Match)):
                yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def test_no_branch_on_a_model_s_name() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        assert name in REGISTRIES or not list(branches(path.read_text())), name


@pytest.mark.parametrize(
    "source",
    ['x = 1 if config.objective == "softmax" else 2', 'if kind in ("softmax", "ppmi-svd"): pass',
     'LOSSES = {"naive-softmax": f}', "match config.objective:\n    case _: pass", 'f = LOSSES["softmax-counts"]'],
)  # fmt: skip
def test_a_branch_is_found(source: str) -> None:
    assert list(branches(source))


def test_an_unknown_name_is_refused() -> None:
    message = "^objective is hs; it must be one of negative-sampling, naive-softmax, softmax$"
    with pytest.raises(InputError, match=message):
        named_model(TrainConfig(objective="hs"), Vocabulary(("a", "b"), (2, 1)))
    assert TrainConfig().objective == DEFAULT
