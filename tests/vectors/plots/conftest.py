"""Vectors for the pictures."""

import numpy as np
import pytest

from w2v_jax.vectors.keyed_vectors import KeyedVectors

HOSTILE = ["</script><script>alert(1)</script>", "<!--", "</script ", "&amp;", '"quoted"', "$x^$", "a\nb", "\u2028",
           "\x00\x1b[31m", "\ud800", "語", "x" * 5_000, "\\u003c", "--", "%s{0}MAP_DATA"]  # fmt: skip


@pytest.fixture(scope="session")
def vectors() -> KeyedVectors:
    """Three groups of nine similar words."""
    rng = np.random.default_rng(0)
    words = [f"{name}{i}" for name in ("cat", "iron", "run") for i in range(9)]
    table = np.repeat(rng.normal(size=(3, 10)), 9, axis=0) + 0.1 * rng.normal(size=(27, 10))
    return KeyedVectors(words, table.astype(np.float32))


@pytest.fixture(scope="session")
def hostile() -> KeyedVectors:
    """Words that would escape from HTML, XML, JSON or TeX that does not quote them."""
    table = np.random.default_rng(1).normal(size=(len(HOSTILE), 6))
    return KeyedVectors(HOSTILE, table.astype(np.float32))
