"""Choose among tables of equal scores: center · A and outside · A⁻ᵀ keep the scores for any A, not the cosines."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from ..params import Params
from ..tiling import update_tiles

WHITENING_POWER = 0.1  # more helps SimLex-999 and MEN, and costs analogies and WordSim-353
ROWS_PER_TILE = 4096
OUTSIDE_SHARE = 0.3  # analogies are worse with none of the outside table, and with all of it


def partial_whiten(params: Params, power: float = WHITENING_POWER) -> Params:
    """Scale the center vectors by M^−power, and the outside vectors by M^power, so that all scores stay.

    M is the mean of v vᵀ over all center vectors, scaled to the trace D; a singular value σ becomes σ^(1 − 2·power)
    (compare the singular values of Levy, Goldberg, Dagan, 2015). Training makes the center vectors long in a few
    directions, one of them word frequency, and these directions dominate the cosines.

    Args:
      params: the tables, which are donated: the result takes their memory.
      power: 0 returns the tables unchanged, 0.5 whitens the center table.

    Returns:
      The new tables; the same ones if they hold infinities or NaNs.

    >>> import jax.numpy as jnp
    >>> center, outside = jnp.array([[3.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 1.0], [2.0, 0.0]])
    >>> (center @ outside.T).tolist()
    [[3.0, 6.0], [1.0, 0.0]]
    >>> center, outside = partial_whiten(Params(center, outside))
    >>> print(center.round(2))
    [[2.83 0.  ]
     [0.   1.17]]
    >>> (center @ outside.T).round(4).tolist()
    [[3.0, 6.0], [1.0, 0.0]]
    """
    if power == 0:
        return params
    # Tiles need little memory, and round alike on one core and on many.
    starts = range(0, len(params.center), ROWS_PER_TILE)
    tiles = (np.asarray(params.center[i : i + ROWS_PER_TILE], np.float64) for i in starts)
    second_moment = np.add.reduce([rows.T @ rows for rows in tiles])
    if not np.isfinite(second_moment).all():
        return params
    second_moment *= len(second_moment) / max(np.trace(second_moment), 1e-30)
    factors = (_matrix_power(second_moment, exponent) for exponent in (-power, power))
    return Params(*(_multiply(table, jnp.asarray(a, table.dtype)) for table, a in zip(params, factors, strict=True)))


@functools.partial(jax.jit, donate_argnums=0)
def _multiply(table: Float[Array, "V D"], factor: Float[Array, "D D"]) -> Float[Array, "V D"]:
    """Multiply in the table's own memory."""
    return update_tiles(lambda _, rows: jnp.matmul(rows, factor, precision="highest"), table, ROWS_PER_TILE)


def balance_covariances(params: Params, counts: Integer[np.ndarray, " V"]) -> Params:
    """Give both tables one covariance, words weighted by the square root of their counts; all scores stay.

    A is symmetric, and A² the geometric mean of the center covariance's inverse and the outside covariance.
    """
    center, outside = (np.asarray(table, np.float64) for table in params)
    covariance = lambda table: np.cov(table, rowvar=False, aweights=np.sqrt(counts)).reshape(2 * table.shape[1:])
    root, inverse = _matrix_power(covariance(center), 0.5), _matrix_power(covariance(center), -0.5)
    squared = inverse @ _matrix_power(root @ covariance(outside) @ root, 0.5) @ inverse
    tables = center @ _matrix_power(squared, 0.5), outside @ _matrix_power(squared, -0.5)
    return Params(*(jnp.asarray(table, jnp.float32) for table in tables))


def combine_tables(params: Params, counts: Integer[np.ndarray, " V"]) -> Float[np.ndarray, "V D"]:
    """Add a share of the outside table to the center table, each less its mean.

    The means encode word frequency alone. Words weigh the square root of their counts.
    """
    weights = np.sqrt(counts)
    center, outside = (np.asarray(table) - np.average(table, axis=0, weights=weights) for table in params)
    return (center + OUTSIDE_SHARE * outside).astype(np.float32)


def _matrix_power(matrix: Float[np.ndarray, "D D"], exponent: float) -> Float[np.ndarray, "D D"]:
    """Return a symmetric matrix's power; eigenvalues near 0 are raised to a small positive one."""
    values, basis = np.linalg.eigh(matrix)
    return basis * np.maximum(values, 1e-9 * max(values[-1], 1e-30)) ** exponent @ basis.T
