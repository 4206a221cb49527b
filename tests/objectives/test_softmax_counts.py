"""The count form is the sum over all pairs of a corpus of the naive softmax loss."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse

from w2v_jax.config import TextConfig, TrainConfig
from w2v_jax.objectives.softmax import naive_softmax_loss
from w2v_jax.objectives.softmax_counts import CountBlocks, count_blocks, softmax_counts_loss
from w2v_jax.params import Params
from w2v_jax.text.cooccurrence import Cooccurrence
from w2v_jax.text.corpus import Corpus


def blocks_of(matrix: Any, rows: int) -> CountBlocks:
    csr = sparse.csr_array(matrix)
    return count_blocks(csr.indptr[1:], csr.indices, csr.data, rows=rows)


def random_params(vocab_size: int, dim: int, scale: float, dtype: str) -> Params:
    rng = np.random.default_rng(0)
    return Params(*(jnp.asarray(scale * rng.normal(size=(vocab_size, dim)), dtype) for _ in range(2)))


def test_loss_and_gradient_are_the_sum_over_a_corpus_s_pairs() -> None:
    """Every pair of a text, one at a time, with window 2: the reference and `jax.grad` of it."""
    rng = np.random.default_rng(1)
    lines = [[f"w{i}" for i in rng.zipf(1.5, rng.integers(1, 9)) if i < 12] for _ in range(12)]
    corpus = Corpus.from_sentences(lines, TextConfig(min_count=1))
    counts = Cooccurrence.from_corpus(corpus, TrainConfig(window=2, sample=0.0))
    pairs, start = [], 0
    for end in corpus.line_ends:
        line = corpus.ids[start:end].tolist()
        pairs += [(c, o, 1.0 if abs(i - j) == 1 else 0.5)
                  for i, c in enumerate(line) for j, o in enumerate(line) if 0 < abs(i - j) <= 2]  # fmt: skip
        start = end
    with jax.enable_x64(True):
        params = random_params(len(corpus.vocabulary), 4, 1.0, "float64")
        blocks = count_blocks(counts.row_ends, counts.columns, counts.values.astype(np.float64), rows=5)
        loss, gradient = jax.jit(softmax_counts_loss)(params, blocks)

        def summed(params: Params) -> jax.Array:
            of_pair = lambda c, o, share: share * naive_softmax_loss(params.center[c], o, params.outside)
            return jax.vmap(of_pair)(*map(jnp.array, zip(*pairs, strict=True))).sum()

        expected, by_autodiff = jax.jit(jax.value_and_grad(summed))(params)
        np.testing.assert_allclose(loss.sum(), expected, rtol=1e-9)
        chex.assert_trees_all_close(gradient, by_autodiff, rtol=1e-9, atol=1e-11)
        swapped = Params(gradient.outside, gradient.center)
        with pytest.raises(AssertionError):
            chex.assert_trees_all_close(swapped, by_autodiff, rtol=1e-9, atol=1e-11)


def dense_loss(params: Params, matrix: np.ndarray) -> jax.Array:
    return -(jnp.asarray(matrix) * jax.nn.log_softmax(params.center @ params.outside.T, axis=1)).sum()


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 20])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_any_number_of_rows_and_size_of_scores(rows: int, scale: float, dtype: str) -> None:
    """With scores of a thousand the exponentials need their shift; a row of no counts adds nothing."""
    rng = np.random.default_rng(2)
    matrix = rng.poisson(0.5, (8, 8)) * rng.uniform(1, 50, (8, 8)).astype(dtype)
    matrix[3] = 0
    params = random_params(8, 3, scale, dtype)
    loss, gradient = jax.jit(softmax_counts_loss)(params, blocks_of(matrix, rows))
    expected, by_autodiff = jax.jit(jax.value_and_grad(dense_loss))(params, matrix)
    tolerance = 1e-9 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(loss.sum(), expected, rtol=tolerance)
    assert loss[3] == 0
    atol = tolerance * float(jnp.abs(by_autodiff.center).max())
    chex.assert_trees_all_close(gradient, by_autodiff, rtol=tolerance, atol=atol)


def test_one_word() -> None:
    loss, gradient = softmax_counts_loss(random_params(1, 2, 1.0, "float32"), blocks_of(np.full((1, 1), 3.0), 4))
    np.testing.assert_allclose(loss, [0], atol=1e-6)
    chex.assert_trees_all_close(gradient, jax.tree.map(jnp.zeros_like, gradient), atol=1e-6)


def test_rows_are_dealt_like_cards() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.poisson(0.3, (11, 11)).astype(np.float32)
    blocks = blocks_of(matrix, 4)
    assert blocks.centers.tolist() == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    for block in range(3):
        tile = np.zeros(11 * 4 + 1)
        np.add.at(tile, np.minimum(blocks.places[block], 44), blocks.counts[block])
        for b, center in enumerate(blocks.centers[block].tolist()):
            row = matrix[center] if center < 11 else 0 * matrix[0]
            np.testing.assert_array_equal(tile[:-1].reshape(11, 4)[:, b], row)
        assert (np.diff(blocks.places[block]) >= 0).all()


def test_nothing_of_v_times_v_is_held() -> None:
    vocab_size, rows = 2000, 20
    matrix = sparse.random_array((vocab_size, vocab_size), density=1e-3, rng=np.random.default_rng(0), format="csr")
    blocks = count_blocks(matrix.indptr[1:], matrix.indices, matrix.data.astype(np.float32), rows=rows)
    params = random_params(vocab_size, 4, 1.0, "float32")
    memory = jax.jit(softmax_counts_loss).lower(params, blocks).compile().memory_analysis()
    assert memory is not None
    tile, tables = 4 * vocab_size * rows, 2 * 4 * vocab_size * 4
    assert memory.temp_size_in_bytes < 3 * tile + 3 * tables


def test_a_rare_row_of_large_scores_has_its_gradient() -> None:
    params = Params(*(jnp.full((8, 2), np.sqrt(59.3 / 2), jnp.float32) for _ in range(2)))
    matrix = np.eye(8, k=1)
    matrix[0] *= 1e-12
    loss, gradient = jax.jit(softmax_counts_loss)(params, blocks_of(matrix, 3))
    expected, by_autodiff = jax.value_and_grad(dense_loss)(params, matrix.astype(np.float32))
    np.testing.assert_allclose(loss.sum(), expected, rtol=1e-5)
    chex.assert_tree_all_finite(gradient)
    chex.assert_trees_all_close(gradient, by_autodiff, rtol=1e-4, atol=1e-5)
