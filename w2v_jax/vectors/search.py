"""Exact nearest-neighbour search, tile by tile, without a [Q, V] array of scores."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer

from ..errors import InputError, check_one_of
from ..text.vocabulary import Vocabulary
from ..tiling import fold_tiles

Vector = Float[np.ndarray, " _"]
Term = str | Vector | tuple[str | Vector, float]
"""A word or a vector, or either with its weight."""
Terms = str | Vector | Sequence[Term]
Query = str | tuple[Terms, Terms]
"""A word, or (positive terms, negative terms)."""
Among = Sequence[str] | Bool[np.ndarray, " V"]
"""Words, or a mask over the vocabulary."""
Method = Literal["3cosadd", "3cosmul"]
Score = Callable[[Float[Array, "T D"]], Float[Array, "Q T"]]
QUERIES_PER_BATCH = 1024
ROWS_PER_TILE = 2048  # QUERIES_PER_BATCH x ROWS_PER_TILE scores are 8 MB, and stay in the processor's cache
PAIRS_PER_BATCH = 32
SCORES_PER_BLOCK = 32
EPSILON = 1e-6  # 3CosMul's guard against a division by zero, gensim's; Levy and Goldberg have 1e-3


class QueryBatch(NamedTuple):
    """Q queries of up to n terms each."""

    terms: Float[np.ndarray, "Q n D"]
    """The words' unit vectors, and vectors unchanged; zeros are padding."""
    weights: Float[np.ndarray, "Q n"]
    """Below 0 for negative terms; 0 for padding."""
    excluded: Integer[np.ndarray, "Q e"]
    """The ids of the words, which are no answers; V is padding."""


def parse_queries(
    queries: Sequence[Query], vocabulary: Vocabulary, unit: Float[np.ndarray, "V D"], method: Method
) -> QueryBatch:
    """Look up the words of the queries, and set the weights; refuse unknown words, and queries without words."""
    if isinstance(queries, str):
        raise InputError(f"queries must be a list, not {queries!r}; write [{queries!r}]")
    parsed = [_signed_terms(query) for query in queries]
    if not all(parsed):
        raise InputError("a query needs at least one word")
    shape = len(parsed), max(map(len, parsed), default=1)
    terms, weights = np.zeros((*shape, unit.shape[1]), unit.dtype), np.zeros(shape, unit.dtype)
    ids = np.full(shape, len(vocabulary))
    for i, query in enumerate(parsed):
        for j, (term, sign, weight) in enumerate(query):
            if method == "3cosmul" and weight is not None:
                raise InputError(f"3cosmul takes no weights, but {term!r} has the weight {weight}; use 3cosadd")
            if isinstance(term, str):
                ids[i, j] = vocabulary[term]
            elif np.shape(term) != unit.shape[1:]:
                raise InputError(f"a term must be a word or a vector of {unit.shape[1]} numbers, not {term!r}")
            terms[i, j] = unit[ids[i, j]] if isinstance(term, str) else term
            weights[i, j] = sign if weight is None else weight
    return QueryBatch(terms, weights, ids)


def _signed_terms(query: Query) -> list[tuple[str | Vector, int, float | None]]:
    """Return each term with the sign of its side, and its weight if it has one."""
    sides = (query, []) if isinstance(query, str) else query
    lists = [[side] if isinstance(side, str | np.ndarray) else side for side in sides]
    signed = [(term, sign) for terms, sign in zip(lists, (1, -1), strict=True) for term in terms]
    return [(term[0], sign, term[1]) if isinstance(term, tuple) else (term, sign, None) for term, sign in signed]


def candidate_ids(among: Among, vocabulary: Vocabulary) -> Integer[np.ndarray, " n"]:
    """Return the ids of the words that may be answers, in ascending order, without repeats."""
    if isinstance(among, str):
        raise InputError(f"among must be a list of words or a mask, not {among!r}; write [{among!r}]")
    if not isinstance(among, np.ndarray):
        return np.array(sorted({vocabulary[word] for word in among}), np.int64)
    if among.shape != (len(vocabulary),):
        raise InputError(f"a mask of shape {among.shape} for {len(vocabulary)} words; each word needs one entry")
    return np.flatnonzero(among)


