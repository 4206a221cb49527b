"""L-BFGS with a Newton preconditioner, for the exact softmax of counts, whose passes are too expensive for many steps.

With one table fixed, the loss is convex in the other and its Hessian is known: for v_c it is n_c times the
covariance of the outside vectors under ŷ_c. One D×D covariance per table, under word frequencies, stands for those
of all rows. L-BFGS (Liu and Nocedal, 1989; Nocedal and Wright, Algorithm 7.4) starts from it instead of a multiple
of the identity, and learns the rest: each row's own Hessian and the coupling of the tables.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ..params import Params

HIGHEST = jax.lax.Precision.HIGHEST
HISTORY = 5  # steps remembered
TRUST_RADIUS = 0.3  # bounds the RMS change of a row's scores at step size 1
STEP_SIZES = (2.0, 0.7, 0.25, 0.06)  # tried for either table
DAMPING = 1e-2  # of a covariance's mean eigenvalue, added to all eigenvalues
MIN_ROW_SCALE, MAX_ROW_SCALE = 0.2, 1.5  # the first relative to the scale of the table
ROW_SCALE_DECAY = 0.7  # of the moving average of its logarithm


class LbfgsState(NamedTuple):
    """The best point so far and the curvature pairs. Both tables lie in one array, center first."""

    value: Float[Array, ""]
    point: Float[Array, "2 V D"]
    gradient: Float[Array, "2 V D"]
    pairs: Float[Array, "n 2 2 V D"]
    """(step, change of the gradient), the newest last; zeros before there is one."""
    log_scale: Float[Array, "2 V"]
    """Logarithm of each row's multiple of the Newton step."""


def preconditioned_lbfgs(share: Float[Array, "2 V"], *, ridge: float) -> optax.GradientTransformationExtraArgs:
    """Return an (init, update) pair like optax's L-BFGS: `update(gradient, state, params, value=, value_fn=)`.

    16 calls of `value_fn`, params → loss or an estimate of it, choose a step size for each table. A step that has
    not lowered the loss is undone by the next, which starts from the best point. The state is 24·V·D numbers.

    Args:
      share: share of all targets whose center is each word; and whose outside word is each word.
      ridge: weight of |params|²/2 in the loss per target, without which rows with few targets would not converge.
    """

    def init(params: Params) -> LbfgsState:
        point = jnp.stack(params)
        value, pairs = jnp.asarray(jnp.inf, point.dtype), jnp.zeros((HISTORY, 2, *point.shape), point.dtype)
        return LbfgsState(value, point, jnp.zeros_like(point), pairs, jnp.zeros_like(point[..., 0]))

    def update(
        gradient: Params, state: LbfgsState, params: Params | None = None, *,
        value: Float[Array, ""], value_fn: Callable[[Params], Array], **_: object,
    ) -> tuple[Params, LbfgsState]:  # fmt: skip
        assert params is not None, "preconditioned_lbfgs needs params in update"
        point, slope = jnp.stack(params), jnp.stack(gradient)
        pair = jnp.stack([point - state.point, slope - state.gradient])
        is_curved = jnp.isfinite(state.value) & (jnp.vdot(*pair) > 0)
        pairs = jnp.where(is_curved, jnp.concatenate([state.pairs[1:], pair[None]]), state.pairs)
        improved = value < state.value
        best, best_slope = jnp.where(improved, point, state.point), jnp.where(improved, slope, state.gradient)

        covariances = _covariances(best, share)
        newton = lambda rows: _newton_step(rows, covariances, share, ridge)
        decay = jnp.where(state.pairs[-1].any(), ROW_SCALE_DECAY, 0.0).astype(point.dtype)
        average = decay * state.log_scale + (1 - decay) * jnp.log(_row_scale(pairs[-1], newton))
        log_scale = jnp.where(is_curved, average, state.log_scale)

        step = _two_loop_recursion(best_slope, pairs, lambda rows: jnp.exp(log_scale)[..., None] * newton(rows))
        square = jnp.einsum("tvd,tde,tve->tv", step, covariances, step, precision=HIGHEST)
        length = jnp.sqrt(jnp.maximum(square, 0))  # rounding can make a covariance indefinite
        step = step * (TRUST_RADIUS / jnp.maximum(length, TRUST_RADIUS))[..., None]
        sizes = jnp.array(list(itertools.product(STEP_SIZES, repeat=2)), point.dtype)
        moved = lambda size: best - size[:, None, None] * step
        values = jax.lax.map(lambda size: value_fn(Params(*moved(size))), sizes)
        chosen = moved(sizes[jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values))])
        state = LbfgsState(jnp.where(improved, value, state.value), best, best_slope, pairs, log_scale)
        return Params(*(chosen - point)), state

    return optax.GradientTransformationExtraArgs(init, update)


