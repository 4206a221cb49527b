"""What README and docstrings show is run, and counted, so that none drops out unseen."""

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
EXAMPLES = 47  # docstrings with an example
SNIPPETS = 1  # of Python in README
README = (ROOT / "README.md").read_text()


def examples_in(module: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples(module: str) -> None:
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for test in examples_in(module):
            runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
            assert runner.run(test).failed == 0, test.name


def test_the_examples_are_all_there() -> None:
    assert sum(len(examples_in(module)) > 0 for module in MODULES) > 10
    assert sum(map(len, map(examples_in, MODULES))) == EXAMPLES


def test_readme_snippets(tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(snippets) == SNIPPETS
    for snippet in snippets:
        done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_readme_has_the_two_commands() -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    for word in ("experiments.quickstart", "pytest"):
        (command,) = [line for line in lines if word in line]
        assert command.startswith("python3 -m venv .venv && ")


def test_readme_names_files_that_are_there() -> None:
    for name in re.findall(r"`((?:w2v_jax|experiments|tests)/[\w/.]+)`", README):
        assert (ROOT / name).exists(), name
