"""Every hand-written gradient against `jax.grad` of its loss, and against finite differences.

The comparison must reject the wrong answers that people give.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.objectives.negative_sampling import negative_sampling_gradients, negative_sampling_loss
from w2v_jax.objectives.softmax import log_probs, naive_softmax_gradients, naive_softmax_loss

Gradients = tuple[Any, Any]


class Case(NamedTuple):
    """The sizes of an example, its words, and how large its scores get."""

    vocab_size: int
    dim: int
    outside: int
    negatives: tuple[int, ...]
    scale: float


CASES = {
    "ordinary": Case(50, 8, 7, (1, 2, 3), 1.0),
    "repeated negatives": Case(50, 8, 7, (3, 3, 3, 9), 1.0),
    "negative is the outside word": Case(50, 8, 7, (7, 7, 2), 1.0),
    "own context": Case(50, 8, 0, (0, 1), 1.0),  # the center's own outside vector
    "one word": Case(1, 4, 0, (0, 0), 1.0),
    "one number": Case(9, 1, 4, (1, 8), 1.0),
    "large vocabulary": Case(2_000, 16, 1_999, (0, 5, 1_998), 1.0),
    "huge scores": Case(20, 4, 3, (1, 2), 70.0),  # up to about ±1e4
}


class Objective(NamedTuple):
    loss: Callable[..., Any]
    gradients: Callable[..., Gradients]
    arguments: Callable[[Case], tuple[Any, ...]]
    """Between the center vector and the outside vectors."""


OBJECTIVES = {
    "naive softmax": Objective(naive_softmax_loss, naive_softmax_gradients, lambda case: (jnp.int32(case.outside),)),
    "negative sampling": Objective(
        negative_sampling_loss,
        negative_sampling_gradients,
        lambda case: (jnp.int32(case.outside), jnp.array(case.negatives, jnp.int32)),
    ),
}

every_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def example(objective: Objective, case: Case, dtype: str) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    center = case.scale * rng.normal(size=case.dim)
    outside = case.scale * rng.normal(size=(case.vocab_size, case.dim))
    return (jnp.asarray(center, dtype), *objective.arguments(case), jnp.asarray(outside, dtype))


def by_autodiff(objective: Objective, arguments: tuple[Any, ...]) -> tuple[Any, Gradients]:
    return jax.jit(jax.value_and_grad(objective.loss, (0, len(arguments) - 1)))(*arguments)


@functools.partial(jax.jit, static_argnums=0)
def absolute_terms(objective: Objective, arguments: tuple[Any, ...]) -> Gradients:
    """Return bounds on the sum of the absolute terms of each gradient's numbers, to which rounding is relative.

    |residual| ≤ 1 for each time a word is a candidate, so these are |U|ᵀ·1 and 1·|v_c|.
    """
    center, *_, outside = arguments
    candidates = jnp.concatenate([jnp.atleast_1d(i) for i in arguments[1:-1]])
    rows = jnp.abs(outside) if objective.loss is naive_softmax_loss else jnp.abs(outside[candidates])
    times = jnp.ones(len(outside), center.dtype).at[candidates].add(1)
    return rows.sum(0) + jnp.abs(outside[arguments[1]]), times[:, None] * jnp.abs(center)[None]


def assert_close(actual: Gradients, expected: Gradients, terms: Gradients) -> None:
    """float64: rtol 1e-9 on the whole tree. float32: within 8 ulp of the sum of absolute terms."""
    chex.assert_trees_all_equal_shapes_and_dtypes(actual, expected)
    chex.assert_tree_all_finite(actual)
    if expected[0].dtype == jnp.float64:
        chex.assert_trees_all_close(actual, expected, rtol=1e-9, atol=1e-14 * float(max(map(jnp.max, terms))))
        return
    for got, want, scale in zip(actual, expected, terms, strict=True):
        ulp = np.spacing(np.maximum(np.asarray(scale, np.float32), np.finfo(np.float32).tiny))
        assert np.all(np.abs(np.asarray(got) - np.asarray(want)) <= 8 * ulp)


@every_case
@every_objective
def test_hand_gradient_equals_autodiff_of_the_loss(objective: Objective, case: Case, dtype: str) -> None:
    arguments = example(objective, case, dtype)
    value, expected = by_autodiff(objective, arguments)
    terms = absolute_terms(objective, arguments)
    np.testing.assert_allclose(value, objective.loss(*arguments), rtol=1e-6)
    assert np.isfinite(value)
    assert_close(objective.gradients(*arguments), expected, terms)
    assert_close(jax.jit(objective.gradients)(*arguments), expected, terms)


@every_objective
def test_finite_differences_agree(objective: Objective) -> None:
    with jax.enable_x64(True):
        center, *others, outside = example(objective, CASES["repeated negatives"], "float64")
        of_center, of_outside = objective.gradients(center, *others, outside)
        for at in (0, -1, 3, 7):
            shifts = [jnp.zeros_like(center).at[at].set(h) for h in (1e-6, -1e-6)]
            up, down = (objective.loss(center + shift, *others, outside) for shift in shifts)
            np.testing.assert_allclose(of_center[at], (up - down) / 2e-6, rtol=1e-7, atol=1e-9)
            up, down = (objective.loss(center, *others, outside.at[at].add(shift)) for shift in shifts)
            np.testing.assert_allclose(of_outside[at, at], (up - down) / 2e-6, rtol=1e-7, atol=1e-9)
        assert min(np.abs(of_center).max(), np.abs(of_outside).max()) > 1e-2  # not a gradient of zeros


@every_objective
def test_vmap_equals_a_loop(objective: Objective, dtype: str) -> None:
    examples = [example(objective, CASES["ordinary"]._replace(outside=outside), dtype) for outside in (7, 0, 49)]
    *batch, _ = (jnp.stack(column) for column in zip(*examples, strict=True))
    together = jax.vmap(objective.gradients, (*(0 for _ in batch), None))(*batch, examples[0][-1])
    for i, arguments in enumerate(examples):
        of_one = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        assert_close(of_one, objective.gradients(*arguments), absolute_terms(objective, arguments))


def without_minus_y(center: Any, outside_index: Any, outside: Any) -> Gradients:
    y_hat = jnp.exp(log_probs(center, outside))
    return outside.T @ y_hat, jnp.outer(y_hat, center)


def with_residual_reversed(center: Any, outside_index: Any, outside: Any) -> Gradients:
    return jax.tree.map(jnp.negative, naive_softmax_gradients(center, outside_index, outside))


def with_u_transposed(center: Any, outside_index: Any, outside: Any) -> Gradients:
    y_hat = jnp.exp(log_probs(center, outside))
    residual = y_hat - jax.nn.one_hot(outside_index, len(outside), dtype=y_hat.dtype)
    return outside @ residual, jnp.outer(residual, center)


def with_duplicates_lost(center: Any, outside_index: Any, negatives: Any, outside: Any) -> Gradients:
    right, _ = negative_sampling_gradients(center, outside_index, negatives, outside)
    indices = jnp.concatenate([outside_index[None], negatives])
    observed = jnp.zeros(len(indices), center.dtype).at[0].set(1)
    residual = jax.nn.sigmoid(outside[indices] @ center) - observed
    return right, jnp.zeros_like(outside).at[indices].set(jnp.outer(residual, center))


WRONG = {
    "−y dropped": ("naive softmax", without_minus_y, CASES["ordinary"]),
    "sign reversed": ("naive softmax", with_residual_reversed, CASES["ordinary"]),
    "U transposed": ("naive softmax", with_u_transposed, Case(8, 8, 7, (1,), 1.0)),  # square: the shape tells nothing
    "duplicates lost": ("negative sampling", with_duplicates_lost, CASES["repeated negatives"]),
}


@pytest.mark.parametrize(("name", "wrong", "case"), WRONG.values(), ids=WRONG)
def test_wrong_gradients_are_rejected(name: str, wrong: Callable[..., Gradients], case: Case, dtype: str) -> None:
    objective = OBJECTIVES[name]
    arguments = example(objective, case, dtype)
    with pytest.raises(AssertionError):
        assert_close(wrong(*arguments), by_autodiff(objective, arguments)[1], absolute_terms(objective, arguments))
