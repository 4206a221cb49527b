"""The blockwise softmax is the naive one: every block size, every type, value and gradient, and never [B, V]."""

import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.errors import InputError
from w2v_jax.objectives import blockwise_softmax
from w2v_jax.objectives.blockwise_softmax import blockwise_softmax_loss, log_normalizers
from w2v_jax.objectives.softmax import naive_softmax_loss

BATCH, DIM, CONTEXT = 6, 5, 3
COTANGENT = np.array([1.0, -2.0, 0.5, 3.0, 0.0, 0.25])
SIZES = [(1, 1), (1, 4), (5, 1), (5, 2), (5, 5), (5, 9), (12, 4), (12, 5), (12, 7), (12, 11), (12, 12), (12, 1000)]
ragged = pytest.mark.parametrize(("vocab_size", "block_size"), SIZES)


def example(vocab_size: int, dtype: str, scale: float = 1.0) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    centers, outside = rng.normal(size=(BATCH, DIM)) * scale, rng.normal(size=(vocab_size, DIM)) * scale
    indices = jnp.asarray(rng.integers(0, vocab_size, (BATCH, CONTEXT)), jnp.int32)
    weights = rng.uniform(size=(BATCH, CONTEXT)) * (rng.uniform(size=(BATCH, CONTEXT)) < 0.8)
    return jnp.asarray(centers, dtype), indices, jnp.asarray(outside, dtype), jnp.asarray(weights, dtype)


def textbook(centers: Any, indices: Any, outside: Any, weights: Any) -> jax.Array:
    """[B], a pair at a time."""
    pairs = jax.vmap(jax.vmap(naive_softmax_loss, (None, 0, None)), (0, 0, None))(centers, indices, outside)
    return (weights * pairs).sum(1)


def blockwise(block_size: int) -> Any:
    return lambda centers, indices, outside, weights: blockwise_softmax_loss(
        centers, indices, outside, block_size=block_size, weights=weights
    )


def value_and_gradients(loss: Any, arguments: tuple[Any, ...]) -> Any:
    total = lambda *a: (jnp.asarray(COTANGENT, a[0].dtype) * loss(*a).astype(a[0].dtype)).sum()
    return jax.jit(jax.value_and_grad(total, (0, 2, 3)))(*arguments)


@ragged
def test_value_and_gradients_are_the_reference_s(vocab_size: int, block_size: int, dtype: str) -> None:
    arguments = example(vocab_size, dtype)
    tolerance = {"rtol": 1e-9, "atol": 1e-13} if dtype == "float64" else {"rtol": 2e-5, "atol": 2e-5}
    loss = blockwise(block_size)
    chex.assert_trees_all_close(loss(*arguments), jax.jit(textbook)(*arguments), **tolerance)
    expected = value_and_gradients(textbook, arguments)
    chex.assert_trees_all_close(value_and_gradients(loss, arguments), expected, **tolerance)


def test_one_outside_word_each_needs_no_second_axis() -> None:
    centers, indices, outside, _ = example(12, "float32")
    loss = blockwise_softmax_loss(centers, indices[:, 0], outside, block_size=5)
    expected = jax.vmap(naive_softmax_loss, (0, 0, None))(centers, indices[:, 0], outside)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_finite_differences_agree() -> None:
    with jax.enable_x64(True):
        arguments = example(12, "float64")
        loss = blockwise(5)
        _, gradients = value_and_gradients(loss, arguments)
        for position, gradient in zip((0, 2, 3), gradients, strict=True):
            for at in [(0, 0), (-1, -1), (2, 1)]:
                sides = []
                for h in (1e-6, -1e-6):
                    moved = np.array(arguments[position])
                    moved[at] += h
                    changed = [*arguments[:position], jnp.asarray(moved), *arguments[position + 1 :]]
                    sides.append(float((COTANGENT * loss(*changed)).sum()))
                np.testing.assert_allclose(gradient[at], (sides[0] - sides[1]) / 2e-6, rtol=1e-6, atol=1e-8)
        assert all(np.abs(gradient).max() > 1e-2 for gradient in gradients)


@pytest.mark.parametrize("scale", [70.0, 1e2])
def test_huge_scores_neither_overflow_nor_vanish(scale: float, dtype: str) -> None:
    arguments = example(12, dtype, scale)
    value, gradients = value_and_gradients(blockwise(5), arguments)
    expected = value_and_gradients(textbook, arguments)
    chex.assert_tree_all_finite(gradients)
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    chex.assert_trees_all_close(gradients[:2], expected[1][:2], rtol=1e-4, atol=1e-4 * scale)


def test_bfloat16_is_summed_in_float32() -> None:
    """Against the same bfloat16 numbers in float64: only the gradients' own rounding to bfloat16 remains."""
    arguments = example(3000, "float32")
    indices = jnp.full_like(arguments[1], 7)  # one outside word 18 times: its row is a long sum
    small = [arguments[0].astype(jnp.bfloat16), indices, arguments[2].astype(jnp.bfloat16), jnp.ones((BATCH, CONTEXT))]
    value, pullback = jax.vjp(lambda c, u: blockwise_softmax_loss(c, small[1], u, block_size=999), small[0], small[2])
    gradients = pullback(jnp.ones(BATCH))
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(x, np.float64)) if x.dtype != jnp.int32 else x for x in small]
        expected, pullback = jax.vjp(lambda c, u: textbook(c, wide[1], u, wide[3]), wide[0], wide[2])
        wanted = pullback(jnp.ones(BATCH))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for got, want in zip(gradients, wanted, strict=True):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=2**-8, atol=1e-6)


