"""The optimizer for counts lowers the loss at every step, and needs few."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.counts import preconditioned_lbfgs as module
from w2v_jax.counts.preconditioned_lbfgs import preconditioned_lbfgs
from w2v_jax.params import Params, init_params

VOCAB, DIM, RIDGE = 60, 6, 1e-4


@pytest.fixture(scope="module")
def matrix() -> jax.Array:
    """Shares of targets of frequent and rare words in a few topics."""
    rng = np.random.default_rng(0)
    kind = rng.normal(size=(VOCAB, 4))
    frequency = 1 / np.arange(1, VOCAB + 1)
    counts = rng.poisson(2e4 * np.outer(frequency, frequency) * np.exp(kind @ kind.T / 2) / frequency.sum() ** 2)
    return jnp.asarray(counts / counts.sum(), jnp.float32)


def loss_of(matrix: jax.Array) -> Any:
    def loss(params: Params) -> jax.Array:
        log_y_hat = jax.nn.log_softmax(params.center @ params.outside.T, axis=1)
        return -(matrix * log_y_hat).sum() + RIDGE / 2 * optax.tree.norm(params, squared=True)

    return loss


def losses(matrix: jax.Array, optimizer: Any, params: Params, steps: int) -> list[float]:
    loss = loss_of(matrix)
    chosen = optax.with_extra_args_support(optimizer)
    state = chosen.init(params)

    @jax.jit
    def step(params: Params, state: Any) -> tuple[jax.Array, Params, Any]:
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = chosen.update(gradient, state, params, value=value, value_fn=loss)
        return value, optax.apply_updates(params, updates), state

    values = []
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to an integer's power
        for _ in range(steps):
            value, params, state = step(params, state)
            values.append(float(value))
    return values


def lbfgs(matrix: jax.Array) -> Any:
    return preconditioned_lbfgs(jnp.stack([matrix.sum(1), matrix.sum(0)]), ridge=RIDGE)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_every_step_lowers_the_loss(scale: float, matrix: jax.Array) -> None:
    keys = jax.random.split(jax.random.key(0))
    params = Params(*(scale * jax.random.normal(key, (VOCAB, DIM)) for key in keys))
    values = losses(matrix, lbfgs(matrix), params, 25)
    assert (np.diff(values) < 0).all()
    assert values[-1] < values[0] - 0.3


def test_fewer_steps_than_first_order_methods(matrix: jax.Array) -> None:
    params = init_params(jax.random.key(0), VOCAB, DIM)
    params = params._replace(outside=0.1 * jax.random.normal(jax.random.key(1), (VOCAB, DIM)))
    reached = losses(matrix, lbfgs(matrix), params, 16)[-1]
    for baseline in (optax.adam(0.1), optax.adam(0.03), optax.adagrad(0.5), optax.sgd(3.0)):
        assert reached < losses(matrix, baseline, params, 16)[-1] - 0.02


@pytest.fixture(scope="module")
def setup(matrix: jax.Array) -> tuple[Any, Any, Params, Any]:
    """Return (loss, optimizer, initial params, initial state)."""
    params, optimizer = init_params(jax.random.key(0), VOCAB, DIM), lbfgs(matrix)
    return loss_of(matrix), optimizer, params, optimizer.init(params)


@pytest.mark.parametrize("error", [3.0, jnp.nan])
def test_a_step_that_raises_the_loss_or_makes_it_nan_is_undone(error: float, setup: Any) -> None:
    loss, optimizer, params, state = setup
    update = jax.jit(optimizer.update, static_argnames="value_fn")
    updates, state = update(jax.grad(loss)(params), state, params, value=loss(params), value_fn=loss)
    astray = jax.tree.map(lambda p: p + error, optax.apply_updates(params, updates))
    assert not loss(astray) <= loss(params)
    value_fn = lambda moved: jnp.where(moved.center.max() > 0.5, jnp.nan, loss(moved))
    updates, state = update(jax.grad(loss)(astray), state, astray, value=loss(astray), value_fn=value_fn)
    np.testing.assert_array_equal(state.point, jnp.stack(params))
    assert float(state.value) == float(loss(params))
    assert jnp.isnan(error) or loss(optax.apply_updates(astray, updates)) < loss(params)


def test_step_sizes_minimize_the_sampled_loss(setup: Any) -> None:
    loss, optimizer, params, state = setup
    distance = lambda moved: optax.tree.norm(optax.tree.sub(moved, params), squared=True)
    gradient, value = jax.grad(loss)(params), loss(params)
    update = lambda value_fn: optimizer.update(gradient, state, params, value=value, value_fn=value_fn)[0]
    near, away = update(distance), update(lambda moved: -distance(moved))
    ratio = np.asarray(away.outside / jnp.where(near.outside == 0, 1, near.outside))[np.asarray(near.outside) != 0]
    np.testing.assert_allclose(ratio, max(module.STEP_SIZES) / min(module.STEP_SIZES), rtol=1e-3)


def test_covariances_equal_numpy() -> None:
    rng = np.random.default_rng(0)
    center, outside = rng.normal(size=(2, 9, 3)) + 2
    share = rng.dirichlet(np.ones(9), 2)
    point, shares = jnp.asarray([center, outside], jnp.float32), jnp.asarray(share, jnp.float32)
    of_outside, of_center = module._covariances(point, shares)
    np.testing.assert_allclose(of_outside, np.cov(outside.T, ddof=0, aweights=share[1]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(of_center, (center.T * share[0]) @ center, rtol=1e-4)


def test_steps_stay_within_the_trust_radius(setup: Any, matrix: jax.Array) -> None:
    loss, optimizer, params, _ = setup
    params = params._replace(outside=params.center[::-1])
    steep = jax.tree.map(lambda g: 1e4 * g, jax.grad(loss)(params))
    prefer_far = lambda moved: -optax.tree.norm(optax.tree.sub(moved, params))
    moves, _ = optimizer.update(steep, optimizer.init(params), params, value=loss(params), value_fn=prefer_far)
    covariances = module._covariances(jnp.stack(params), jnp.stack([matrix.sum(1), matrix.sum(0)]))
    squares = jnp.einsum("tvd,tde,tve->tv", jnp.stack(moves), covariances, jnp.stack(moves))
    assert np.sqrt(float(squares.max())) == pytest.approx(max(module.STEP_SIZES) * module.TRUST_RADIUS, rel=1e-3)


def test_newton_step_solves_its_equations(dtype: str) -> None:
    rng = np.random.default_rng(0)
    rows, share = rng.normal(size=(2, 7, 3)), rng.uniform(0.01, 1, (2, 7))
    factor = rng.normal(size=(2, 3, 3))
    covariances = factor @ factor.swapaxes(1, 2)
    as_jax = lambda part: jnp.asarray(part, dtype)
    step = module._newton_step(as_jax(rows), as_jax(covariances), as_jax(share), 0.01)
    for table in range(2):
        damped = covariances[table] + 1e-2 * np.trace(covariances[table]) / 3 * np.eye(3)
        for row in range(7):
            expected = np.linalg.solve(share[table, row] * damped + 0.01 * np.eye(3), rows[table, row])
            np.testing.assert_allclose(step[table, row], expected, rtol=2e-3)


def test_two_loop_recursion_equals_the_bfgs_inverse_hessian() -> None:
    """Built up as a matrix: H ← (1 − s yᵀ/sᵀy) H (1 − y sᵀ/sᵀy) + s sᵀ/sᵀy (Nocedal and Wright, Equation 7.16)."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        true = rng.normal(size=(12, 12))
        true = true @ true.T + np.eye(12)
        pairs, inverse = np.zeros((4, 2, 2, 3, 2)), 0.3 * np.eye(12)
        for i in (2, 3):  # the first two are still empty
            step = rng.normal(size=12)
            pairs[i] = step.reshape(2, 3, 2), (true @ step).reshape(2, 3, 2)
            change, identity = true @ step, np.eye(12)
            left = identity - np.outer(step, change) / (step @ change)
            inverse = left @ inverse @ left.T + np.outer(step, step) / (step @ change)
        gradient = rng.normal(size=12)
        h0 = lambda rows: 0.3 * rows
        direction = module._two_loop_recursion(jnp.asarray(gradient.reshape(2, 3, 2)), jnp.asarray(pairs), h0)
        np.testing.assert_allclose(direction.ravel(), inverse @ gradient, rtol=1e-9)


def test_an_indefinite_covariance_makes_no_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding can cause one, where rows have almost no variance in some direction."""
    covariances = module._covariances
    lower = lambda point, share: covariances(point, share) - 1e-3 * jnp.eye(point.shape[-1])[None]
    monkeypatch.setattr(module, "_covariances", lower)
    params = Params(1e-3 * jnp.eye(4), 1e-3 * jnp.eye(4))
    optimizer = preconditioned_lbfgs(jnp.ones((2, 4)) / 4, ridge=1e-3)
    gradient, state = jax.tree.map(jnp.ones_like, params), optimizer.init(params)
    update = jax.jit(optimizer.update, static_argnames="value_fn")
    updates, _ = update(gradient, state, params, value=jnp.float32(1), value_fn=optax.tree.norm)
    assert all(bool(jnp.isfinite(table).all()) for table in updates)
