"""Which tables users get of those that were trained."""

import jax
import numpy as np
import pytest

from w2v_jax.params import Params
from w2v_jax.text.vocabulary import Vocabulary
from w2v_jax.training.vectors_of import vectors_of
from w2v_jax.vectors.balanced import as_vectors, balanced, evened

COUNTS = np.arange(20, 0, -1)
VOCABULARY = Vocabulary(tuple("abcdefghijklmnopqrst"), COUNTS)


def tables() -> Params:
    keys = jax.random.split(jax.random.key(0))
    return Params(*(jax.random.normal(key, (20, 3)) for key in keys))


@pytest.mark.parametrize("objective", ["negative-sampling", "softmax", "naive-softmax"])
def test_tables_that_were_trained_from_fresh_ones_are_evened(objective: str) -> None:
    found, expected = vectors_of(tables(), VOCABULARY, objective), evened(tables())
    np.testing.assert_array_equal(found.vectors, expected.center)
    np.testing.assert_array_equal(found.params or (), expected)


@pytest.mark.parametrize("objective", ["ppmi-svd", None])
def test_a_factorization_s_extents_are_settled_and_given_tables_stay(objective: str | None) -> None:
    found, expected = vectors_of(tables(), VOCABULARY, objective), tables()
    np.testing.assert_array_equal(found.vectors, expected.center)
    np.testing.assert_array_equal(found.params or (), expected)


def test_tables_from_counts_are_balanced_and_their_vectors_hold_both() -> None:
    found, expected = vectors_of(tables(), VOCABULARY, "softmax-counts"), balanced(tables(), COUNTS)
    np.testing.assert_array_equal(found.vectors, as_vectors(expected, COUNTS))
    np.testing.assert_array_equal(found.params or (), expected)
