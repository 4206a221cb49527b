"""The table of gensim's methods names all of gensim's and all of ours."""

import re
from pathlib import Path

from gensim.models import KeyedVectors as Gensim

from w2v_jax.vectors.keyed_vectors import KeyedVectors

TABLE = (Path(__file__).parents[2] / "experiments" / "KEYED_VECTORS.md").read_text()


def test_the_table_has_each_method_of_gensim_and_of_ours() -> None:
    gensims, ours = ({name for name in names if name[0] != "_"} for names in (dir(Gensim), vars(KeyedVectors)))
    assert {name for name in gensims if not re.search(rf"`{name}\b", TABLE)} == set()
    assert {name for name in ours - {"params"} if not re.search(rf"\b{name}\b", TABLE)} == set()
