"""Vectors for two libraries."""

from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.vectors.keyed_vectors import KeyedVectors

Both = tuple[KeyedVectors, Gensim]


def for_both(words: list[str], table: np.ndarray) -> Both:
    """The same vectors, here and in gensim."""
    theirs = Gensim(table.shape[1])
    theirs.add_vectors(words, table.astype(np.float32))
    return KeyedVectors(words, table.astype(np.float32)), theirs


@pytest.fixture(scope="session")
def plain() -> Both:
    """300 random vectors of 20 numbers."""
    return for_both([f"w{i}" for i in range(300)], np.random.default_rng(0).normal(size=(300, 20)))


@pytest.fixture(scope="session")
def cased() -> Both:
    """Vectors with some structure, for words in mixed case, some of them the same but for it."""
    rng = np.random.default_rng(0)
    stems = rng.normal(size=(60, 12))
    offset = rng.normal(size=12)
    words = [f"{name}{i}" for i in range(60) for name in ("king", "Queen", "queen")]
    return for_both(
        words,
        np.stack(
            [stem + part + 0.3 * rng.normal(size=12) for stem in stems for part in (0 * offset, offset, 0.9 * offset)]
        ),
    )


@pytest.fixture(scope="session")
def fasttexts(data: Path) -> Both:
    """Vectors that fastText learned from film reviews."""
    path = data / "formats" / "pang_lee_polarity_fasttext.vec"
    theirs = Gensim.load_word2vec_format(str(path), unicode_errors="replace")
    return KeyedVectors(theirs.index_to_key, theirs.vectors), theirs


@pytest.fixture
def unchecked() -> Iterator[None]:
    """As users run it: no type is checked at a call."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
