"""The softmax of counts equals the naive softmax loss summed over all pairs of a corpus."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import sparse

from w2v_jax.config import TextConfig
from w2v_jax.counts import softmax
from w2v_jax.counts.coarse_to_fine import init_from_ppmi
from w2v_jax.counts.config import CountsConfig
from w2v_jax.counts.cooccurrence import Cooccurrence
from w2v_jax.counts.softmax import count_blocks, loss_and_gradient, make_pass, make_problem, softmax_counts_loss
from w2v_jax.objectives.softmax import naive_softmax_loss
from w2v_jax.params import Params
from w2v_jax.text.corpus import Corpus

pytestmark = pytest.mark.usefixtures("several_blocks")


def blocks_of(matrix: Any, rows: int) -> softmax.CountBlocks:
    return count_blocks(sparse.csr_array(matrix), rows=rows)


def random_params(vocab_size: int, dim: int, scale: float, dtype: str) -> Params:
    rng = np.random.default_rng(0)
    return Params(*(jnp.asarray(scale * rng.normal(size=(vocab_size, dim)), dtype) for _ in range(2)))


def test_loss_and_gradient_equal_the_sum_over_all_pairs_of_a_corpus() -> None:
    rng = np.random.default_rng(1)
    lines = [[f"w{i}" for i in rng.zipf(1.5, rng.integers(1, 9)) if i < 12] for _ in range(12)]
    corpus = Corpus.from_sentences(lines, TextConfig(min_count=1))
    counts = Cooccurrence.from_corpus(corpus, CountsConfig(window=2, sample=0.0))
    pairs, start = [], 0
    for end in corpus.line_ends:
        line = corpus.ids[start:end].tolist()
        pairs += [(c, o, 1.0 if abs(i - j) == 1 else 0.5)
                  for i, c in enumerate(line) for j, o in enumerate(line) if 0 < abs(i - j) <= 2]  # fmt: skip
        start = end
    with jax.enable_x64(True):
        params = random_params(len(corpus.vocabulary), 4, 1.0, "float64")
        blocks = blocks_of(counts.matrix.astype(np.float64), 5)
        loss, gradient = jax.jit(softmax_counts_loss)(params, blocks)

        def summed(params: Params) -> jax.Array:
            pair_loss = lambda c, o, share: share * naive_softmax_loss(params.center[c], o, params.outside)
            return jax.vmap(pair_loss)(*map(jnp.array, zip(*pairs, strict=True))).sum()

        expected, by_autodiff = jax.jit(jax.value_and_grad(summed))(params)
        np.testing.assert_allclose(loss, expected, rtol=1e-9)
        chex.assert_trees_all_close(gradient, by_autodiff, rtol=1e-9, atol=1e-11)
        swapped = Params(gradient.outside, gradient.center)
        with pytest.raises(AssertionError):
            chex.assert_trees_all_close(swapped, by_autodiff, rtol=1e-9, atol=1e-11)


def asymmetric(ridge: float = softmax.RIDGE) -> tuple[np.ndarray, Params, softmax.Problem]:
    """Return (counts, params, problem); rows and columns have different sums, unlike those of any window."""
    dense = np.triu(np.random.default_rng(0).uniform(1, 9, (12, 12))).astype(np.float32)
    counts = Cooccurrence(sparse.csr_array(dense))
    return dense, init_from_ppmi(counts, 5, seed=0), make_problem(counts, ridge)


def dense_loss(params: Params, matrix: np.ndarray) -> jax.Array:
    return -(jnp.asarray(matrix) * jax.nn.log_softmax(params.center @ params.outside.T, axis=1)).sum()


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 20])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_any_block_size_and_any_scores(rows: int, scale: float, dtype: str) -> None:
    """Scores of a thousand need the shifted exponentials; an empty row adds nothing."""
    rng = np.random.default_rng(2)
    matrix = rng.poisson(0.5, (8, 8)) * rng.uniform(1, 50, (8, 8)).astype(dtype)
    matrix[3] = 0
    params = random_params(8, 3, scale, dtype)
    loss, gradient = jax.jit(softmax_counts_loss)(params, blocks_of(matrix, rows))
    expected, by_autodiff = jax.jit(jax.value_and_grad(dense_loss))(params, matrix)
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(loss, expected, rtol=tolerance)
    atol = tolerance * float(jnp.abs(by_autodiff.center).max())
    chex.assert_trees_all_close(gradient, by_autodiff, rtol=tolerance, atol=atol)


def test_no_v_by_v_array_is_held() -> None:
    vocab_size, rows = 2000, 20
    matrix = sparse.random_array((vocab_size, vocab_size), density=1e-3, rng=np.random.default_rng(0), format="csr")
    blocks, params = blocks_of(matrix.astype(np.float32), rows), random_params(vocab_size, 4, 1.0, "float32")
    memory = jax.jit(softmax_counts_loss).lower(params, blocks).compile().memory_analysis()
    assert memory is not None
    tile, tables = 4 * vocab_size * rows, 2 * 4 * vocab_size * 4
    assert memory.temp_size_in_bytes < 3 * tile + 3 * tables


def test_the_loss_alone_costs_one_product_of_three() -> None:
    _, params, problem = asymmetric()
    products = lambda run: jax.jit(run).lower(params, problem).compile().as_text().count(" dot(")  # type: ignore[union-attr]
    assert products(loss_and_gradient) == 3
    assert products(lambda *args: loss_and_gradient(*args)[0]) == products(softmax.sampled_loss) == 1


def test_a_rare_row_with_large_scores_keeps_its_gradient() -> None:
    params = Params(*(jnp.full((8, 2), np.sqrt(59.3 / 2), jnp.float32) for _ in range(2)))
    matrix = np.eye(8, k=1)
    matrix[0] *= 1e-12
    loss, gradient = jax.jit(softmax_counts_loss)(params, blocks_of(matrix, 3))
    expected, by_autodiff = jax.value_and_grad(dense_loss)(params, matrix.astype(np.float32))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    chex.assert_tree_all_finite(gradient)
    chex.assert_trees_all_close(gradient, by_autodiff, rtol=1e-4, atol=1e-5)


def test_shares_and_ridge_equal_their_formulas() -> None:
    losses = []
    for ridge in (0.0, 0.5):
        dense, params, problem = asymmetric(ridge)
        (_, regularized), _ = loss_and_gradient(params, problem)
        sampled = softmax.sampled_loss(params, problem)  # of four blocks of three rows: all of them
        np.testing.assert_allclose(sampled, regularized, rtol=1e-5)
        losses.append(float(regularized))
    np.testing.assert_allclose(problem.share, np.array([dense.sum(1), dense.sum(0)]) / dense.sum(), rtol=1e-5)
    norm = sum(float((table**2).sum()) for table in params)
    np.testing.assert_allclose(losses[1] - losses[0], 0.25 * norm / dense.sum(), rtol=1e-3)


def test_the_sample_is_four_blocks_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax, "BLOCK_ROWS", 1)
    dense, params, problem = asymmetric(ridge=0.0)
    chosen = np.asarray(problem.blocks.centers)[::3].ravel()
    assert len(chosen) == 4
    rows = dense[chosen]
    log_y_hat = jax.nn.log_softmax(np.asarray(params.center)[chosen] @ np.asarray(params.outside).T, axis=1)
    np.testing.assert_allclose(softmax.sampled_loss(params, problem), -(rows * log_y_hat).sum() / rows.sum(), rtol=1e-5)


def test_the_gradient_is_of_the_regularized_loss() -> None:
    _, params, problem = asymmetric(ridge=50.0)
    by_autodiff = jax.grad(lambda params: softmax.sampled_loss(params, problem))(params)  # all four blocks
    chex.assert_trees_all_close(loss_and_gradient(params, problem)[1], by_autodiff, rtol=1e-4, atol=1e-6)


def test_a_pass_gives_the_optimizer_the_regularized_loss() -> None:
    _, params, problem = asymmetric(ridge=50.0)
    extra_args: dict[str, Any] = {}

    def update(gradient: Params, state: Any, params: Params, **extra: Any) -> tuple[Params, Any]:
        extra_args.update(extra, gradient=gradient)
        return jax.tree.map(lambda g: -g, gradient), state

    optimizer = optax.GradientTransformationExtraArgs(lambda params: None, update)
    ((nats, _), norm), moved, _ = make_pass(optimizer)(params, None, problem)
    (loss, regularized), gradient = loss_and_gradient(params, problem)
    assert (nats, extra_args["value"]) == (loss, regularized)
    assert extra_args["value_fn"](params) == softmax.sampled_loss(params, problem)
    assert norm == optax.tree.norm(gradient)
    chex.assert_trees_all_equal(moved, jax.tree.map(lambda p, g: p - g, params, gradient))
    assert abs(float(regularized - loss)) > 0.01
