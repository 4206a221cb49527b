"""Which of all the tables that give the same scores: center · A and outside · A⁻ᵀ do for any A, with other cosines."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer

from ..params import Params

EVENING = 0.1  # more helps SimLex-999 and MEN, and costs analogies and WordSim-353
PIECE = 4096  # rows of a table at once
OUTSIDE = 0.3  # share of the outside table in the vectors; with none, and with all of it, analogies come out lower


def evened(params: Params) -> Params:
    """The same scores, from center vectors that are less unlike in extent from one direction to the next.

    Training leaves them long in a few directions, one of which says how frequent a word is, and cosines tell
    of these above all. With M the mean of v vᵀ over all words, here A = M⁻⁰·¹, M's trace made D: an extent σ becomes
    σ⁰·⁸, as singular values are often given a lower power (Levy, Goldberg, Dagan, 2015).

    The tables that come out lie where those that went in did, which are gone. Tables that hold something else than
    numbers come out as they are.

    >>> import jax.numpy as jnp
    >>> center, outside = jnp.array([[3.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 1.0], [2.0, 0.0]])
    >>> (center @ outside.T).tolist()
    [[3.0, 6.0], [1.0, 0.0]]
    >>> center, outside = evened(Params(center, outside))
    >>> print(center.round(2))
    [[2.83 0.  ]
     [0.   1.17]]
    >>> (center @ outside.T).round(4).tolist()
    [[3.0, 6.0], [1.0, 0.0]]
    """
    # A piece at a time: it takes no memory, and is rounded alike on one core and on many.
    pieces = (np.asarray(params.center[i : i + PIECE], np.float64) for i in range(0, len(params.center), PIECE))
    second_moment = np.add.reduce([rows.T @ rows for rows in pieces])
    if not np.isfinite(second_moment).all():
        return params
    second_moment *= len(second_moment) / max(np.trace(second_moment), 1e-30)
    by = (_power(second_moment, exponent) for exponent in (-EVENING, EVENING))
    return Params(*(_times(table, jnp.asarray(each, jnp.float32)) for table, each in zip(params, by, strict=True)))


@functools.partial(jax.jit, donate_argnums=0)
def _times(table: Float[Array, "V D"], by: Float[Array, "D D"]) -> Float[Array, "V D"]:
    """Their product, in the table's own memory."""
    size = min(PIECE, len(table))

    def piece(i: Int[Array, ""], table: Float[Array, "V D"]) -> Float[Array, "V D"]:
        start = jnp.minimum(i * size, len(table) - size)
        rows = jax.lax.dynamic_slice_in_dim(table, start, size)
        new = i * size - start <= jnp.arange(size, dtype=i.dtype)[:, None]  # the last reaches back into the one before
        product = jnp.matmul(rows, by, precision="highest")
        return jax.lax.dynamic_update_slice_in_dim(table, jnp.where(new, product, rows), start, 0)

    return jax.lax.fori_loop(0, -(-len(table) // size), piece, table)


def balanced(params: Params, counts: Integer[np.ndarray, " V"]) -> Params:
    """The same scores, from tables of the same covariance, words weighing the square root of their counts.

    A is the symmetric one that treats both tables alike: A² is the geometric mean of the center covariance's
    inverse and the outside covariance.
    """
    center, outside = (np.asarray(table, np.float64) for table in params)
    covariance = lambda table: np.cov(table, rowvar=False, aweights=np.sqrt(counts)).reshape(2 * table.shape[1:])
    root, inverse = _power(covariance(center), 0.5), _power(covariance(center), -0.5)
    squared = inverse @ _power(root @ covariance(outside) @ root, 0.5) @ inverse
    tables = center @ _power(squared, 0.5), outside @ _power(squared, -0.5)
    return Params(*(jnp.asarray(table, jnp.float32) for table in tables))


def as_vectors(params: Params, counts: Integer[np.ndarray, " V"]) -> Float[np.ndarray, "V D"]:
    """Word vectors from balanced tables: center and some of the outside, without what all words share.

    The means hold how frequent words are, and nothing of any word.
    """
    center, outside = (
        np.asarray(table) - np.average(np.asarray(table), axis=0, weights=np.sqrt(counts)) for table in params
    )
    return (center + OUTSIDE * outside).astype(np.float32)


def _power(matrix: Float[np.ndarray, "D D"], exponent: float) -> Float[np.ndarray, "D D"]:
    """Of a symmetric matrix; what has no extent in some direction is given a little."""
    values, basis = np.linalg.eigh(matrix)
    return basis * np.maximum(values, 1e-9 * max(values[-1], 1e-30)) ** exponent @ basis.T
