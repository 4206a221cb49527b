"""What is in some vectors."""

import jax
import numpy as np

from w2v_jax.params import init_params
from w2v_jax.vectors.about import about
from w2v_jax.vectors.keyed_vectors import KeyedVectors


def test_about() -> None:
    table = np.array([[0, 1], [0, 2], [0, 5], [0, 4], [0, 3]], np.float16)
    found = about(KeyedVectors(list("abcde"), table))
    assert found == (5, 2, "float16", [1, 2, 3, 4, 5], list("abcde"), False, False)
    trained = KeyedVectors(list("abcde"), table, np.arange(5), init_params(jax.random.key(0), 5, 2))
    assert about(trained)[-2:] == (True, True)
    assert about(KeyedVectors([], np.zeros((0, 2), np.float32))).lengths == []
