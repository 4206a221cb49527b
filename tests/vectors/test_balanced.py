"""Vectors from two tables: the scores stay, and what was free in the tables is settled."""

import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.params import Params
from w2v_jax.vectors.balanced import as_vectors, balanced, evened


def test_balanced_tables_have_one_covariance_and_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    center, outside = rng.normal(size=(40, 5)) @ mixing * 3, rng.normal(size=(40, 5))
    params = Params(*(jnp.asarray(table, jnp.float32) for table in (center, outside)))
    counts = np.arange(40, 0, -1)
    found = balanced(params, counts)
    np.testing.assert_allclose(found.center @ found.outside.T, params.center @ params.outside.T, atol=1e-3)
    covariance = lambda table: np.cov(table.T, aweights=np.sqrt(counts))
    np.testing.assert_allclose(covariance(found.center), covariance(found.outside), rtol=1e-3, atol=1e-3)
    again = balanced(
        Params(params.center @ mixing, params.outside @ np.linalg.inv(mixing).T.astype(np.float32)), counts
    )
    gram = lambda table: table @ table.T  # the basis may turn, the angles do not
    np.testing.assert_allclose(gram(again.center), gram(found.center), rtol=1e-2, atol=1e-2)


def test_vectors_are_center_and_some_outside_about_their_means() -> None:
    params = Params(jnp.array([[1.0, 0.0], [3.0, 0.0]]), jnp.array([[0.0, 10.0], [0.0, 40.0]]))
    # Words weigh the roots of their counts, 2 to 1: the means are 5/3 and 20.
    np.testing.assert_allclose(as_vectors(params, np.array([4, 1])), [[-2 / 3, -3], [4 / 3, 6]], rtol=1e-6)


@pytest.mark.parametrize("words", [40, 41, 39, 8, 5])
def test_evened_tables_have_the_same_scores_and_extents_nearer_to_each_other(
    words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2v_jax.vectors.balanced.PIECE", 8)
    rng = np.random.default_rng(words)
    mixing = rng.normal(size=(5, 5)) * [4, 2, 1, 0.5, 0.25]
    center, outside = rng.normal(size=(words, 5)) @ mixing.T, rng.normal(size=(words, 5))
    found = evened(Params(*(jnp.asarray(table, jnp.float32) for table in (center, outside))))
    np.testing.assert_allclose(found.center @ found.outside.T, center @ outside.T, rtol=1e-4, atol=1e-4)
    before, after = (np.linalg.svd(table, compute_uv=False) for table in (center, np.asarray(found.center, np.float64)))
    np.testing.assert_allclose(after / after[0], (before / before[0]) ** 0.8, rtol=1e-4)
    assert found.center.dtype == found.outside.dtype == jnp.float32


def test_evened_tables_keep_their_size() -> None:
    """What is even already stays as it is where a number's mean square is one; all else is no longer for its size."""
    even = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 4)))[0]
    for size in (1, 100):
        center, outside = evened(Params(*(jnp.asarray(size * even, jnp.float32) for _ in range(2))))
        np.testing.assert_allclose(center, size * even, atol=size * 1e-5)
        np.testing.assert_allclose(outside, size * even, atol=size * 1e-5)


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_tables_that_hold_no_numbers_stay_as_they_are(number: float) -> None:
    table = np.ones((3, 2), np.float32)
    table[1] = number
    for found in evened(Params(jnp.array(table), jnp.array(table))):
        np.testing.assert_array_equal(found, table)


def test_evened_tables_are_numbers_where_a_direction_or_all_are_empty() -> None:
    center = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    for tables in ((center, center), (0 * center, 0 * center), (center, center[:, ::-1])):
        scores = tables[0] @ tables[1].T
        found = evened(Params(*map(jnp.copy, tables)))
        np.testing.assert_allclose(found.center @ found.outside.T, scores, atol=1e-6)


def test_evened_tables_have_the_same_bits_on_one_core_and_on_two() -> None:
    program = (
        "import os; os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:{cores}])); "
        "import hashlib, jax, jax.numpy as jnp, w2v_jax as w2v; "
        "tables = [jax.random.normal(key, (5_000, 100)) for key in jax.random.split(jax.random.key(0))]; "
        "evened = w2v.evened(w2v.Params(*tables)); "
        "print(hashlib.sha256(b''.join(table.tobytes() for table in evened)).hexdigest())"
    )
    ours = {
        name: value for name, value in os.environ.items() if name != "XLA_FLAGS"
    }  # 8 devices have threads of their own
    said = [
        subprocess.check_output([sys.executable, "-c", program.format(cores=cores)], text=True, env=ours)
        for cores in (1, 2)
    ]
    assert said[0] == said[1] != ""
