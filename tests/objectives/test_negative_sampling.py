"""The logistic objective, against its loss and against the textbook's sum over pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.objectives.negative_sampling import logistic, logistic_curvature, negative_sampling_loss


def test_the_residual_is_the_gradient_of_the_loss(dtype: str) -> None:
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(scale=4, size=40), dtype)
    observed = jnp.asarray(rng.integers(0, 2, 40), dtype)
    weight = jnp.asarray(rng.uniform(0, 3, 40), dtype).at[5].set(0)

    def reference(scores: jax.Array) -> jax.Array:
        return (weight * (jax.nn.softplus(scores) - observed * scores)).sum()

    loss, residual = logistic(scores, observed, weight, None)
    terms = 2 * float(weight.max())  # of each residual: weight·σ and weight·observed
    atol = 2 * float(jnp.finfo(dtype).eps) * terms
    np.testing.assert_allclose(loss, reference(scores), rtol=1e-9 if dtype == "float64" else 1e-6)
    np.testing.assert_allclose(residual, jax.grad(reference)(scores), rtol=0, atol=atol)
    assert residual[5] == 0
    with pytest.raises(AssertionError):  # a residual that forgets what was observed
        np.testing.assert_allclose(weight * jax.nn.sigmoid(scores), jax.grad(reference)(scores), rtol=0, atol=atol)


@pytest.mark.parametrize("score", [1e4, -1e4])
def test_huge_scores(score: float) -> None:
    loss, residual = logistic(jnp.array([score, score]), jnp.array([1.0, 0.0]), jnp.ones(2), None)
    assert loss == 1e4
    np.testing.assert_array_equal(residual, [0, 1] if score > 0 else [-1, 0])


def test_one_pair_is_the_textbooks_loss() -> None:
    rng = np.random.default_rng(1)
    center, outside = jnp.asarray(rng.normal(size=4), jnp.float32), jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    candidates = jnp.array([2, 5, 5, 0])
    loss, _ = logistic(outside[candidates] @ center, jnp.array([1.0, 0, 0, 0]), jnp.ones(4), None)
    np.testing.assert_allclose(loss, negative_sampling_loss(center, 2, candidates[1:], outside), rtol=1e-6)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_the_curvature_bound_holds_wherever_a_descent_leads(label: float) -> None:
    scores = jnp.linspace(-12, 12, 481)
    weight, observed = jnp.full(481, 2.0), jnp.full(481, label)
    _, residual = logistic(scores, observed, weight, None)
    curvature = weight * jax.nn.sigmoid(scores) * jax.nn.sigmoid(-scores)
    ahead = jnp.maximum if label else jnp.minimum  # scores that a descent from here passes
    for i in range(0, 481, 20):
        passed = scores == ahead(scores, scores[i])
        bound = logistic_curvature(residual, weight)[i]
        assert bound >= curvature[passed].max() - 1e-6
        assert bound <= min(0.5, abs(residual[i]) + 1e-6)  # and is no looser than it must be
