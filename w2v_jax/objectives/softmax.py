"""Skip-gram with the naive softmax: Equations 1-8, the reference, and the softmax's loss of scores."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .scores import scores_vjp


def log_probs(center_vector: Float[Array, " D"], outside_vectors: Float[Array, "V D"]) -> Float[Array, " V"]:
    """Return log P(O=w | C=c) for every word w: the logarithm of Equation 1.

        P(O=o | C=c) = exp(u_o·v_c) / Σ_w exp(u_w·v_c)

    The largest score is subtracted first, so scores of ±1e4 neither overflow nor vanish.

    >>> import jax.numpy as jnp
    >>> log_probs(jnp.ones(2), jnp.zeros((4, 2))).tolist() == [float(-jnp.log(4.0))] * 4
    True
    """
    return jax.nn.log_softmax(outside_vectors @ center_vector)


def naive_softmax_loss(
    center_vector: Float[Array, " D"], outside_index: Int[Array, ""] | int, outside_vectors: Float[Array, "V D"]
) -> Float[Array, ""]:
    """Return the loss of one (center, outside) pair: Equations 2 and 4.

        J(v_c, o, U) = −log ŷ_o = −u_o·v_c + log Σ_w exp(u_w·v_c)

    By Equation 3 it is the cross-entropy −Σ_w y_w log ŷ_w of the one-hot y against ŷ.

    >>> import jax.numpy as jnp
    >>> round(float(naive_softmax_loss(jnp.ones(2), 0, jnp.zeros((4, 2)))), 4)  # log 4
    1.3863
    """
    return -log_probs(center_vector, outside_vectors)[outside_index]


def naive_softmax_gradients(
    center_vector: Float[Array, " D"], outside_index: Int[Array, ""] | int, outside_vectors: Float[Array, "V D"]
) -> tuple[Float[Array, " D"], Float[Array, "V D"]]:
    """Return (∂J/∂v_c, ∂J/∂U) by hand, as `jax.grad(naive_softmax_loss, (0, 2))` gives them.

    From Equation 4 to Equation 8:

        ∂J/∂v_c = ∂/∂v_c (−u_o·v_c) + ∂/∂v_c log Σ_w exp(u_w·v_c)
                = −u_o + Σ_w exp(u_w·v_c) u_w / Σ_x exp(u_x·v_c)     (5)
                = −u_o + Σ_w P(O=w | C=c) u_w                         (6)
                = −u_o + Σ_w ŷ_w u_w                                  (7)
                = U[ŷ − y]                                            (8)

    since u_o = Uy for the one-hot y. Each score u_w·v_c is symmetric in its two vectors, so the
    same residual gives the other half, ∂J/∂u_w = (ŷ_w − y_w) v_c.

    >>> import jax.numpy as jnp
    >>> center, outside = naive_softmax_gradients(jnp.ones(1), 0, jnp.zeros((2, 1)))
    >>> center.tolist(), outside.tolist()
    ([0.0], [[-0.5], [0.5]])
    """
    y_hat = jnp.exp(log_probs(center_vector, outside_vectors))
    y = jax.nn.one_hot(outside_index, len(outside_vectors), dtype=y_hat.dtype)
    gradient, outside_gradients = scores_vjp((y_hat - y)[None], center_vector[None], outside_vectors)
    return gradient[0], outside_gradients


@jax.custom_vjp
def softmax_cross_entropy(scores: Float[Array, "*B N"], observed: Float[Array, "*B N"]) -> Float[Array, "*B"]:
    """Return the naive softmax loss summed over all the outside words of each center.

        J        = n log Σ_w exp(s_w) − Σ_w observed_w s_w        n = Σ_w observed_w
        residual = n ŷ − observed

    The gradient is this residual: Equation 8 with the one-hot y become a row of counts.

    Args:
      scores: of each candidate; −∞ masks one that was never observed.
      observed: how often each candidate was observed.

    >>> scores, observed = jnp.zeros(2), jnp.array([2.0, 0.0])
    >>> loss, residual = jax.value_and_grad(softmax_cross_entropy)(scores, observed)
    >>> round(float(loss), 4), residual.tolist()
    (1.3863, [-1.0, 1.0])
    """
    return _forward(scores, observed)[0]


def _forward(scores: Array, observed: Array) -> tuple[Array, tuple[Array, Array]]:
    log_y_hat = jax.nn.log_softmax(scores)
    return -jnp.where(observed > 0, observed * log_y_hat, 0).sum(-1), (log_y_hat, observed)


def _backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    log_y_hat, observed = saved
    residual = observed.sum(-1, keepdims=True) * jnp.exp(log_y_hat) - observed
    return cotangent[..., None] * residual, -cotangent[..., None] * log_y_hat


softmax_cross_entropy.defvjp(_forward, _backward)


def softmax_curvature(scores: Float[Array, "*B N"], observed: Float[Array, "*B N"]) -> Float[Array, "*B N"]:
    """Return n ŷ, the diagonal of a bound on the Hessian in the scores, n (diag ŷ − ŷ ŷᵀ).

    It holds at the current scores only: the ŷ of an observed word grows while the word is learned.
    """
    return observed.sum(-1, keepdims=True) * jax.nn.softmax(scores)
