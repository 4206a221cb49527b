"""Scores of candidates against h, and Equation 8, their vector-Jacobian product.

Candidates are scored against a vector h, for skip-gram the center vector:

    scores   = candidates · h                       [N]
    residual = ∂J/∂scores = predicted − observed    [N]

    ∂J/∂h          = candidatesᵀ residual           [D]     (Equation 8, whatever the objective)
    ∂J/∂candidates = residual ⊗ h                   [N, D]

An objective supplies only the residual, as the `custom_vjp` of its loss. `scores_vjp` is the one place
that turns residuals into gradients; a batch of B shares the candidates.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

HIGHEST = jax.lax.Precision.HIGHEST
SMALL = 1 << 14  # scores that fit a core's cache


def accumulation_dtype(*arrays: Array) -> jnp.dtype:
    """Return the type that sums of these arrays accumulate in: float32, or float64 if one of them is."""
    return jnp.dtype("float64" if any(array.dtype == jnp.float64 for array in arrays) else "float32")


@jax.custom_vjp
def scores(h: Float[Array, "B D"], candidates: Float[Array, "N D"]) -> Float[Array, "B N"]:
    """Return every candidate's dot product with every h, accumulated in float32 or better."""
    # XLA's CPU reads the right factor's transpose slowly, and h is the smaller of the two.
    products = jnp.matmul(candidates, h.T, precision=HIGHEST, preferred_element_type=accumulation_dtype(h, candidates))
    return jax.lax.optimization_barrier(products).T


def scores_vjp(
    residual: Float[Array, "B N"], h: Float[Array, "B D"], candidates: Float[Array, "N D"]
) -> tuple[Float[Array, "B D"], Float[Array, "N D"]]:
    """Turn residuals into gradients, Equation 8: (residual · candidates, residualᵀ · h).

    Args:
      residual: ∂J/∂scores.
      h: what the candidates were scored against.
      candidates: their vectors.

    Returns:
      (∂J/∂h, ∂J/∂candidates), in the type of the residual.

    >>> h, candidates = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [5.0, 6.0]])
    >>> dh, dcandidates = scores_vjp(jnp.array([[1.0, -1.0]]), h, candidates)
    >>> dh.tolist(), dcandidates.tolist()
    ([[-2.0, -2.0]], [[1.0, 2.0], [-1.0, -2.0]])
    """
    h, candidates = h.astype(residual.dtype), candidates.astype(residual.dtype)
    product = functools.partial(jnp.matmul, precision=HIGHEST)
    if residual.size <= SMALL:  # XLA's CPU multiplies by a transpose faster once it is copied
        return product(residual, candidates), product(jax.lax.optimization_barrier(residual.T), h)
    # `scores` lays large scores out as [N, B]; the barrier keeps XLA from a product that reads them along B.
    return jax.lax.optimization_barrier(product(candidates.T, residual.T)).T, product(residual.T, h)


def _scores_backward(saved: tuple[Array, Array], residual: Array) -> tuple[Array, Array]:
    dh, dcandidates = scores_vjp(residual, *saved)
    return dh.astype(saved[0].dtype), dcandidates.astype(saved[1].dtype)


scores.defvjp(lambda h, candidates: (scores(h, candidates), (h, candidates)), _scores_backward)


def curvature_bounds(
    curvature: Float[Array, "B N"], h: Float[Array, "B D"], candidates: Float[Array, "N D"]
) -> tuple[Float[Array, " B"], Float[Array, " N"]]:
    """Turn bounds on ∂²J/∂score² into bounds on the curvature along each h and each candidate.

    A score is linear in either vector, so the Hessian in h is Σ_i κ_i u_i u_iᵀ. Its largest
    eigenvalue is at most its trace, Σ_i κ_i |u_i|²; and likewise in each candidate.
    """
    squared_norm = lambda rows: (rows.astype(curvature.dtype) ** 2).sum(1)
    return curvature @ squared_norm(candidates), curvature.T @ squared_norm(h)
