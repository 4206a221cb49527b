"""The blockwise softmax in use: under vmap, in bfloat16, and never with [B, V] scores in memory.

Its value and gradients are tested with those of the other functions of scores, in test_scores.py.
"""

import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.objectives import blockwise_softmax
from w2v_jax.objectives.blockwise_softmax import blockwise_softmax_loss, log_normalizers
from w2v_jax.objectives.softmax import naive_softmax_loss

BATCH, DIM, CONTEXT = 6, 5, 3


def example(vocab_size: int, scale: float = 1.0) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    centers, outside = rng.normal(size=(BATCH, DIM)) * scale, rng.normal(size=(vocab_size, DIM)) * scale
    ids = jnp.asarray(rng.integers(0, vocab_size, (BATCH, CONTEXT)), jnp.int32)
    weights = jnp.asarray(rng.uniform(size=(BATCH, CONTEXT)), jnp.float32)
    return jnp.asarray(centers, jnp.float32), ids, jnp.asarray(outside, jnp.float32), weights


def reference(centers: Any, ids: Any, outside: Any, weights: Any) -> jax.Array:
    of_center = jax.vmap(naive_softmax_loss, (None, 0, None))
    return (weights * jax.vmap(of_center, (0, 0, None))(centers, ids, outside)).sum(1)


def blockwise(block_size: int) -> Any:
    return lambda c, ids, u, weights: blockwise_softmax_loss(c, ids, u, block_size=block_size, weights=weights)


def test_outside_words_have_no_axis_or_several() -> None:
    centers, ids, outside, _ = example(12)
    loss = lambda ids: blockwise_softmax_loss(centers, ids, outside, block_size=5)
    expected = jax.vmap(naive_softmax_loss, (0, 0, None))(centers, ids[:, 0], outside)
    np.testing.assert_allclose(loss(ids[:, 0]), expected, rtol=1e-6)
    both = jnp.concatenate([ids, ids[::-1]], axis=1)
    np.testing.assert_array_equal(loss(both.reshape(BATCH, 2, CONTEXT)), loss(both))


def test_bfloat16_is_summed_in_float32() -> None:
    """Against the same numbers in float64, only the gradients' own rounding to bfloat16 remains."""
    centers, ids, outside, weights = example(3000)
    ids, weights = jnp.full_like(ids, 7), jnp.ones_like(weights)  # one outside word 18 times: its row is a long sum
    small = centers.astype(jnp.bfloat16), outside.astype(jnp.bfloat16)
    value, pullback = jax.vjp(lambda c, u: blockwise_softmax_loss(c, ids, u, block_size=999), *small)
    gradients = pullback(jnp.ones(BATCH))
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(x, np.float64)) for x in (*small, weights)]
        expected, pullback = jax.vjp(lambda c, u: reference(c, ids, u, wide[2]), *wide[:2])
        wanted = pullback(jnp.ones(BATCH))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for got, want in zip(gradients, wanted, strict=True):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=2**-8, atol=1e-6)


def test_vmap_equals_a_loop() -> None:
    batches = [example(12, scale) for scale in (0.5, 1.0, 2.0)]
    gradient = jax.grad(lambda *a: blockwise(5)(*a).sum(), (0, 2))
    together = jax.vmap(gradient)(*(jnp.stack(column) for column in zip(*batches, strict=True)))
    for i, arguments in enumerate(batches):
        alone = jax.jit(gradient)(*arguments)
        chex.assert_trees_all_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("function", "holds_all"), [(blockwise(100), False), (reference, True)])
def test_compiled_program_never_holds_all_scores(function: Any, holds_all: bool) -> None:
    batch, vocab_size = 64, 5000
    centers, outside, ids = jnp.ones((batch, DIM)), jnp.ones((vocab_size, DIM)), jnp.zeros((batch, 1), jnp.int32)
    gradient = jax.jit(jax.grad(lambda *a: function(*a).sum(), (0, 2)))
    compiled = gradient.lower(centers, ids, outside, jnp.ones((batch, 1))).compile()
    sizes = [np.prod([int(n) for n in dims.split(",")]) for dims in re.findall(r"\w+\[([\d,]+)\]", compiled.as_text())]
    assert (max(sizes) >= batch * vocab_size) == holds_all
    memory: Any = compiled.memory_analysis()
    beyond_tables = memory.temp_size_in_bytes - 3 * outside.nbytes
    assert (beyond_tables > 4 * batch * vocab_size / 2) == holds_all


def test_backward_pass_keeps_the_inputs_and_one_number_a_center() -> None:
    centers, ids, outside, weights = example(12)
    _, pullback = jax.vjp(lambda c, u: blockwise(5)(c, ids, u, weights), centers, outside)
    saved = {np.shape(leaf) for leaf in jax.tree.leaves(pullback)}
    assert saved - {(BATCH, 1)} == {centers.shape, ids.shape, outside.shape, (BATCH,)}


def test_forward_mode_and_empty_blocks_are_refused() -> None:
    arguments = example(5)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda c: blockwise(2)(c, *arguments[1:]), (arguments[0],), (arguments[0],))
    with pytest.raises(InputError, match="block_size is 0; it must be at least 1"):
        blockwise(0)(*arguments)


def test_rows_that_the_last_block_repeats_would_count_twice_without_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    masked = blockwise_softmax._block_scores
    centers, _, outside, _ = example(12)
    expected = jax.nn.logsumexp(centers @ outside.T, axis=1)
    np.testing.assert_allclose(log_normalizers(5, centers, outside), expected, rtol=1e-6)
    unmasked = lambda h, candidates, start, is_new: masked(h, candidates, start, jnp.ones_like(is_new))
    monkeypatch.setattr(blockwise_softmax, "_block_scores", unmasked)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(log_normalizers(5, centers, outside), expected, rtol=1e-6)


def test_no_centers_have_no_loss() -> None:
    outside = jnp.ones((5, 3))
    for ids in (jnp.zeros(0, jnp.int32), jnp.zeros((0, 2), jnp.int32), jnp.zeros((0, 2, 3), jnp.int32)):
        loss = lambda h, outside: blockwise_softmax_loss(h, ids, outside, block_size=2).sum()  # noqa: B023
        value, gradients = jax.value_and_grad(loss, (0, 1))(jnp.ones((0, 3)), outside)
        assert value == 0
        np.testing.assert_array_equal(gradients[1], jnp.zeros_like(outside))
