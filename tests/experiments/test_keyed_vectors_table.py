"""The table of gensim's methods names all of gensim's and all of ours."""

import re
from pathlib import Path

import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.vectors.keyed_vectors import KeyedVectors

TABLE = (Path(__file__).parents[2] / "experiments" / "KEYED_VECTORS.md").read_text()


@pytest.mark.parametrize("name", [name for name in dir(Gensim) if not name.startswith("_")])
def test_the_table_has_each_method_of_gensim(name: str) -> None:
    assert re.search(rf"`{name}\b", TABLE)


@pytest.mark.parametrize("name", [name for name in vars(KeyedVectors) if not name.startswith("_")])
def test_the_table_has_each_method_of_ours(name: str) -> None:
    assert name == "params" or re.search(rf"\b{name}\b", TABLE)