def test_vmap_is_a_loop() -> None:
    batches = [example(12, "float32", scale) for scale in (0.5, 1.0, 2.0)]
    stacked = [jnp.stack(column) for column in zip(*batches, strict=True)]
    gradient = jax.grad(lambda *a: blockwise(5)(*a).sum(), (0, 2))
    together, alone_of = jax.vmap(gradient)(*stacked), jax.jit(gradient)
    for i, arguments in enumerate(batches):
        alone = alone_of(*arguments)
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, rtol=1e-5, atol=1e-6)


def test_optax_minimizes_it_as_it_is() -> None:
    centers, indices, outside, weights = example(12, "float32")
    params, optimizer = (centers, outside), optax.adam(0.1)
    state = optimizer.init(params)
    mean = lambda p: blockwise(5)(p[0], indices, p[1], weights).mean()
    first = mean(params)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        updates, state = optimizer.update(jax.grad(mean)(params), state)
        return optax.apply_updates(params, updates), state

    with jax.numpy_dtype_promotion("standard"):  # Adam raises a float to an integer's power
        for _ in range(30):
            params, state = step(params, state)
    assert mean(params) < 0.7 * first


def shapes(program: str, least: int) -> list[str]:
    """The arrays of a compiled program with at least so many elements."""
    found = re.findall(r"\w+\[([\d,]+)\]", program)
    return [dims for dims in found if np.prod([int(n) for n in dims.split(",")]) >= least]


@pytest.mark.parametrize(("loss", "holds"), [("blockwise", False), ("dense", True)])
def test_the_compiled_program_never_holds_all_the_scores(loss: str, holds: bool) -> None:
    batch, vocab_size, block = 64, 5000, 100
    centers, outside = jnp.ones((batch, DIM)), jnp.ones((vocab_size, DIM))
    indices = jnp.zeros((batch, 1), jnp.int32)
    function = blockwise(block) if loss == "blockwise" else textbook
    gradient = jax.jit(jax.grad(lambda *a: function(*a).sum(), (0, 2)))
    compiled = gradient.lower(centers, indices, outside, jnp.ones((batch, 1))).compile()
    assert bool(shapes(str(compiled.as_text()), batch * vocab_size)) == holds
    beyond_tables = compiled.memory_analysis().temp_size_in_bytes - 3 * outside.nbytes  # type: ignore[union-attr]
    assert (beyond_tables > 4 * batch * vocab_size / 2) == holds


def test_only_the_inputs_and_a_number_for_each_center_are_saved() -> None:
    centers, indices, outside, weights = example(12, "float32")
    _, pullback = jax.vjp(lambda c, u: blockwise(5)(c, indices, u, weights), centers, outside)
    saved = sorted(np.shape(leaf) for leaf in jax.tree.leaves(pullback))
    assert saved == sorted([centers.shape, indices.shape, outside.shape, weights.shape, (BATCH,)])


def test_forward_mode_is_refused() -> None:
    arguments = example(5, "float32")
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda c: blockwise(2)(c, *arguments[1:]), (arguments[0],), (arguments[0],))


def test_a_block_size_below_one_is_one_line() -> None:
    centers, indices, outside, _ = example(5, "float32")
    with pytest.raises(InputError, match="block_size is 0; it must be at least 1"):
        blockwise_softmax_loss(centers, indices, outside, block_size=0)


def test_rows_counted_twice_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last block reaches back; were its old rows not masked, they would count twice."""
    right = blockwise_softmax._block
    centers, _, outside, _ = example(12, "float32")
    expected = jax.nn.logsumexp(centers @ outside.T, axis=1)
    np.testing.assert_allclose(log_normalizers(centers, outside, block_size=5), expected, rtol=1e-6)

    def unmasked(i: Any, h: Any, candidates: Any, size: int, words: Any) -> Any:
        start, _ = right(i, h, candidates, size, words)
        return start, jax.lax.dynamic_slice_in_dim(candidates, start, size) @ h.T

    monkeypatch.setattr(blockwise_softmax, "_block", unmasked)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(log_normalizers(centers, outside, block_size=5), expected, rtol=1e-6)


def test_no_centers_have_no_loss() -> None:
    outside = jnp.ones((5, 3))
    for indices in (jnp.zeros(0, jnp.int32), jnp.zeros((0, 2), jnp.int32), jnp.zeros((0, 2, 3), jnp.int32)):
        loss = lambda h, outside: blockwise_softmax_loss(h, indices, outside, block_size=2).sum()  # noqa: B023
        value, gradients = jax.value_and_grad(loss, (0, 1))(jnp.ones((0, 3)), outside)
        assert value == 0
        np.testing.assert_array_equal(gradients[1], jnp.zeros_like(outside))


def test_outside_words_may_stand_on_more_axes() -> None:
    h, outside = jnp.ones((2, 3)), jnp.arange(21.0).reshape(7, 3) / 9
    indices = jnp.array([[[0, 1, 2], [3, 4, 5]], [[6, 5, 4], [3, 2, 1]]])
    loss = lambda indices: blockwise_softmax_loss(h, indices, outside, block_size=3)
    np.testing.assert_array_equal(loss(indices), loss(indices.reshape(2, 6)))
