"""Word vectors from the two tables of a softmax: which of all the tables that give the same scores."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from ..params import Params

OUTSIDE = 0.3  # share of the outside table in the vectors; with none, and with all of it, analogies come out lower


def balanced(params: Params, counts: Integer[np.ndarray, " V"]) -> Params:
    """The same scores, from tables of the same covariance, words weighing the square root of their counts.

    Scores, and so the loss, stay as they are under center · A, outside · A⁻ᵀ, for any A; cosines do not.
    Of all A this takes the symmetric one that treats both tables alike: A² is the geometric mean of
    the center covariance's inverse and the outside covariance.
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
