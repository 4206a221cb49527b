"""Whitening and balancing keep all scores, and change the covariances."""

import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.params import Params
from w2v_jax.vectors.whitening import balance_covariances, combine_tables, partial_whiten


def test_balanced_tables_have_one_covariance_and_the_same_scores() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5))
    center, outside = rng.normal(size=(40, 5)) @ mixing * 3, rng.normal(size=(40, 5))
    params = Params(*(jnp.asarray(table, jnp.float32) for table in (center, outside)))
    counts = np.arange(40, 0, -1)
    result = balance_covariances(params, counts)
    np.testing.assert_allclose(result.center @ result.outside.T, params.center @ params.outside.T, atol=1e-3)
    covariance = lambda table: np.cov(table.T, aweights=np.sqrt(counts))
    np.testing.assert_allclose(covariance(result.center), covariance(result.outside), rtol=1e-3, atol=1e-3)
    turned = Params(params.center @ mixing, params.outside @ np.linalg.inv(mixing).T.astype(np.float32))
    mixed = balance_covariances(turned, counts)
    gram = lambda table: table @ table.T  # the basis may turn, the angles do not
    np.testing.assert_allclose(gram(mixed.center), gram(result.center), rtol=1e-2, atol=1e-2)


def test_combined_tables_have_weighted_mean_zero() -> None:
    params = Params(jnp.array([[1.0, 0.0], [3.0, 0.0]]), jnp.array([[0.0, 10.0], [0.0, 40.0]]))
    # Words weigh the roots of their counts, 2 to 1: the means are 5/3 and 20.
    np.testing.assert_allclose(combine_tables(params, np.array([4, 1])), [[-2 / 3, -3], [4 / 3, 6]], rtol=1e-6)


@pytest.mark.parametrize(("words", "power"), [(40, 0.1), (41, 0.1), (39, 0.5), (8, -0.2), (5, 0.1), (40, 0)])
def test_whitening_keeps_scores_and_compresses_singular_values(
    words: int, power: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2v_jax.vectors.whitening.ROWS_PER_TILE", 8)
    rng = np.random.default_rng(words)
    mixing = rng.normal(size=(5, 5)) * [4, 2, 1, 0.5, 0.25]
    center, outside = rng.normal(size=(words, 5)) @ mixing.T, rng.normal(size=(words, 5))
    params = Params(*(jnp.asarray(table, jnp.float32) for table in (center, outside)))
    result = partial_whiten(params, power)
    assert (result is params) == (power == 0)
    np.testing.assert_allclose(result.center @ result.outside.T, center @ outside.T, rtol=1e-4, atol=1e-4)
    before, after = (np.linalg.svd(np.asarray(x, np.float64), compute_uv=False) for x in (center, result.center))
    expected = np.sort((before / before[0]) ** (1 - 2 * power))
    np.testing.assert_allclose(np.sort(after / after.max()), expected / expected.max(), rtol=1e-4)
    assert result.center.dtype == result.outside.dtype == jnp.float32


def test_whitening_keeps_the_size_of_isotropic_tables() -> None:
    """M is normalised, so tables of any size stay if all directions are equal."""
    even = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 4)))[0]
    for size in (1, 100):
        for table in partial_whiten(Params(*(jnp.asarray(size * even, jnp.float32) for _ in range(2)))):
            np.testing.assert_allclose(table, size * even, atol=size * 1e-5)


@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_tables_with_infinities_or_nans_stay_unchanged(number: float) -> None:
    table = np.ones((3, 2), np.float32)
    table[1] = number
    for result in partial_whiten(Params(jnp.array(table), jnp.array(table))):
        np.testing.assert_array_equal(result, table)


def test_tables_of_low_rank_are_whitened_to_finite_numbers() -> None:
    center = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    for tables in ((center, center), (0 * center, 0 * center), (center, center[:, ::-1])):
        scores = tables[0] @ tables[1].T
        result = partial_whiten(Params(*map(jnp.copy, tables)))
        np.testing.assert_allclose(result.center @ result.outside.T, scores, atol=1e-6)


def test_whitening_gives_the_same_bits_on_one_core_and_on_two() -> None:
    program = (
        "import os; os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:{cores}])); import hashlib, jax; "
        "from w2v_jax.vectors.whitening import Params, partial_whiten; "
        "tables = [jax.random.normal(key, (5_000, 100)) for key in jax.random.split(jax.random.key(0))]; "
        "print(hashlib.sha256(b''.join(table.tobytes() for table in partial_whiten(Params(*tables)))).hexdigest())"
    )
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # 8 devices have their own threads
    start = lambda cores: subprocess.Popen(
        [sys.executable, "-c", program.format(cores=cores)], stdout=subprocess.PIPE, text=True, env=env
    )
    one, two = (child.communicate()[0] for child in (start(1), start(2)))
    assert one == two != ""
