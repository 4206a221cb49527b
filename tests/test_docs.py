"""Examples in the README and in docstrings run; their number is checked, so that none drops out unseen."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "w2v_jax").rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)
README = (ROOT / "README.md").read_text()


def examples_in(module: str) -> list[doctest.DocTest]:
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
    return [test for test in tests if test.examples]


def docstrings_with_examples(module: str) -> int:
    """Count them in the source, where no decorator hides one."""
    tree = ast.parse((ROOT / Path(*module.split("."))).with_suffix(".py").read_text())
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    return sum(">>> " in (ast.get_docstring(node) or "") for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples(module: str) -> None:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for test in examples_in(module):
            runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
            assert runner.run(test).failed == 0, test.name


def test_doctest_finds_every_example() -> None:
    counts = {module: docstrings_with_examples(module) for module in MODULES}
    assert {module: len(examples_in(module)) for module in MODULES} == counts
    assert sum(counts.values()) > 40


def test_readme_snippets_run(tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert snippets
    for snippet in snippets:
        child = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True)
        assert child.returncode == 0, child.stderr


def test_the_readme_has_the_two_commands() -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    for word in ("experiments.quickstart", "pytest"):
        (command,) = [line for line in lines if word in line]
        assert command.startswith("python3 -m venv .venv && ")


def test_files_named_in_the_readme_exist() -> None:
    for name in re.findall(r"`((?:w2v_jax|experiments|tests)/[\w/.]+)`", README):
        assert (ROOT / name).exists(), name


def test_readme_shows_the_model_of_ones_own_as_it_is() -> None:
    (excerpt,) = re.findall(r"```py\n(.*?)```", README, re.DOTALL)
    source = (ROOT / "experiments" / "own_model.py").read_text()
    assert excerpt in source
    assert source.count("\n") <= 60
