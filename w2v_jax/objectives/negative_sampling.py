"""Skip-gram with negative sampling: K words drawn as noise stand in for the whole vocabulary.

Mikolov, Sutskever, Chen, Corrado, Dean: Distributed Representations of Words and Phrases and their
Compositionality (2013), Equation 4.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .residual import pull_back


def negative_sampling_loss(
    center_vector: Float[Array, " D"],
    outside_index: Int[Array, ""] | int,
    negative_indices: Int[Array, " K"],
    outside_vectors: Float[Array, "V D"],
) -> Float[Array, ""]:
    """The loss of one (center, outside) pair against K negatives; a repeated negative counts each time.

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
    """(∂J/∂v_c, ∂J/∂U) by hand, as `jax.grad(negative_sampling_loss, (0, 3))` gives them.

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
    _, residual = logistic(candidates @ center_vector, observed, jnp.ones_like(observed), None)
    gradient, rows = pull_back(residual[None], center_vector[None], candidates)
    return gradient[0], jnp.zeros_like(outside_vectors).at[indices].add(rows)


def logistic(
    scores: Float[Array, " N"],
    observed: Float[Array, " N"],
    weight: Float[Array, " N"],
    log_normalizer: None,
) -> tuple[Float[Array, ""], Float[Array, " N"]]:
    """Independent yes-or-no predictions, observed 1 (real) or 0 (noise), each counted `weight` times.

        J        = Σ_i weight_i (log(1 + exp(s_i)) − observed_i s_i)
        residual = weight (σ(s) − observed)

    Both come from one exponential, e = exp(−|s|), which cannot overflow.

    >>> import jax.numpy as jnp
    >>> loss, residual = logistic(jnp.zeros(2), jnp.array([1.0, 0.0]), jnp.array([1.0, 2.0]), None)
    >>> round(float(loss), 4), residual.tolist()  # 3 log 2
    (2.0794, [-0.5, 1.0])
    """
    e = jnp.exp(-jnp.abs(scores))
    sigmoid = jnp.where(scores >= 0, 1, e) / (1 + e)
    softplus = jnp.maximum(scores, 0) + jnp.log(1 + e)  # e ≤ 1: log1p would cost more, and tell no more
    return jnp.sum(weight * (softplus - observed * scores)), weight * (sigmoid - observed)


def logistic_curvature(residual: Float[Array, "*n"], weight: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """A bound on ∂²J/∂score² = weight σ(s)σ(−s), here and wherever a descent from here leads.

    σ(s)σ(−s) is at most ¼; and at most the residual's own size, which a descent only makes smaller.
    """
    return jnp.minimum(weight / 4, jnp.abs(residual))