def nearest(
    unit: Float[Array, "V D"], batch: QueryBatch, *, topn: int, limit: int | None = None, method: Method = "3cosadd"
) -> tuple[Int[np.ndarray, "Q topn"], Float[np.ndarray, "Q topn"]]:
    """Run `nearest_rows` on `QUERIES_PER_BATCH` queries at a time; `limit` None is V."""
    check_one_of("method", method, Method)
    count = len(batch.terms)
    size = min(QUERIES_PER_BATCH, power_of_two(count))  # few shapes, few compilations
    end = jnp.int32(len(unit) if limit is None else limit)
    results = [(np.zeros((0, topn), np.int32), np.zeros((0, topn), unit.dtype))]
    for start in range(0, count, size):
        terms, weights, ids = (np.resize(field[start : start + size], (size, *field.shape[1:])) for field in batch)
        arrays = jnp.asarray(terms, unit.dtype), jnp.asarray(weights, unit.dtype), jnp.asarray(ids, jnp.int32)
        results.append(nearest_rows(unit, *arrays, end, topn=topn, method=method))
    rows, scores = (np.concatenate(parts)[:count] for parts in zip(*results, strict=True))
    return rows, scores


@functools.partial(jax.jit, static_argnames=("topn", "method", "tile"))
def nearest_rows(
    unit: Float[Array, "V D"],
    terms: Float[Array, "Q n D"],
    weights: Float[Array, "Q n"],
    excluded: Int[Array, "Q e"],
    limit: Int[Array, ""],
    *,
    topn: int,
    method: Method = "3cosadd",
    tile: int = ROWS_PER_TILE,
) -> tuple[Int[Array, "Q topn"], Float[Array, "Q topn"]]:
    """Return the ids and scores of the `topn` rows before `limit` with the highest scores; ties go to smaller ids.

    The cost is little more than the product of [Q, D] and [D, V]. The scores (Levy and Goldberg, 2014):

        3CosAdd: the cosine with Σ weight·term
        3CosMul: Π (1 + cos)/2 over terms of positive weight, divided by that over terms of negative weight

    Args:
      topn: at most V. The scores are −∞ where fewer rows qualify.

    >>> unit = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> ids, scores = nearest_rows(unit, unit[:1, None], jnp.ones((1, 1)), jnp.array([[0]]), jnp.int32(3), topn=2)
    >>> ids.tolist(), scores.round(3).tolist()
    ([[2, 1]], [[0.6000000238418579, 0.0]])
    """
    vocab_size, queries = len(unit), len(terms)
    tile = min(tile, vocab_size)
    score = (_cos_add if method == "3cosadd" else _cos_mul)(terms, weights)
    query = jnp.arange(queries, dtype=jnp.int32)[:, None]
    Best = tuple[Int[Array, "Q topn"], Float[Array, "Q topn"]]

    def step(best: Best, start: Int[Array, ""], is_new: Bool[Array, " tile"]) -> Best:
        scores = score(jax.lax.dynamic_slice_in_dim(unit, start, tile))
        column = jnp.where(excluded < start, tile, excluded - start)  # a negative index would count from the end
        scores = scores.at[query, column].set(-jnp.inf, mode="drop")
        values, columns = _top_k(jnp.where(is_new[None], scores, -jnp.inf), min(topn, tile))
        ids = jnp.concatenate([best[0], start + columns], 1)
        scores, columns = jax.lax.top_k(jnp.concatenate([best[1], values], 1), topn)
        return jnp.take_along_axis(ids, columns, 1), scores

    none = jnp.zeros((queries, topn), jnp.int32), jnp.full((queries, topn), -jnp.inf, unit.dtype)
    return fold_tiles(step, none, vocab_size, tile, limit)