def _covariances(point: Float[Array, "2 V D"], share: Float[Array, "2 V"]) -> Float[Array, "2 D D"]:
    """Return the second moments of each table's opposite under word frequencies.

    The first replaces Σ_w ŷ_w u_w u_wᵀ − ūūᵀ, the Hessian of v_c over n_c, and is about the mean. The second
    replaces Σ_c n_c ŷ_cw v_c v_cᵀ over its weights, and is about 0: one outside vector hardly moves the normalizers.
    """
    moment = lambda rows, weight: jnp.matmul(rows.T * weight[None], rows, precision=HIGHEST)
    mean = share[1] @ point[1]
    return jnp.stack([moment(point[1], share[1]) - jnp.outer(mean, mean), moment(point[0], share[0])])


def _newton_step(
    rows: Float[Array, "2 V D"], covariances: Float[Array, "2 D D"], share: Float[Array, "2 V"], ridge: float
) -> Float[Array, "2 V D"]:
    """Return (share · covariance + ridge)⁻¹ row for every row, from one eigenbasis per table."""
    values, basis = jnp.linalg.eigh(covariances)
    values = jnp.maximum(values, 0)
    values = values + DAMPING * values.mean(1, keepdims=True)
    rotated = jnp.matmul(rows, basis, precision=HIGHEST)
    inverted = rotated / (share[..., None] * values[:, None] + ridge)
    return jnp.matmul(inverted, basis.swapaxes(1, 2), precision=HIGHEST)


def _row_scale(pair: Float[Array, "2 2 V D"], newton: Callable[[Array], Array]) -> Float[Array, "2 V"]:
    """Return each row's multiple of the Newton step by its last step (Barzilai and Borwein, 1988), bounded."""
    step, change = pair
    numerator, denominator = (step * change).sum(-1), (change * newton(change)).sum(-1)
    tiny = jnp.finfo(step.dtype).tiny
    overall = numerator.sum() / jnp.maximum(denominator.sum(), tiny)
    table = jnp.clip(numerator.sum(1) / jnp.maximum(denominator.sum(1), tiny), overall / 4, 1)[:, None]
    row = jnp.clip(numerator / jnp.maximum(denominator, tiny), MIN_ROW_SCALE * table, MAX_ROW_SCALE)
    return jnp.where(numerator > 0, row, table / 2)


def _two_loop_recursion(
    gradient: Float[Array, "2 V D"], pairs: Float[Array, "n 2 2 V D"], h0: Callable[[Array], Array]
) -> Float[Array, "2 V D"]:
    """Return L-BFGS's inverse Hessian times the gradient, with `h0` as the initial inverse Hessian."""
    curvature = jax.lax.map(lambda pair: jnp.vdot(*pair), pairs)
    curvature = jnp.where(curvature > 0, curvature, jnp.inf)  # an empty pair changes nothing

    def backward(q: Array, memory: tuple[Array, Array]) -> tuple[Array, Array]:
        (step, change), curvature = memory
        alpha = jnp.vdot(step, q) / curvature
        return q - alpha * change, alpha

    def forward(r: Array, memory: tuple[Array, Array, Array]) -> tuple[Array, None]:
        (step, change), curvature, alpha = memory
        return r + (alpha - jnp.vdot(change, r) / curvature) * step, None

    q, alphas = jax.lax.scan(backward, gradient, (pairs, curvature), reverse=True)
    return jax.lax.scan(forward, h0(q), (pairs, curvature, alphas))[0]
