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
    scores = np.linspace(-12, 12, 481, dtype=np.float32)
    weight, observed = np.full_like(scores, 2.0), np.full_like(scores, label)
    _, residual = logistic(jnp.asarray(scores), jnp.asarray(observed), jnp.asarray(weight), None)
    sigmoid = 1 / (1 + np.exp(-scores))
    curvature = weight * sigmoid * (1 - sigmoid)
    bounds = np.asarray(logistic_curvature(residual, jnp.asarray(weight)))
    for i in range(0, 481, 20):
        passed = slice(i, None) if label else slice(None, i + 1)  # by a descent from score i
        assert bounds[i] >= curvature[passed].max() - 1e-6
        assert bounds[i] <= min(0.5, abs(residual[i]) + 1e-6)  # and is no looser than it must be
