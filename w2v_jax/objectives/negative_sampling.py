"""Skip-gram with negative sampling: K words drawn from a noise distribution replace the whole vocabulary.

Mikolov, Sutskever, Chen, Corrado, Dean: Distributed Representations of Words and Phrases and their
Compositionality (2013), Equation 4.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .scores import HIGHEST, scores_vjp


def negative_sampling_loss(
    center_vector: Float[Array, " D"],
    outside_index: Int[Array, ""] | int,
    negative_indices: Int[Array, " K"],
    outside_vectors: Float[Array, "V D"],
) -> Float[Array, ""]:
    """Return the loss of one (center, outside) pair against K negatives; a repeated negative counts each time.

        J(v_c, o, U) = −log σ(u_o·v_c) − Σ_k log σ(−u_k·v_c)

    >>> import jax.numpy as jnp
    >>> loss = negative_sampling_loss(jnp.ones(2), 0, jnp.array([1, 1]), jnp.zeros((3, 2)))
    >>> round(float(loss), 4)  # 3 log 2
    2.0794
    """
    positive = outside_vectors[outside_index] @ center_vector
    negatives = outside_vectors[negative_indices] @ center_vector
    return -jax.nn.log_sigmoid(positive) - jax.nn.log_sigmoid(-negatives).sum()


def negative_sampling_gradients(
    center_vector: Float[Array, " D"],
    outside_index: Int[Array, ""] | int,
    negative_indices: Int[Array, " K"],
    outside_vectors: Float[Array, "V D"],
) -> tuple[Float[Array, " D"], Float[Array, "V D"]]:
    """Return (∂J/∂v_c, ∂J/∂U) by hand, as `jax.grad(negative_sampling_loss, (0, 3))` gives them.

    With dlog σ(x)/dx = 1 − σ(x) = σ(−x), and σ(x) the prediction that a candidate is real:

        ∂J/∂v_c = (σ(u_o·v_c) − 1) u_o + Σ_k σ(u_k·v_c) u_k
        ∂J/∂u_o = (σ(u_o·v_c) − 1) v_c          ∂J/∂u_k = σ(u_k·v_c) v_c

    which is Equation 8's shape, residual = predicted − observed, over the candidates (o, k₁ … k_K).
    A word among them twice gets the sum of its rows.

    >>> import jax.numpy as jnp
    >>> _, outside = negative_sampling_gradients(jnp.ones(1), 0, jnp.array([1, 1]), jnp.zeros((3, 1)))
    >>> outside.tolist()
    [[-0.5], [1.0], [0.0]]
    """
    indices = jnp.concatenate([jnp.asarray(outside_index)[None], negative_indices])
    candidates = outside_vectors[indices]
    observed = jnp.zeros(len(indices), candidates.dtype).at[0].set(1)
    residual = sigmoid_residual(candidates @ center_vector, observed, jnp.ones_like(observed))
    gradient, rows = scores_vjp(residual[None], center_vector[None], candidates)
    return gradient[0], jnp.zeros_like(outside_vectors).at[indices].add(rows)


def sigmoid_residual(
    scores: Float[Array, "*n"], observed: Float[Array, "*n"], weight: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """Return ∂J/∂score of `sigmoid_cross_entropy`, weight (σ(s) − observed)."""
    return weight * (_sigmoid_softplus(scores)[0] - observed)


@jax.custom_vjp
def sigmoid_cross_entropy(
    scores: Float[Array, "*n"], observed: Float[Array, "*n"], weight: Float[Array, "*n"]
) -> Float[Array, ""]:
    """Return the loss of independent yes-or-no predictions, each counted `weight` times, summed over all.

        J        = Σ weight (log(1 + exp(s)) − observed s)
        residual = weight (σ(s) − observed)

    The gradient is this residual: predicted − observed. Both come from one exponential, exp(−|s|), which
    cannot overflow.

    Args:
      scores: of each candidate.
      observed: 1 for a word that was seen, 0 for noise.
      weight: how often each prediction counts; 0 masks it.

    >>> scores, observed, weight = jnp.zeros(2), jnp.array([1.0, 0.0]), jnp.array([1.0, 2.0])
    >>> loss, residual = jax.value_and_grad(sigmoid_cross_entropy)(scores, observed, weight)
    >>> round(float(loss), 4), residual.tolist()  # 3 log 2
    (2.0794, [-0.5, 1.0])
    """
    # A dot product: XLA's CPU takes a tenth of a step less than for a sum of products.
    return jnp.vdot(weight, _sigmoid_softplus(scores)[1] - observed * scores, precision=HIGHEST)


def _sigmoid_softplus(scores: Array) -> tuple[Array, Array]:
    e = jnp.exp(-jnp.abs(scores))
    # e ≤ 1: log1p would cost more and be no more accurate after the sum
    return jnp.where(scores >= 0, 1, e) / (1 + e), jnp.maximum(scores, 0) + jnp.log(1 + e)


def _backward(saved: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    scores, observed, weight = saved
    dweight = _sigmoid_softplus(scores)[1] - observed * scores
    return cotangent * sigmoid_residual(*saved), -cotangent * weight * scores, cotangent * dweight


sigmoid_cross_entropy.defvjp(lambda *arguments: (sigmoid_cross_entropy(*arguments), arguments), _backward)


def sigmoid_curvature(
    scores: Float[Array, "*n"], observed: Float[Array, "*n"], weight: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """Return a bound on ∂²J/∂score² = weight σ(s)σ(−s), at this score and wherever the residual is no larger.

    σ(s)σ(−s) is at most ¼; and at most |σ(s) − observed|, the size of the residual.
    """
    return jnp.minimum(weight / 4, jnp.abs(sigmoid_residual(scores, observed, weight)))
