"""Vectors for this package and for gensim."""

import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.vectors.keyed_vectors import KeyedVectors

Both = tuple[KeyedVectors, Gensim]


def pair(words: list[str], table: np.ndarray) -> Both:
    """Return the same vectors for this package and for gensim."""
    gensim = Gensim(table.shape[1])
    gensim.add_vectors(words, table.astype(np.float32))
    return KeyedVectors(words, table.astype(np.float32)), gensim


@pytest.fixture(scope="session")
def plain() -> Both:
    """300 random vectors of 20 numbers."""
    return pair([f"w{i}" for i in range(300)], np.random.default_rng(0).normal(size=(300, 20)))


@pytest.fixture(scope="session")
def cased() -> Both:
    """Vectors with an analogy in them, for words in mixed case, some of which differ only in case."""
    rng = np.random.default_rng(0)
    stems, offset = rng.normal(size=(60, 1, 12)), rng.normal(size=12)
    table = stems + np.outer([0, 1, 0.9], offset) + 0.3 * rng.normal(size=(60, 3, 12))
    return pair([f"{name}{i}" for i in range(60) for name in ("king", "Queen", "queen")], table.reshape(180, 12))


@pytest.fixture(scope="session")
def fasttexts(data: Path) -> Both:
    """Vectors that fastText learned from film reviews."""
    path = data / "formats" / "pang_lee_polarity_fasttext.vec"
    gensim = Gensim.load_word2vec_format(str(path), unicode_errors="replace")
    return KeyedVectors(gensim.index_to_key, gensim.vectors), gensim


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Check no types at calls, as for users."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True, scope="module")
def no_fsync() -> Iterator[None]:
    """Save time: no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
