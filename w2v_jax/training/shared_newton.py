"""An optimizer for the count form: few passes, each of them dear.

A pass over the counts visits each row once, so that a first-order method moves each center vector
once for three V×V×D products. But in one table, with the other held, the loss is convex, and its
Hessian is known: for v_c it is n_c times the covariance of the outside vectors under c's ŷ. One D×D
matrix, their covariance under the words' frequencies, stands in for all of those, and likewise for
the other table. L-BFGS (Liu and Nocedal, 1989; Nocedal and Wright, Algorithm 7.4) starts from that
instead of from a multiple of the identity, and learns what it leaves out: the rest of each Hessian,
and how the tables move each other.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ..params import Params

HIGHEST = jax.lax.Precision.HIGHEST
PAIRS = 5  # steps remembered
REACH = 0.3  # how far a step may move a row: the root mean square of what it adds to the row's scores
SHARES = (2.0, 0.7, 0.25, 0.06)  # of the step, tried for either table
DAMPING = 1e-2  # of a covariance's mean eigenvalue, added to each
SLOWEST, FASTEST = 0.2, 1.5  # bounds on a row's own share of the step, the first in shares of its table's
SMOOTHING = 0.7  # of its logarithm, from call to call


Newton = Callable[[Array], Array]


class NewtonState(NamedTuple):
    """The best point so far, and what the steps before it told. Both tables stand in one array, center first."""

    value: Float[Array, ""]
    point: Float[Array, "2 V D"]
    gradient: Float[Array, "2 V D"]
    pairs: Float[Array, "n 2 2 V D"]
    """(step, change of the gradient over it), the newest last; zeros where there is none yet."""
    known: Int[Array, ""]
    """How many pairs there have been."""
    log_scale: Float[Array, "2 V"]
    """Of the share of the shared Newton step that suits each row."""


def shared_newton(
    center_share: Float[Array, " V"], outside_share: Float[Array, " V"], *, ridge: float
) -> optax.GradientTransformationExtraArgs:
    """An (init, update) pair like optax's L-BFGS: `update(gradient, state, params, value=loss, value_fn=sampled)`.

    `center_share` and `outside_share` are the shares of all targets whose center, and whose outside
    word, each word is. The loss is in nats a target, plus ridge/2·|params|²: without it a row with few
    targets has its minimum at infinity. `value_fn` maps params to the loss, or to an estimate of a small
    part of the cost: sixteen calls choose how far either table goes. Should a step not have lowered the
    loss, the next update leads from the best point, `state.point`, whose loss so never rises. The state
    is 24·V·D numbers.

    >>> import jax.numpy as jnp
    >>> optimizer = shared_newton(jnp.ones(1), jnp.ones(1), ridge=0.1)
    >>> params = Params(jnp.ones((1, 2)), jnp.ones((1, 2)))
    >>> loss = lambda params: (params.center**2).sum() + (params.outside**2).sum()
    >>> gradient, state = jax.grad(loss)(params), optimizer.init(params)
    >>> updates, state = optimizer.update(gradient, state, params, value=loss(params), value_fn=loss)
    >>> float(loss(optax.apply_updates(params, updates))) < float(loss(params))
    True
    """
    share = jnp.stack([center_share, outside_share])

    def init(params: Params) -> NewtonState:
        point = jnp.stack(params)
        pairs = jnp.zeros((PAIRS, 2, *point.shape), point.dtype)
        best = jnp.asarray(jnp.inf, point.dtype)
        return NewtonState(best, point, jnp.zeros_like(point), pairs, jnp.int32(0), jnp.zeros_like(point[..., 0]))

    def update(
        gradient: Params,
        state: NewtonState,
        params: Params | None = None,
        *,
        value: Float[Array, ""],
        value_fn: Callable[[Params], Array],
        **_: object,
    ) -> tuple[Params, NewtonState]:
        assert params is not None, "shared_newton's update needs params"
        here, slope = jnp.stack(params), jnp.stack(gradient)
        pair = jnp.stack([here - state.point, slope - state.gradient])
        tells = jnp.isfinite(state.value) & (jnp.vdot(*pair) > 0)
        pairs = jnp.where(tells, jnp.concatenate([state.pairs[1:], pair[None]]), state.pairs)
        fell = value < state.value
        best, downhill = jnp.where(fell, here, state.point), jnp.where(fell, slope, state.gradient)

        covariances = _covariances(best, share)
        newton = lambda rows: _newton_step(rows, covariances, share, ridge)
        old = jnp.where(state.known > 0, SMOOTHING, 0.0).astype(here.dtype)
        fitted = old * state.log_scale + (1 - old) * jnp.log(_row_scale(pairs[-1], newton))
        log_scale = jnp.where(tells, fitted, state.log_scale)

        step = _two_loops(downhill, pairs, lambda rows: jnp.exp(log_scale)[..., None] * newton(rows))
        square = jnp.einsum("tvd,tde,tve->tv", step, covariances, step, precision=HIGHEST)
        length = jnp.sqrt(jnp.maximum(square, 0))  # rounded, a covariance can have directions under 0
        step = step * (REACH / jnp.maximum(length, REACH))[..., None]
        shares = jnp.array(list(itertools.product(SHARES, repeat=2)), here.dtype)
        moved = lambda share: best - share[:, None, None] * step
        tried = jax.lax.map(lambda share: value_fn(Params(*moved(share))), shares)
        moved_best = moved(shares[jnp.argmin(jnp.where(jnp.isnan(tried), jnp.inf, tried))])
        state = NewtonState(
            jnp.where(fell, value, state.value), best, downhill, pairs, state.known + tells.astype(jnp.int32), log_scale
        )
        return Params(*(moved_best - here)), state

    return optax.GradientTransformationExtraArgs(init, update)


def _covariances(point: Float[Array, "2 V D"], share: Float[Array, "2 V"]) -> Float[Array, "2 D D"]:
    """For each table, of the other's rows under the frequencies of words.

    For center vectors it stands for Σ_w ŷ_w u_w u_wᵀ − ūūᵀ, the Hessian by n_c; for outside vectors, whose
    normalizers' share in each other is small, for Σ_c n_c ŷ_cw v_c v_cᵀ by their sum, about the origin.
    """
    moment = lambda rows, weight: jnp.matmul(rows.T * weight[None], rows, precision=HIGHEST)
    mean = share[1] @ point[1]
    return jnp.stack([moment(point[1], share[1]) - jnp.outer(mean, mean), moment(point[0], share[0])])


def _newton_step(
    rows: Float[Array, "2 V D"], covariances: Float[Array, "2 D D"], share: Float[Array, "2 V"], ridge: float
) -> Float[Array, "2 V D"]:
    """(share · covariance + ridge)⁻¹ row, for every row: one eigenbasis serves all shares."""
    values, basis = jnp.linalg.eigh(covariances)
    values = jnp.maximum(values, 0)
    values = values + DAMPING * values.mean(1, keepdims=True)
    rotated = jnp.matmul(rows, basis, precision=HIGHEST)
    inverted = rotated / (share[..., None] * values[:, None] + ridge)
    return jnp.matmul(inverted, basis.swapaxes(1, 2), precision=HIGHEST)


def _row_scale(pair: Float[Array, "2 2 V D"], newton: Newton) -> Float[Array, "2 V"]:
    """What each row's Newton step must be multiplied by to explain its last step (Barzilai and Borwein, 1988)."""
    step, change = pair
    explained = newton(change)
    along, across = (step * change).sum(-1), (change * explained).sum(-1)
    tiny = jnp.finfo(step.dtype).tiny
    both = along.sum() / jnp.maximum(across.sum(), tiny)
    table = jnp.clip(along.sum(1) / jnp.maximum(across.sum(1), tiny), both / 4, 1)[:, None]
    row = jnp.clip(along / jnp.maximum(across, tiny), SLOWEST * table, FASTEST)
    return jnp.where(along > 0, row, table / 2)


def _two_loops(gradient: Float[Array, "2 V D"], pairs: Float[Array, "n 2 2 V D"], first: Newton) -> Array:
    """L-BFGS's inverse Hessian times the gradient, with `first` for what the pairs say nothing of."""

    def weight(pair: Array) -> Array:
        product = jnp.vdot(*pair)
        return jnp.where(product > 0, 1 / jnp.where(product > 0, product, 1), 0)

    def backward(rest: Array, pair: Array) -> tuple[Array, Array]:
        step, change = pair
        share = weight(pair) * jnp.vdot(step, rest)
        return rest - share * change, share

    def forward(found: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
        pair, share = at
        step, change = pair
        return found + (share - weight(pair) * jnp.vdot(change, found)) * step, None

    rest, shares = jax.lax.scan(backward, gradient, pairs, reverse=True)
    return jax.lax.scan(forward, first(rest), (pairs, shares))[0]
