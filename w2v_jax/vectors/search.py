"""Exact nearest-neighbour search, tile by tile, without a [Q, V] array of scores.

In numpy: queries also work in a forked process, where JAX would hang, and need no compilation.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer

from ..errors import InputError, check_one_of
from ..text.vocabulary import Vocabulary

Vector = Float[np.ndarray, " _"]
Term = str | Vector | tuple[str | Vector, float]
"""A word or a vector, or either with its weight."""
Terms = str | Vector | Sequence[Term]
Query = str | tuple[Terms, Terms]
"""A word, or (positive terms, negative terms)."""
Among = Sequence[str] | Sequence[bool] | Bool[np.ndarray, " V"] | Bool[Array, " V"]
"""Words, or a mask over the vocabulary."""
Method = Literal["3cosadd", "3cosmul"]
Score = Callable[[Float[np.ndarray, "T D"]], Float[np.ndarray, "Q T"]]
QUERIES_PER_BATCH = 1024
SCORES_PER_TILE = 1 << 21  # held at once: 8 MB
PAIRS_PER_BATCH = 32
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
            else:
                check_vector(term, unit.shape[1])
            terms[i, j] = unit[ids[i, j]] if isinstance(term, str) else term
            weights[i, j] = sign if weight is None else weight
    if not np.isfinite(weights).all():
        raise InputError("a weight is not finite; give numbers")
    return QueryBatch(terms, weights, ids)


def check_vector(vector: object, dim: int) -> None:
    """Refuse what is no vector of finite numbers, or one of zeros, which has no direction."""
    array = np.asarray(vector)
    if array.shape != (dim,) or array.dtype.kind not in "fiuV":
        raise InputError(f"a term must be a word or a vector of {dim} numbers, not {' '.join(repr(vector).split())}")
    if not np.isfinite(array.astype(np.float64)).all() or not array.any():
        raise InputError("a vector holds NaN, an infinity, or zeros only, so it has no neighbours; leave it out")


def _signed_terms(query: Query) -> list[tuple[str | Vector, int, float | None]]:
    """Return each term with the sign of its side, and its weight if it has one."""
    sides = (query, []) if isinstance(query, str) else query
    is_term = lambda side: isinstance(side, str | np.ndarray) or not isinstance(side, Iterable)
    lists: list[Any] = [[side] if is_term(side) else side for side in sides]
    signed = [(term, sign) for terms, sign in zip(lists, (1, -1), strict=True) for term in terms]
    return [(term[0], sign, term[1]) if isinstance(term, tuple) else (term, sign, None) for term, sign in signed]


def candidate_ids(among: Among, vocabulary: Vocabulary) -> Integer[np.ndarray, " n"]:
    """Return the ids of the words that may be answers, in ascending order, without repeats."""
    if isinstance(among, str):
        raise InputError(f"among must be a list of words or a mask, not {among!r}; write [{among!r}]")
    entries: Any = among
    kind = getattr(entries, "dtype", None) or np.asarray(entries[:1]).dtype
    if kind != np.dtype(bool):
        return np.array(sorted({vocabulary[word] for word in entries}), np.int64)
    mask = np.asarray(entries, bool)
    if mask.shape != (len(vocabulary),):
        raise InputError(f"a mask of shape {mask.shape} for {len(vocabulary)} words; each word needs one entry")
    return np.flatnonzero(mask)


def nearest(
    unit: Float[np.ndarray, "V D"], batch: QueryBatch, *, topn: int, method: Method = "3cosadd",
    scores_per_tile: int = SCORES_PER_TILE,
) -> tuple[Int[np.ndarray, "Q topn"], Float[np.ndarray, "Q topn"]]:  # fmt: skip
    """Return the ids and scores of the `topn` rows with the highest scores; ties go to smaller ids.

    The cost is little more than the product of [Q, D] and [D, V]. The scores (Levy and Goldberg, 2014):

        3CosAdd: the cosine with Σ weight·term
        3CosMul: Π (1 + cos)/2 over terms of positive weight, divided by that over terms of negative weight

    Args:
      topn: at most V. The scores are −∞ where fewer rows qualify.

    >>> unit = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> ids, scores = nearest(unit, QueryBatch(unit[:1, None], np.ones((1, 1)), np.array([[0]])), topn=2)
    >>> ids.tolist(), scores.tolist()
    ([[2, 1]], [[0.6, 0.0]])
    """
    check_one_of("method", method, Method)
    ids = np.zeros((len(batch.terms), topn), np.int64)
    scores = np.full(ids.shape, -np.inf, unit.dtype)
    for start in range(0, len(ids), QUERIES_PER_BATCH):
        terms, weights, excluded = (field[start : start + QUERIES_PER_BATCH] for field in batch)
        score = (_cos_add if method == "3cosadd" else _cos_mul)(terms.astype(unit.dtype), weights.astype(unit.dtype))
        best = ids[start : start + len(terms)], scores[start : start + len(terms)]
        tile = max(1, scores_per_tile // len(terms))
        for first in range(0, len(unit), tile):
            of_tile = score(unit[first : first + tile])
            query, term = np.nonzero((excluded >= first) & (excluded < first + of_tile.shape[1]))
            of_tile[query, excluded[query, term] - first] = -np.inf
            _keep_best(*best, of_tile, first)
    if method == "3cosadd":
        np.clip(scores, -1, 1, out=scores, where=scores > -np.inf)  # rounding
    return ids, scores


def _keep_best(
    ids: Int[np.ndarray, "Q n"], best: Float[np.ndarray, "Q n"], scores: Float[np.ndarray, "Q T"], first: int
) -> None:
    """Replace the best scores so far, and their ids, by those of this tile that are higher."""
    topn = best.shape[1]
    is_better = scores > best[:, -1:]
    if np.count_nonzero(is_better) > 2 * best.size and topn < scores.shape[1]:
        is_better &= scores >= np.partition(scores, -topn, axis=1)[:, -topn, None]
    flat = np.flatnonzero(is_better)  # much faster than nonzero in two dimensions
    query, column = np.divmod(flat, scores.shape[1])
    changed, row = np.unique(query, return_inverse=True)
    query = np.concatenate([np.repeat(np.arange(len(changed)), topn), row])
    candidates = np.concatenate([best[changed].ravel(), scores.ravel()[flat]])
    candidate_ids = np.concatenate([ids[changed].ravel(), first + column])
    order = np.lexsort((candidate_ids, -candidates, query))
    starts = np.searchsorted(query[order], np.arange(len(changed)))
    chosen = order[starts[:, None] + np.arange(topn)]
    best[changed], ids[changed] = candidates[chosen], candidate_ids[chosen]


def _cos_add(terms: Float[np.ndarray, "Q n D"], weights: Float[np.ndarray, "Q n"]) -> Score:
    query = normalize((terms * weights[..., None]).sum(1))
    return lambda rows: query @ rows.T


def _cos_mul(terms: Float[np.ndarray, "Q n D"], weights: Float[np.ndarray, "Q n"]) -> Score:
    terms = normalize(terms)

    def score(rows: Float[np.ndarray, "T D"]) -> Float[np.ndarray, "Q T"]:
        shape, one = (len(terms), len(rows)), terms.dtype.type(1)
        above, below = np.ones(shape, terms.dtype), np.ones(shape, terms.dtype)
        for term, weight in zip(terms.swapaxes(0, 1), weights.T[..., None], strict=True):
            shifted = (1 + term @ rows.T) / 2
            above *= np.where(weight > 0, shifted, one)
            below *= np.where(weight < 0, shifted, one)
        return above / (below + terms.dtype.type(EPSILON))

    return score


def cosines(unit: Float[np.ndarray, "V D"], query: Float[np.ndarray, " D"]) -> Float[np.ndarray, " V"]:
    """Return the cosine of every row with one query."""
    return np.clip(unit @ normalize(query), -1, 1)


def closer_rows(unit: Float[np.ndarray, "V D"], pairs: Int[np.ndarray, "Q 2"]) -> Bool[np.ndarray, "Q V"]:
    """Return for pairs (row, other) which rows, except `row`, have a larger cosine with `row` than `other` has."""
    scores = unit[pairs[:, 0]] @ unit.T
    query = np.arange(len(pairs))
    closer = scores > scores[query, pairs[:, 1], None]
    closer[query, pairs[:, 0]] = False
    return closer


def count_closer_rows(unit: Float[np.ndarray, "V D"], pairs: Int[np.ndarray, "Q 2"]) -> Int[np.ndarray, " Q"]:
    """Count the `closer_rows` of each pair (row, other), from PAIRS_PER_BATCH x V cosines at a time."""
    starts = range(0, len(pairs), PAIRS_PER_BATCH)
    counts = [closer_rows(unit, pairs[start : start + PAIRS_PER_BATCH]).sum(1) for start in starts]
    return np.concatenate([np.zeros(0, np.int64), *counts])


def normalize(vectors: Float[np.ndarray, "*n D"]) -> Float[np.ndarray, "*n D"]:
    """Scale vectors to length 1, in float32 or float64; a zero vector stays zero."""
    vectors = vectors if vectors.dtype == np.float64 else vectors.astype(np.float32)
    # First scale by an exact power of two: the squares of huge or tiny numbers overflow or vanish.
    _, exponent = np.frexp(np.abs(vectors).max(-1, keepdims=True, initial=0))
    vectors = np.ldexp(vectors, -exponent)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
