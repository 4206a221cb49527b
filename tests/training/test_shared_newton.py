"""The optimizer of the count form: every step lowers the loss, and few are needed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.params import Params, init_params
from w2v_jax.training import shared_newton as shared_newton_module
from w2v_jax.training.shared_newton import REACH, SHARES, _covariances, _newton_step, _two_loops, shared_newton

VOCAB, DIM, RIDGE = 60, 6, 1e-4


@pytest.fixture(scope="module")
def matrix() -> jax.Array:
    """Shares of targets, as of words in a few kinds, frequent and rare."""
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

    found = []
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to an integer's power
        for _ in range(steps):
            value, params, state = step(params, state)
            found.append(float(value))
    return found


def newton(matrix: jax.Array) -> Any:
    return shared_newton(matrix.sum(1), matrix.sum(0), ridge=RIDGE)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_every_step_lowers_the_loss(scale: float, matrix: jax.Array) -> None:
    keys = jax.random.split(jax.random.key(0))
    params = Params(*(scale * jax.random.normal(key, (VOCAB, DIM)) for key in keys))
    found = losses(matrix, newton(matrix), params, 25)
    assert (np.diff(found) < 0).all()
    assert found[-1] < found[0] - 0.3


def test_it_needs_fewer_steps_than_first_order_methods(matrix: jax.Array) -> None:
    params = init_params(jax.random.key(0), VOCAB, DIM)
    params = params._replace(outside=0.1 * jax.random.normal(jax.random.key(1), (VOCAB, DIM)))
    mine = losses(matrix, newton(matrix), params, 16)[-1]
    for rival in (optax.adam(0.1), optax.adam(0.03), optax.adagrad(0.5), optax.sgd(3.0)):
        assert mine < losses(matrix, rival, params, 16)[-1] - 0.02


def test_a_step_that_did_not_lower_the_loss_is_taken_back(matrix: jax.Array) -> None:
    loss, optimizer = loss_of(matrix), newton(matrix)
    params = init_params(jax.random.key(0), VOCAB, DIM)
    state = optimizer.init(params)
    updates, state = optimizer.update(jax.grad(loss)(params), state, params, value=loss(params), value_fn=loss)
    astray = jax.tree.map(lambda p: p + 3.0, optax.apply_updates(params, updates))
    assert loss(astray) > loss(params)
    updates, state = optimizer.update(jax.grad(loss)(astray), state, astray, value=loss(astray), value_fn=loss)
    np.testing.assert_array_equal(state.point, jnp.stack(params))
    assert float(state.value) == float(loss(params))
    assert loss(optax.apply_updates(astray, updates)) < loss(params)


def test_a_sample_that_finds_every_move_bad_still_moves_least(matrix: jax.Array) -> None:
    loss, optimizer = loss_of(matrix), newton(matrix)
    params = init_params(jax.random.key(0), VOCAB, DIM)
    state = optimizer.init(params)
    far = lambda moved: optax.tree.norm(optax.tree.sub(moved, params), squared=True)
    near, _ = optimizer.update(jax.grad(loss)(params), state, params, value=loss(params), value_fn=far)
    away, _ = optimizer.update(jax.grad(loss)(params), state, params, value=loss(params), value_fn=lambda p: -far(p))
    ratio = np.asarray(away.outside / jnp.where(near.outside == 0, 1, near.outside))[np.asarray(near.outside) != 0]
    np.testing.assert_allclose(ratio, max(SHARES) / min(SHARES), rtol=1e-3)


def test_covariances_are_of_the_other_table_about_its_mean_for_centers() -> None:
    rng = np.random.default_rng(0)
    center, outside = rng.normal(size=(2, 9, 3)) + 2
    share = rng.dirichlet(np.ones(9), 2)
    point, shares = jnp.asarray([center, outside], jnp.float32), jnp.asarray(share, jnp.float32)
    of_outside, of_center = _covariances(point, shares)
    np.testing.assert_allclose(of_outside, np.cov(outside.T, ddof=0, aweights=share[1]), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(of_center, (center.T * share[0]) @ center, rtol=1e-4)


def test_no_row_moves_its_scores_further_than_reach(matrix: jax.Array) -> None:
    """However steep the loss."""
    loss, optimizer = loss_of(matrix), newton(matrix)
    params = init_params(jax.random.key(0), VOCAB, DIM)
    params = params._replace(outside=params.center[::-1])
    steep = jax.tree.map(lambda g: 1e4 * g, jax.grad(loss)(params))
    keenly = lambda moved: -optax.tree.norm(optax.tree.sub(moved, params))  # the further the better
    moves, _ = optimizer.update(steep, optimizer.init(params), params, value=loss(params), value_fn=keenly)
    share = jnp.stack([matrix.sum(1), matrix.sum(0)])
    covariances = _covariances(jnp.stack(params), share)
    squares = jnp.einsum("tvd,tde,tve->tv", jnp.stack(moves), covariances, jnp.stack(moves))
    assert np.sqrt(float(squares.max())) == pytest.approx(max(SHARES) * REACH, rel=1e-3)


def test_the_newton_step_solves_its_equations(dtype: str) -> None:
    rng = np.random.default_rng(0)
    rows, share = rng.normal(size=(2, 7, 3)), rng.uniform(0.01, 1, (2, 7))
    factor = rng.normal(size=(2, 3, 3))
    covariances = factor @ factor.swapaxes(1, 2)
    as_arrays = [jnp.asarray(part, dtype) for part in (rows, covariances, share)]
    found = _newton_step(as_arrays[0], as_arrays[1], as_arrays[2], 0.01)
    for table in range(2):
        damped = covariances[table] + 1e-2 * np.trace(covariances[table]) / 3 * np.eye(3)
        for row in range(7):
            expected = np.linalg.solve(share[table, row] * damped + 0.01 * np.eye(3), rows[table, row])
            np.testing.assert_allclose(found[table, row], expected, rtol=2e-3)


def test_two_loops_are_the_bfgs_inverse_hessian() -> None:
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
        found = _two_loops(jnp.asarray(gradient.reshape(2, 3, 2)), jnp.asarray(pairs), lambda rows: 0.3 * rows)
        np.testing.assert_allclose(found.ravel(), inverse @ gradient, rtol=1e-9)


def test_a_loss_that_is_no_number_is_a_step_taken_back(matrix: jax.Array) -> None:
    loss, optimizer = loss_of(matrix), newton(matrix)
    params = init_params(jax.random.key(0), VOCAB, DIM)
    state = optimizer.init(params)
    _, state = optimizer.update(jax.grad(loss)(params), state, params, value=loss(params), value_fn=loss)
    astray = jax.tree.map(lambda p: p * jnp.nan, params)
    near = lambda moved: jnp.where(moved.center.max() > 0.5, jnp.nan, loss(moved))
    _, state = optimizer.update(astray, state, astray, value=jnp.float32(jnp.nan), value_fn=near)
    assert float(state.value) == float(loss(params))
    np.testing.assert_array_equal(state.point, jnp.stack(params))


def test_a_covariance_with_directions_under_zero_makes_no_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding can make it so, where the rows leave some directions almost empty."""
    covariances = shared_newton_module._covariances
    lower = lambda point, share: covariances(point, share) - 1e-3 * jnp.eye(point.shape[-1])[None]
    monkeypatch.setattr(shared_newton_module, "_covariances", lower)
    params = Params(1e-3 * jnp.eye(4), 1e-3 * jnp.eye(4))
    optimizer = shared_newton(jnp.ones(4) / 4, jnp.ones(4) / 4, ridge=1e-3)
    gradient = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(
        gradient, optimizer.init(params), params, value=jnp.float32(1), value_fn=optax.tree.norm
    )
    assert all(bool(jnp.isfinite(table).all()) for table in updates)
