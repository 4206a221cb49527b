"""The one idea: every objective is a residual, and one product turns it into gradients.

For any objective, with h what the candidates are scored against (for skip-gram the center vector),

    scores   = candidates · h                       [N]
    residual = ∂J/∂scores = predicted − observed    [N]

    ∂J/∂h          = candidatesᵀ residual           [D]     (Equation 8, whatever the objective)
    ∂J/∂candidates = residual ⊗ h                   [N, D]

An objective is a pure function `(scores, observed, weight, log_normalizer) → (loss, residual)`.
`observed` is how often each candidate was seen, `weight` 0 masks it, and `log_normalizer` is what
softmax shares between candidates, so that it can be gathered over blocks or devices; logistic
objectives need none and get None. No objective knows of tables, batches, optimizers or devices.
"""

from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Objective(Protocol):
    """The shape of every objective; see the module."""

    def __call__(
        self,
        scores: Float[Array, " N"],
        observed: Float[Array, " N"],
        weight: Float[Array, " N"],
        log_normalizer: Float[Array, ""] | None,
        /,
    ) -> tuple[Float[Array, ""], Float[Array, " N"]]: ...


def scores(h: Float[Array, "B D"], candidates: Float[Array, "N D"]) -> Float[Array, "B N"]:
    """Every candidate's dot product with every h, accumulated in float32 or better."""
    # XLA's CPU reads the right factor's transpose slowly, and h is the smaller of the two.
    by_candidate = jnp.matmul(candidates, h.T, precision=jax.lax.Precision.HIGHEST)
    return jax.lax.optimization_barrier(by_candidate).T


def pull_back(
    residual: Float[Array, "B N"], h: Float[Array, "B D"], candidates: Float[Array, "N D"]
) -> tuple[Float[Array, "B D"], Float[Array, "N D"]]:
    """Turn residuals into gradients: (∂J/∂h, ∂J/∂candidates), the latter summed over the batch.

    The transpose of `scores` in each argument. For one example it is Equation 8's pair, candidatesᵀ
    residual and residual ⊗ h; for a batch the sum of outer products is one matrix product.

    >>> import jax.numpy as jnp
    >>> h, candidates = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0], [5.0, 6.0]])
    >>> dh, dcandidates = pull_back(jnp.array([[1.0, -1.0]]), h, candidates)
    >>> dh.tolist(), dcandidates.tolist()
    ([[-2.0, -2.0]], [[1.0, 2.0], [-1.0, -2.0]])
    """
    highest = jax.lax.Precision.HIGHEST
    # XLA's CPU multiplies by a transpose at half the speed that it reaches when the transpose is laid out first.
    transposed = jax.lax.optimization_barrier(residual.T)
    return jnp.matmul(residual, candidates, precision=highest), jnp.matmul(transposed, h, precision=highest)


def pull_back_curvature(
    curvature: Float[Array, "B N"], h: Float[Array, "B D"], candidates: Float[Array, "N D"]
) -> tuple[Float[Array, " B"], Float[Array, " N"]]:
    """Turn bounds on ∂²J/∂score² into bounds on the curvature along each h and each candidate.

    A score is linear in either vector, so the Hessian in h is Σ_i κ_i u_i u_iᵀ, whose largest
    eigenvalue is at most its trace, Σ_i κ_i |u_i|²; and likewise in each candidate.
    """
    return curvature @ (candidates**2).sum(1), curvature.T @ (h**2).sum(1)
