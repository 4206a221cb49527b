"""The nearest rows of a table: exact, tile by tile, so that no [Q, V] array is ever there."""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer

from ..errors import check_one_of

Method = Literal["3cosadd", "3cosmul"]
QUERIES = 1024  # asked in one product
TILE = 2048  # rows scored at once: QUERIES x TILE scores are 8 MB, and stay near the processor
PAIRS = 32  # ranked in one product
BLOCK = 32  # scores of which only the largest is looked at first
EPSILON = 1e-6  # 3CosMul's guard against a division by zero, gensim's; Levy and Goldberg have 1e-3


def nearest(
    unit: Float[Array, "V D"],
    terms: Float[np.ndarray, "Q n D"],
    weight: Float[np.ndarray, "Q n"],
    excluded: Integer[np.ndarray, "Q e"],
    *,
    topn: int,
    limit: int | None = None,
    method: Method = "3cosadd",
) -> tuple[Int[np.ndarray, "Q topn"], Float[np.ndarray, "Q topn"]]:
    """`nearest_rows` for any number of queries, `QUERIES` of them at a time; `limit` None is V.

    Raises:
      InputError: there is no such method.
    """
    check_one_of("method", method, Method)
    size = min(QUERIES, power_of_two(len(terms)))  # few shapes, few compilations
    end = jnp.int32(len(unit) if limit is None else limit)
    found = []
    for start in range(0, len(terms), size):
        some = (
            jnp.asarray(np.resize(part[start : start + size], (size, *part.shape[1:])))
            for part in (terms.astype(np.float32), weight.astype(np.float32), excluded.astype(np.int32))
        )
        found.append(nearest_rows(unit, *some, end, topn=topn, method=method))
    if not found:
        return np.zeros((0, topn), np.int32), np.zeros((0, topn), np.float32)
    ids, scores = (np.concatenate(parts)[: len(terms)] for parts in zip(*found, strict=True))
    return ids, scores


@functools.partial(jax.jit, static_argnames=("topn", "method", "tile"))
def nearest_rows(
    unit: Float[Array, "V D"],
    terms: Float[Array, "Q n D"],
    weight: Float[Array, "Q n"],
    excluded: Int[Array, "Q e"],
    limit: Int[Array, ""],
    *,
    topn: int,
    method: Method = "3cosadd",
    tile: int = TILE,
) -> tuple[Int[Array, "Q topn"], Float[Array, "Q topn"]]:
    """The ids of the `topn` rows before `limit` that score highest, and their scores; of equals, the smaller ids.

    Costs the product of [Q, D] and [D, V], and little more. The scores (Levy and Goldberg, 2014):

        3CosAdd: the cosine with Σ weight·term
        3CosMul: Π (1 + cos)/2 over terms of positive weight, divided by that over terms of negative weight

    Args:
      terms: the vectors that make each query; a weight of 0 leaves one out.
      excluded: rows that are no answers; an id of V stands for none.
      topn: at most V. The scores are −∞ where fewer rows were left.

    >>> unit = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> ids, scores = nearest_rows(unit, unit[:1, None], jnp.ones((1, 1)), jnp.array([[0]]), jnp.int32(3), topn=2)
    >>> ids.tolist(), scores.round(3).tolist()
    ([[2, 1]], [[0.6000000238418579, 0.0]])
    """
    vocab_size, queries = len(unit), len(terms)
    tile = min(tile, vocab_size)
    score = (_cos_add if method == "3cosadd" else _cos_mul)(terms, weight)

    def step(
        best: tuple[Int[Array, "Q topn"], Float[Array, "Q topn"]], start: Int[Array, ""]
    ) -> tuple[tuple[Int[Array, "Q topn"], Float[Array, "Q topn"]], None]:
        first = jnp.minimum(start, vocab_size - tile)  # the last tile reaches back over rows already seen
        scores = score(jax.lax.dynamic_slice_in_dim(unit, first, tile))
        column = jnp.where(excluded < first, tile, excluded - first)  # a negative index would count from the end
        scores = scores.at[jnp.arange(queries)[:, None], column].set(-jnp.inf, mode="drop")
        ids = first + jnp.arange(tile)
        scores = jnp.where(((ids >= start) & (ids < limit))[None], scores, -jnp.inf)
        values, places = _top(scores, min(topn, tile))
        every_id = jnp.concatenate([best[0], first + places], 1)
        scores, places = jax.lax.top_k(jnp.concatenate([best[1], values], 1), topn)
        return (jnp.take_along_axis(every_id, places, 1), scores), None

    none = jnp.zeros((queries, topn), jnp.int32), jnp.full((queries, topn), -jnp.inf, unit.dtype)
    return jax.lax.scan(step, none, jnp.arange(0, vocab_size, tile))[0]


