"""Queries become arrays."""

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.text.vocabulary import Vocabulary
from w2v_jax.vectors.terms import Query, as_arrays, ids_among

WORDS = Vocabulary(("a", "b", "c"), np.zeros(3, np.int64))
UNIT = np.eye(3, dtype=np.float32)


def test_terms_weights_and_words() -> None:
    vector = np.array([0, 2, 0], np.float32)
    asked = as_arrays(["b", (["a", ("c", 0.5)], [vector, ("a", -3.0)]), (vector, "b")], WORDS, UNIT, "3cosadd")
    assert asked.weight.tolist() == [[1, 0, 0, 0], [1, 0.5, -1, -3], [1, -1, 0, 0]]
    assert asked.known.tolist() == [[1, 3, 3, 3], [0, 2, 3, 0], [3, 1, 3, 3]]
    assert asked.terms[1].tolist() == [[1, 0, 0], [0, 0, 1], [0, 2, 0], [1, 0, 0]]
    assert asked.terms[2].tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_candidates() -> None:
    assert ids_among(["c", "a", "c"], WORDS).tolist() == [0, 2]
    assert ids_among([], WORDS).tolist() == []
    assert ids_among(np.array([False, True, True]), WORDS).tolist() == [1, 2]
    with pytest.raises(InputError, match=r"a mask of shape \(2,\) for 3 words"):
        ids_among(np.ones(2, bool), WORDS)
    with pytest.raises(InputError, match="'x' is not in the vocabulary"):
        ids_among(["x"], WORDS)


@pytest.mark.parametrize(
    ("query", "method", "message"),
    [
        (([], []), "3cosadd", "a query needs at least one word"),
        (("a", ["x"]), "3cosadd", "'x' is not in the vocabulary"),
        (([np.zeros(2, np.float32)], ()), "3cosadd", "vectors of 3 numbers; here is array"),
        (([("a", 2.0)], ()), "3cosmul", "3cosmul knows no weights; here is 2.0 for 'a'"),
    ],
)
def test_what_cannot_be_asked(query: Query, method: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_arrays([query], WORDS, UNIT, method)
