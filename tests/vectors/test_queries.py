"""Tiles change nothing: whatever the sizes, and however many scores are equal, the answers are the whole table's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.vectors.queries import EPSILON, QUERIES, _top, closer_rows, cosines, nearest, nearest_rows, normalize


def few_scores(vocab_size: int) -> np.ndarray:
    """Rows of small whole numbers: against a unit axis their scores are exact, and mostly equal to others."""
    return np.random.default_rng(vocab_size).integers(-1, 3, (vocab_size, 5)).astype(np.float32)


def best(scores: np.ndarray, topn: int) -> tuple[np.ndarray, np.ndarray]:
    """By falling score, equal ones by id."""
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :topn]
    return ids, np.take_along_axis(scores, ids, 1)


@pytest.mark.parametrize("topn", [1, 2, 5])
@pytest.mark.parametrize(
    ("vocab_size", "tile"), [(1, 8), (5, 8), (8, 8), (9, 8), (31, 8), (64, 64), (65, 64), (300, 128), (1000, 999)]
)
def test_tiles_and_blocks_find_what_the_whole_table_holds(vocab_size: int, tile: int, topn: int) -> None:
    table, topn = few_scores(vocab_size), min(topn, vocab_size)
    axes = np.eye(5, dtype=np.float32)[:4]
    excluded = np.array([[vocab_size, 0], [0, vocab_size - 1], [vocab_size] * 2, [vocab_size // 2, vocab_size // 3]])
    scores = axes @ table.T
    for row, ids in zip(scores, excluded, strict=True):
        row[ids[ids < vocab_size]] = -np.inf
    for limit in {vocab_size, max(1, vocab_size - 3)}:
        expected, values = best(np.where(np.arange(vocab_size) < limit, scores, -np.inf), topn)
        ids, found = nearest_rows(
            jnp.asarray(table), jnp.asarray(axes)[:, None], jnp.ones((4, 1)), jnp.asarray(excluded, jnp.int32),
            jnp.int32(limit), topn=topn, tile=tile,
        )  # fmt: skip
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(np.where(found > -np.inf, ids, -1), np.where(values > -np.inf, expected, -1))


@pytest.mark.parametrize("count", [0, 1, 3, QUERIES - 1, QUERIES, QUERIES + 1])
def test_any_number_of_queries(count: int) -> None:
    rng = np.random.default_rng(0)
    unit = normalize(jnp.asarray(rng.normal(size=(50, 5)), jnp.float32))
    terms, none = rng.normal(size=(count, 1, 5)).astype(np.float32), np.full((count, 1), 50)
    ids, scores = nearest(unit, terms, np.ones((count, 1), np.float32), none, topn=3)
    query = terms[:, 0] / np.linalg.norm(terms[:, 0], axis=1, keepdims=True)
    expected, values = best(query @ np.asarray(unit).T, 3)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(scores, values, atol=1e-6)


def test_the_scores_of_all_rows_are_never_held() -> None:
    queries, vocab_size, dim = 64, 200_000, 4
    shape = lambda *sizes, dtype=jnp.float32: jax.ShapeDtypeStruct(sizes, dtype)
    compiled = nearest_rows.lower(
        shape(vocab_size, dim), shape(queries, 3, dim), shape(queries, 3), shape(queries, 3, dtype=jnp.int32),
        shape(dtype=jnp.int32), topn=10,
    ).compile()  # fmt: skip
    used = compiled.memory_analysis()
    assert used is not None
    assert used.temp_size_in_bytes < 4 * queries * vocab_size / 10


def test_3cosmul_is_the_papers() -> None:
    rng = np.random.default_rng(1)
    unit = np.asarray(normalize(jnp.asarray(rng.normal(size=(30, 5)), jnp.float32)))
    terms = unit[None, :4].copy()
    weight = np.array([[1, 1, -1, 0]], np.float32)
    shifted = (1 + terms[0].astype(np.float64) @ unit.T.astype(np.float64)) / 2
    expected, values = best((shifted[0] * shifted[1] / (shifted[2] + EPSILON))[None], 30)
    ids, scores = nearest(jnp.asarray(unit), terms, weight, np.full((1, 1), 30), topn=30, method="3cosmul")
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(scores, values, rtol=1e-5)


def test_cosines_and_what_is_closer() -> None:
    unit = normalize(jnp.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(cosines(unit, jnp.array([5.0, 0.0])), [1, 0.6, 0, 0, 0.6], atol=1e-6)
    assert closer_rows(unit, jnp.int32(0), jnp.int32(2)).tolist() == [False, True, False, False, True]
    assert not closer_rows(unit, jnp.int32(0), jnp.int32(1)).any()  # an equal is not closer


@pytest.mark.parametrize("topn", [1, 2, 3])
@pytest.mark.parametrize("count", [33, 128, 250])
def test_of_equal_scores_in_many_blocks_the_first_is_found(count: int, topn: int) -> None:
    """Few scores are high, many equal ones are below them, and all are negative."""
    scores = np.floor(np.random.default_rng(count).exponential(1.5, (50, count))).astype(np.float32) - 100
    ids, values = best(scores, topn)
    found, places = _top(jnp.asarray(scores), topn)
    np.testing.assert_array_equal(places, ids)
    np.testing.assert_array_equal(found, values)