def _top(scores: Float[Array, "Q T"], topn: int) -> tuple[Float[Array, "Q topn"], Int[Array, "Q topn"]]:
    """`lax.top_k`, which is slow on a CPU, of few numbers: the blocks of the `topn` largest maxima hold all answers.

    Blocks stay in their order, so that of equal scores the first is found here too.
    """
    if scores.shape[1] <= topn * BLOCK:
        values, places = jax.lax.top_k(scores, topn)
        return values, places
    padded = jnp.pad(scores, ((0, 0), (0, -scores.shape[1] % BLOCK)), constant_values=-jnp.inf)
    blocks = padded.reshape(len(scores), -1, BLOCK)
    chosen = jnp.sort(jax.lax.top_k(blocks.max(2), topn)[1], 1)
    few = jnp.take_along_axis(blocks, chosen[..., None], 1).reshape(len(scores), -1)
    values, places = jax.lax.top_k(few, topn)
    return values, jnp.take_along_axis(chosen, places // BLOCK, 1) * BLOCK + places % BLOCK


Score = Callable[[Float[Array, "T D"]], Float[Array, "Q T"]]


def _cos_add(terms: Float[Array, "Q n D"], weight: Float[Array, "Q n"]) -> Score:
    query = normalize((terms * weight[..., None]).sum(1))
    return lambda rows: jnp.matmul(query, rows.T, precision=jax.lax.Precision.HIGHEST)


def _cos_mul(terms: Float[Array, "Q n D"], weight: Float[Array, "Q n"]) -> Score:
    terms = normalize(terms)

    def score(rows: Float[Array, "T D"]) -> Float[Array, "Q T"]:
        cosines = jnp.einsum("qnd,td->qnt", terms, rows, precision=jax.lax.Precision.HIGHEST)
        shifted = (1 + cosines) / 2
        above, below = (shifted.prod(1, where=sign * weight[..., None] > 0) for sign in (1, -1))
        return above / (below + EPSILON)

    return score


@jax.jit
def cosines(unit: Float[Array, "V D"], query: Float[Array, " D"]) -> Float[Array, " V"]:
    """The cosine of every row with one query."""
    return jnp.matmul(unit, normalize(query), precision=jax.lax.Precision.HIGHEST)


@jax.jit
def closer_rows(unit: Float[Array, "V D"], row: Int[Array, ""], than: Int[Array, ""]) -> Bool[Array, " V"]:
    """Which rows have a larger cosine with `row` than the row `than` has; `row` itself has not."""
    found = cosines(unit, unit[row])
    return (found > found[than]).at[row].set(False)


@jax.jit
def count_closer_rows(unit: Float[Array, "V D"], pairs: Int[Array, "Q 2"]) -> Int[Array, " Q"]:
    """How many `closer_rows` there are for each pair (row, than); PAIRS x V cosines at once."""
    return jax.lax.map(lambda pair: closer_rows(unit, pair[0], pair[1]).sum(dtype=jnp.int32), pairs, batch_size=PAIRS)


def normalize(vectors: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """The vectors at length 1, in float32 or better; a zero vector stays zero."""
    vectors = vectors if vectors.dtype == jnp.float64 else vectors.astype(jnp.float32)
    # Near length 1 first, by a power of two, which changes no bit: the squares of huge or tiny numbers are none.
    _, exponent = jnp.frexp(jnp.abs(vectors).max(-1, keepdims=True, initial=0))
    vectors = jnp.ldexp(vectors, -exponent)
    length = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.where(length > 0, length, 1)


def power_of_two(count: int) -> int:
    """The smallest that is not less."""
    return 1 << max(count - 1, 0).bit_length()
