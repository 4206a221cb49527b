"""The differentiable functions of scores: value and gradient in every argument, against autodiff of plain references.

float64 agrees to rtol 1e-9; float32 to a few ulp of the largest number, against the reference in float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.objectives.blockwise_softmax import blockwise_softmax_loss, log_normalizers, weighted_log_normalizers
from w2v_jax.objectives.negative_sampling import sigmoid_cross_entropy
from w2v_jax.objectives.scores import curvature_bounds, scores, scores_vjp
from w2v_jax.objectives.softmax import log_probs, softmax_cross_entropy, softmax_curvature

B, D = 6, 5


class Function(NamedTuple):
    function: Callable[..., Any]
    reference: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    ulps: int


plain_sigmoid = lambda s, observed, weight: (weight * (jnp.logaddexp(s, jnp.zeros_like(s)) - observed * s)).sum()
plain_softmax = lambda s, observed: -(observed * jax.nn.log_softmax(s)).sum(-1)
plain_normalizers = lambda h, candidates: jax.nn.logsumexp(h @ candidates.T, axis=1)

FUNCTIONS = {
    "scores": Function(scores, lambda h, candidates: h @ candidates.T, ((B, D), (9, D)), 8),
    "sigmoid": Function(sigmoid_cross_entropy, plain_sigmoid, ((B, 9), (B, 9), (B, 9)), 4),
    "softmax": Function(softmax_cross_entropy, plain_softmax, ((B, 9), (B, 9)), 8),
    "softmax of one center": Function(softmax_cross_entropy, plain_softmax, ((9,), (9,)), 8),
}
SIZES = [(1, 1), (1, 4), (5, 1), (5, 2), (5, 5), (5, 9), (12, 4), (12, 5), (12, 7), (12, 11), (12, 12), (12, 1000)]
"""(vocabulary, block): a block of one word, several even and ragged blocks, one block, and a block beyond the words."""


def weighted(block_size: int, words: int) -> Function:
    """Two rows of padding follow the words."""
    return Function(
        lambda h, candidates, n: weighted_log_normalizers(block_size, (), h, candidates, n, jnp.asarray(words))[0],
        lambda h, candidates, n: n @ plain_normalizers(h, candidates[:words]), ((B, D), (words + 2, D), (B,)), 32,
    )  # fmt: skip


def block_loss(size: int, words: int) -> Function:
    """The loss of three outside words for each center, of which some occur twice."""
    ids = jnp.asarray(np.random.default_rng(3).integers(0, words, (B, 3)), jnp.int32)
    log_probs_of = jax.vmap(lambda v_c, ids, candidates: log_probs(v_c, candidates)[ids], (0, 0, None))
    return Function(
        lambda h, candidates, weights: blockwise_softmax_loss(h, ids, candidates, block_size=size, weights=weights),
        lambda h, candidates, weights: (weights * -log_probs_of(h, ids, candidates)).sum(1),
        ((B, D), (words, D), (B, 3)), 32,
    )  # fmt: skip


for words, size in SIZES:
    blockwise = lambda h, candidates, size=size: log_normalizers(size, h, candidates)
    FUNCTIONS[f"normalizers {words}/{size}"] = Function(blockwise, plain_normalizers, ((B, D), (words, D)), 32)
    FUNCTIONS[f"weighted normalizers {words}/{size}"] = weighted(size, words)
    FUNCTIONS[f"blockwise loss {words}/{size}"] = block_loss(size, words)
NAMES = ["sigmoid", "softmax", "scores", "normalizers 12/5", "weighted normalizers 12/5", "blockwise loss 12/5"]
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


def example(function: Function, dtype: str) -> list[Any]:
    rng = np.random.default_rng(0)
    masked = [rng.normal(size=shape) for shape in function.shapes]
    masked[1:] = [np.where(rng.uniform(size=x.shape) < 0.2, 0, np.abs(x)) for x in masked[1:]]  # 0 masks a weight
    return [jnp.asarray(x, dtype) for x in masked]


def value_and_gradients(function: Callable[..., Any], arguments: list[Any]) -> list[np.ndarray]:
    """Return the value, and the gradients of its sum with random weights, in every argument."""
    weigh = lambda value: (value * np.random.default_rng(1).normal(size=value.shape).astype(value.dtype)).sum()
    gradients = jax.grad(lambda *x: weigh(function(*x)), tuple(range(len(arguments))))
    return [np.asarray(x) for x in (jax.jit(function)(*arguments), *jax.jit(gradients)(*arguments))]


def assert_close(actual: list[np.ndarray], expected: list[np.ndarray], ulps: int) -> None:
    for got, want in zip(actual, expected, strict=True):
        assert np.isfinite(got).all()
        single = got.dtype == np.float32
        atol = ulps * np.finfo(np.float32).eps * np.abs(want).max(initial=1) if single else 1e-14
        np.testing.assert_allclose(got, want, rtol=0 if single else 1e-9, atol=atol)


def reference_of(function: Function, arguments: list[Any]) -> list[np.ndarray]:
    with jax.enable_x64(True):
        return value_and_gradients(function.reference, [jnp.asarray(np.asarray(x, np.float64)) for x in arguments])


@every_function
def test_value_and_gradients_equal_autodiff_of_the_reference(function: Function, dtype: str) -> None:
    arguments = example(function, dtype)
    actual = value_and_gradients(function.function, arguments)
    assert all(x.dtype == dtype for x in actual)
    assert_close(actual, reference_of(function, arguments), function.ulps)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_gradients_are_rejected(name: str, dtype: str) -> None:
    """A residual that forgets the observed, a reversed sign, and a swapped word each differ from the reference."""
    function = FUNCTIONS[name]
    arguments = example(function, dtype)
    expected = reference_of(function, arguments)
    value, gradient, *others = value_and_gradients(function.function, arguments)
    forgotten = gradient + np.asarray(arguments[1]) if name in ("sigmoid", "softmax") else gradient[::-1]
    for wrong in (forgotten, -gradient, np.roll(gradient, 1, axis=0)):
        with pytest.raises(AssertionError):
            assert_close([value, wrong, *others], expected, function.ulps)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "scores"])
@pytest.mark.parametrize("scale", [70.0, 1e2])
def test_huge_scores_neither_overflow_nor_vanish(name: str, scale: float, dtype: str) -> None:
    function, arguments = FUNCTIONS[name], example(FUNCTIONS[name], dtype)
    first = 2 if "12/5" in name else 1  # scores of up to 1e4, given or computed
    arguments = [x * (scale if first == 2 else scale**2) if i < first else x for i, x in enumerate(arguments)]
    actual, expected = value_and_gradients(function.function, arguments), reference_of(function, arguments)
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5, atol=1e-5)
    for got, want in zip(actual[1:], expected[1:], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * scale)


def test_scores_vjp_keeps_the_type_of_the_residual(dtype: str) -> None:
    h, candidates = (x.astype(jnp.bfloat16) for x in example(FUNCTIONS["scores"], dtype))
    assert {x.dtype for x in scores_vjp(jnp.ones((B, 9), dtype), h, candidates)} == {jnp.dtype(dtype)}


def test_scores_of_bfloat16_are_summed_in_float32() -> None:
    h, candidates = (x.astype(jnp.bfloat16) for x in example(FUNCTIONS["scores"], "float32"))
    value, pullback = jax.vjp(scores, h, candidates)
    wide = [np.asarray(x, np.float64) for x in (h, candidates)]
    np.testing.assert_allclose(value, wide[0] @ wide[1].T, rtol=1e-5, atol=1e-6)
    assert (value.dtype, *(x.dtype for x in pullback(value))) == (jnp.float32, jnp.bfloat16, jnp.bfloat16)


def test_curvature_bounds_are_at_least_the_largest_eigenvalue_of_the_hessian() -> None:
    h, candidates = map(np.asarray, example(FUNCTIONS["scores"], "float32"))
    curvature = np.abs(np.random.default_rng(2).normal(size=(B, 9))).astype(np.float32)
    of_h = np.einsum("bn,nd,ne->bde", curvature, candidates, candidates)  # a score is linear in either vector
    of_candidates = np.einsum("bn,bd,be->nde", curvature, h, h)
    bounds_of_both = curvature_bounds(*map(jnp.asarray, (curvature, h, candidates)))
    for bounds, hessians in zip(bounds_of_both, (of_h, of_candidates), strict=True):
        np.testing.assert_allclose(bounds, np.trace(hessians, axis1=1, axis2=2), rtol=1e-6)
        assert (np.asarray(bounds) >= np.linalg.eigvalsh(hessians).max(1)).all()


@pytest.mark.parametrize(("words", "size"), SIZES)
def test_blockwise_curvature_bounds_are_those_of_all_scores(words: int, size: int) -> None:
    """Rows of padding have none; the tests of the gradient see that they have no share in the loss either."""
    with jax.enable_x64(True):
        h, candidates, n = example(weighted(size, words), "float64")
        _, (of_h, of_candidates) = weighted_log_normalizers(size, (), h, candidates, n, jnp.asarray(words))
        observed = jnp.zeros((B, words)).at[:, 0].set(n)  # only its sum over the words counts
        bounds = softmax_curvature(scores(h, candidates[:words]), observed)
        expected = curvature_bounds(bounds, h, candidates[:words])
        np.testing.assert_allclose(of_h, expected[0], rtol=1e-9)
        np.testing.assert_allclose(of_candidates, [*expected[1], 0, 0], rtol=1e-9)
