"""Equations 1 to 8, each evaluated as it is written, in float64, and the softmax of counts."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.objectives.softmax import (
    log_probs,
    naive_softmax_gradients,
    naive_softmax_loss,
    softmax_cross_entropy,
    softmax_curvature,
)

OUTSIDE_WORD = 3


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture
def center() -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).normal(size=5))


@pytest.fixture
def outside() -> jax.Array:
    return jnp.asarray(np.random.default_rng(2).normal(size=(11, 5)))


def test_equation_1(center: jax.Array, outside: jax.Array) -> None:
    v_c, u = np.asarray(center), np.asarray(outside)
    expected = np.exp(u[OUTSIDE_WORD] @ v_c) / sum(np.exp(u[w] @ v_c) for w in range(len(u)))
    np.testing.assert_allclose(np.exp(log_probs(center, outside))[OUTSIDE_WORD], expected, rtol=1e-12)
    np.testing.assert_allclose(np.exp(log_probs(center, outside)).sum(), 1, rtol=1e-12)


def test_equations_2_and_4(center: jax.Array, outside: jax.Array) -> None:
    v_c, u = np.asarray(center), np.asarray(outside)
    equation_4 = -u[OUTSIDE_WORD] @ v_c + np.log(np.exp(u @ v_c).sum())
    loss = naive_softmax_loss(center, OUTSIDE_WORD, outside)
    np.testing.assert_allclose(loss, -log_probs(center, outside)[OUTSIDE_WORD], rtol=1e-12)
    np.testing.assert_allclose(loss, equation_4, rtol=1e-12)


def test_equation_3_agrees_with_optax(center: jax.Array, outside: jax.Array) -> None:
    y = jax.nn.one_hot(OUTSIDE_WORD, len(outside))
    loss = naive_softmax_loss(center, OUTSIDE_WORD, outside)
    np.testing.assert_allclose(loss, -(y * log_probs(center, outside)).sum(), rtol=1e-12)
    np.testing.assert_allclose(loss, optax.softmax_cross_entropy(outside @ center, y), rtol=1e-12)
    assert abs(loss - optax.softmax_cross_entropy(outside @ center, jnp.roll(y, 1))) > 0.1  # another word's loss


def test_equations_5_7_and_8_are_one_gradient(center: jax.Array, outside: jax.Array) -> None:
    v_c, u = np.asarray(center), np.asarray(outside)
    exps = np.exp(u @ v_c)
    equation_5 = -u[OUTSIDE_WORD] + sum(exps[w] * u[w] for w in range(len(u))) / exps.sum()
    y_hat = exps / exps.sum()
    equation_7 = -u[OUTSIDE_WORD] + sum(y_hat[w] * u[w] for w in range(len(u)))
    y = np.eye(len(u))[OUTSIDE_WORD]
    columns = u.T  # the write-up's U: D×V, word vectors as columns
    equation_8 = columns @ (y_hat - y)
    by_hand, outside_gradient = naive_softmax_gradients(center, OUTSIDE_WORD, outside)
    autodiff = jax.grad(naive_softmax_loss)(center, OUTSIDE_WORD, outside)
    for equation in (equation_5, equation_7, equation_8, autodiff):
        np.testing.assert_allclose(by_hand, equation, rtol=1e-9)
    np.testing.assert_allclose(outside_gradient, np.outer(y_hat - y, v_c), rtol=1e-9)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(by_hand, columns @ y_hat, rtol=1e-9)


@pytest.mark.parametrize("score", [1e4, -1e4])
def test_huge_scores_neither_overflow_nor_vanish(score: float) -> None:
    center, outside = jnp.array([score]), jnp.array([[1.0], [0.0], [-1.0]])
    probabilities = np.exp(log_probs(center, outside))
    np.testing.assert_array_equal(probabilities, [1, 0, 0] if score > 0 else [0, 0, 1])
    assert naive_softmax_loss(center, 0 if score > 0 else 2, outside) == 0
    assert naive_softmax_loss(center, 2 if score > 0 else 0, outside) == 2e4  # not inf


def test_score_of_minus_infinity_masks_a_candidate() -> None:
    value_and_grad = jax.value_and_grad(softmax_cross_entropy)
    masked = value_and_grad(jnp.array([0.3, -0.2, -jnp.inf]), jnp.array([1.0, 0.0, 0.0]))
    loss, residual = value_and_grad(jnp.array([0.3, -0.2]), jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(masked[0], loss, rtol=1e-12)
    np.testing.assert_allclose(masked[1], [*residual, 0], rtol=1e-12)
    unmasked, _ = value_and_grad(jnp.array([0.3, -0.2, 50.0]), jnp.array([1.0, 0.0, 0.0]))
    assert unmasked > masked[0] + 1


def test_curvature_bound_is_above_the_hessian() -> None:
    scores, observed = jnp.array([0.0, -8.0, 1.0]), jnp.array([0.0, 3.0, 1.0])
    y_hat = jax.nn.softmax(scores)
    hessian = 4 * (jnp.diag(y_hat) - jnp.outer(y_hat, y_hat))
    bound = jnp.diag(softmax_curvature(scores, observed))
    assert float(jnp.linalg.eigvalsh(bound - hessian).min()) > -1e-9