def _top_k(scores: Float[Array, "Q T"], k: int) -> tuple[Float[Array, "Q k"], Int[Array, "Q k"]]:
    """Return `lax.top_k`, slow on a CPU, from fewer scores: those of the k blocks of largest maximum.

    Blocks stay in order, so that ties go to the first score.
    """
    if scores.shape[1] <= k * SCORES_PER_BLOCK:
        values, columns = jax.lax.top_k(scores, k)
        return values, columns
    padding = (0, 0), (0, -scores.shape[1] % SCORES_PER_BLOCK)
    blocks = jnp.pad(scores, padding, constant_values=-jnp.inf).reshape(len(scores), -1, SCORES_PER_BLOCK)
    chosen = jnp.sort(jax.lax.top_k(blocks.max(2), k)[1], 1)
    candidates = jnp.take_along_axis(blocks, chosen[..., None], 1).reshape(len(scores), -1)
    values, columns = jax.lax.top_k(candidates, k)
    block = jnp.take_along_axis(chosen, columns // SCORES_PER_BLOCK, 1)
    return values, block * SCORES_PER_BLOCK + columns % SCORES_PER_BLOCK


def _cos_add(terms: Float[Array, "Q n D"], weights: Float[Array, "Q n"]) -> Score:
    query = normalize((terms * weights[..., None]).sum(1))
    return lambda rows: jnp.matmul(query, rows.T, precision=jax.lax.Precision.HIGHEST)


def _cos_mul(terms: Float[Array, "Q n D"], weights: Float[Array, "Q n"]) -> Score:
    terms = normalize(terms)

    def score(rows: Float[Array, "T D"]) -> Float[Array, "Q T"]:
        cosines = jnp.einsum("qnd,td->qnt", terms, rows, precision=jax.lax.Precision.HIGHEST)
        shifted = (1 + cosines) / 2
        above, below = (shifted.prod(1, where=sign * weights[..., None] > 0) for sign in (1, -1))
        return above / (below + EPSILON)

    return score


@jax.jit
def cosines(unit: Float[Array, "V D"], query: Float[Array, " D"]) -> Float[Array, " V"]:
    """Return the cosine of every row with one query."""
    return jnp.matmul(unit, normalize(query), precision=jax.lax.Precision.HIGHEST)


@jax.jit
def closer_rows(unit: Float[Array, "V D"], row: Int[Array, ""], other: Int[Array, ""]) -> Bool[Array, " V"]:
    """Return which rows have a larger cosine with `row` than `other` has; `row` itself is left out."""
    scores = cosines(unit, unit[row])
    return (scores > scores[other]).at[row].set(False)


@jax.jit
def count_closer_rows(unit: Float[Array, "V D"], pairs: Int[Array, "Q 2"]) -> Int[Array, " Q"]:
    """Count the `closer_rows` of each pair (row, other), from PAIRS_PER_BATCH x V cosines at a time."""
    count = lambda pair: closer_rows(unit, pair[0], pair[1]).sum(dtype=jnp.int32)
    return jax.lax.map(count, pairs, batch_size=PAIRS_PER_BATCH)


def normalize(vectors: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """Scale vectors to length 1, in float32 or float64; a zero vector stays zero."""
    vectors = vectors if vectors.dtype == jnp.float64 else vectors.astype(jnp.float32)
    # First scale by an exact power of two: the squares of huge or tiny numbers overflow or vanish.
    _, exponent = jnp.frexp(jnp.abs(vectors).max(-1, keepdims=True, initial=0))
    vectors = jnp.ldexp(vectors, -exponent)
    length = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.where(length > 0, length, 1)


def power_of_two(count: int) -> int:
    """Return the smallest power of two that is at least `count`."""
    return 1 << max(count - 1, 0).bit_length()
