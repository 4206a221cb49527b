"""Nearest rows equal those of the whole table, whatever the tile size and however many scores tie."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.vectors import search
from w2v_jax.vectors.search import QUERIES_PER_BATCH, QueryBatch, nearest, nearest_rows, normalize


def small_integers(vocab_size: int) -> np.ndarray:
    """Return rows whose scores against a unit axis are exact and mostly tied."""
    return np.random.default_rng(vocab_size).integers(-1, 3, (vocab_size, 5)).astype(np.float32)


def sorted_scores(scores: np.ndarray, topn: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort by falling score, ties by id."""
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :topn]
    return ids, np.take_along_axis(scores, ids, 1)


@pytest.mark.parametrize("topn", [1, 2, 5])
@pytest.mark.parametrize(
    ("vocab_size", "tile"), [(1, 8), (5, 8), (8, 8), (9, 8), (31, 8), (64, 64), (65, 64), (300, 128), (1000, 999)]
)
def test_tiled_search_equals_a_full_sort(vocab_size: int, tile: int, topn: int) -> None:
    table, topn = small_integers(vocab_size), min(topn, vocab_size)
    axes = np.eye(5, dtype=np.float32)[:4]
    excluded = np.array([[vocab_size, 0], [0, vocab_size - 1], [vocab_size] * 2, [vocab_size // 2, vocab_size // 3]])
    scores = axes @ table.T
    for row, ids in zip(scores, excluded, strict=True):
        row[ids[ids < vocab_size]] = -np.inf
    for limit in {vocab_size, max(1, vocab_size - 3)}:
        expected, values = sorted_scores(np.where(np.arange(vocab_size) < limit, scores, -np.inf), topn)
        ids, actual = nearest_rows(
            jnp.asarray(table), jnp.asarray(axes)[:, None], jnp.ones((4, 1)), jnp.asarray(excluded, jnp.int32),
            jnp.int32(limit), topn=topn, tile=tile,
        )  # fmt: skip
        np.testing.assert_array_equal(actual, values)
        np.testing.assert_array_equal(np.where(actual > -np.inf, ids, -1), np.where(values > -np.inf, expected, -1))


@pytest.mark.parametrize("count", [0, 1, 3, QUERIES_PER_BATCH - 1, QUERIES_PER_BATCH, QUERIES_PER_BATCH + 1])
def test_search_takes_any_number_of_queries(count: int) -> None:
    rng = np.random.default_rng(0)
    unit = normalize(jnp.asarray(rng.normal(size=(50, 5)), jnp.float32))
    terms, none = rng.normal(size=(count, 1, 5)).astype(np.float32), np.full((count, 1), 50)
    ids, scores = nearest(unit, QueryBatch(terms, np.ones((count, 1), np.float32), none), topn=3)
    query = terms[:, 0] / np.linalg.norm(terms[:, 0], axis=1, keepdims=True)
    expected, values = sorted_scores(query @ np.asarray(unit).T, 3)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(scores, values, atol=1e-6)


def test_search_never_holds_all_scores() -> None:
    queries, vocab_size, dim = 64, 200_000, 4
    shape = lambda *sizes, dtype=jnp.float32: jax.ShapeDtypeStruct(sizes, dtype)
    compiled = nearest_rows.lower(
        shape(vocab_size, dim), shape(queries, 3, dim), shape(queries, 3), shape(queries, 3, dtype=jnp.int32),
        shape(dtype=jnp.int32), topn=10,
    ).compile()  # fmt: skip
    used = compiled.memory_analysis()
    assert used is not None
    assert used.temp_size_in_bytes < 4 * queries * vocab_size / 10


def test_ties_are_not_closer() -> None:
    unit = normalize(jnp.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(search.cosines(unit, jnp.array([5.0, 0.0])), [1, 0.6, 0, 0, 0.6], atol=1e-6)
    assert search.closer_rows(unit, jnp.int32(0), jnp.int32(2)).tolist() == [False, True, False, False, True]
    assert not search.closer_rows(unit, jnp.int32(0), jnp.int32(1)).any()  # an equal is not closer
