"""Nearest rows equal those of the whole table, whatever the tile size and however many scores tie."""

import tracemalloc

import numpy as np
import pytest

from w2v_jax.vectors import search
from w2v_jax.vectors.search import QUERIES_PER_BATCH, QueryBatch, nearest, normalize


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
    expected, values = sorted_scores(scores, topn)
    np.clip(values, -1, 1, out=values, where=values > -np.inf)
    batch = QueryBatch(axes[:, None], np.ones((4, 1), np.float32), excluded)
    ids, actual = nearest(table, batch, topn=topn, scores_per_tile=4 * tile)
    np.testing.assert_array_equal(actual, values)
    np.testing.assert_array_equal(np.where(actual > -np.inf, ids, -1), np.where(values > -np.inf, expected, -1))


@pytest.mark.parametrize("count", [0, 1, 3, QUERIES_PER_BATCH - 1, QUERIES_PER_BATCH, QUERIES_PER_BATCH + 1])
def test_search_takes_any_number_of_queries(count: int) -> None:
    rng = np.random.default_rng(0)
    unit = normalize(rng.normal(size=(50, 5)).astype(np.float32))
    terms, none = rng.normal(size=(count, 1, 5)).astype(np.float32), np.full((count, 1), 50)
    ids, scores = nearest(unit, QueryBatch(terms, np.ones((count, 1), np.float32), none), topn=3)
    query = terms[:, 0] / np.linalg.norm(terms[:, 0], axis=1, keepdims=True)
    expected, values = sorted_scores(query @ unit.T, 3)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(scores, values, atol=1e-6)


def test_search_never_holds_all_scores() -> None:
    queries, vocab_size, dim = 64, 200_000, 4
    unit = np.random.default_rng(0).normal(size=(vocab_size, dim)).astype(np.float32)
    batch = QueryBatch(unit[:queries, None], np.ones((queries, 1), np.float32), np.arange(queries)[:, None])
    tracemalloc.start()
    nearest(unit, batch, topn=10, scores_per_tile=1 << 18)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * queries * vocab_size / 4


def test_ties_are_not_closer() -> None:
    unit = normalize(np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [0.0, 0.0], [3.0, 4.0]], np.float32))
    np.testing.assert_allclose(search.cosines(unit, np.array([5.0, 0.0])), [1, 0.6, 0, 0, 0.6], atol=1e-6)
    closer = search.closer_rows(unit, np.array([[0, 2], [0, 1]])).tolist()
    assert closer == [[False, True, False, False, True], [False] * 5]  # an equal is not closer
