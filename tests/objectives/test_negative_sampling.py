"""The sigmoid cross-entropy: exact at huge scores, the textbook's loss for one pair, and its curvature bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.objectives.negative_sampling import (
    negative_sampling_loss,
    sigmoid_cross_entropy,
    sigmoid_curvature,
    sigmoid_residual,
)


@pytest.mark.parametrize("score", [1e4, -1e4])
def test_huge_scores_are_exact(score: float) -> None:
    arguments = jnp.array([score, score]), jnp.array([1.0, 0.0]), jnp.ones(2)
    loss, residual = jax.value_and_grad(sigmoid_cross_entropy)(*arguments)
    assert loss == 1e4
    np.testing.assert_array_equal(residual, [0, 1] if score > 0 else [-1, 0])


def test_one_pair_has_the_textbook_loss() -> None:
    rng = np.random.default_rng(1)
    center, outside = jnp.asarray(rng.normal(size=4), jnp.float32), jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    candidates = jnp.array([2, 5, 5, 0])
    loss = sigmoid_cross_entropy(outside[candidates] @ center, jnp.array([1.0, 0, 0, 0]), jnp.ones(4))
    np.testing.assert_allclose(loss, negative_sampling_loss(center, 2, candidates[1:], outside), rtol=1e-6)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_curvature_bound_holds_wherever_a_descent_leads(label: float) -> None:
    scores = np.linspace(-12, 12, 481, dtype=np.float32)
    arguments = jnp.asarray(scores), jnp.full(481, label), jnp.full(481, 2.0)
    sigmoid, residual = 1 / (1 + np.exp(-scores)), np.asarray(sigmoid_residual(*arguments))
    curvature, bounds = 2 * sigmoid * (1 - sigmoid), np.asarray(sigmoid_curvature(*arguments))
    for i in range(0, 481, 20):
        passed = slice(i, None) if label else slice(None, i + 1)  # by a descent from score i
        assert bounds[i] >= curvature[passed].max() - 1e-6
        assert bounds[i] <= min(0.5, abs(residual[i]) + 1e-6)  # and is no looser than it must be
