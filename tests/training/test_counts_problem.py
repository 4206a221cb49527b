"""The loss of counts: in nats a target, with the ridge's share, whole or as some blocks tell it."""

from typing import Any

import chex
import jax
import numpy as np
import optax
import pytest
from scipy import sparse

from w2v_jax.config import TrainConfig
from w2v_jax.params import Params
from w2v_jax.text.cooccurrence import Cooccurrence
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import counts_problem
from w2v_jax.training.coarse_to_fine import start_from_ppmi
from w2v_jax.training.counts_problem import loss_and_gradient, make_pass, make_problem, sampled_loss

pytestmark = pytest.mark.usefixtures("several_blocks")


def test_the_sampled_loss_is_near_the_loss(corpus: Corpus) -> None:
    counts = Cooccurrence.from_corpus(corpus, TrainConfig(window=3, sample=0.0))
    problem, params = make_problem(counts), start_from_ppmi(counts, 8, seed=0)
    (_, ridged), _ = loss_and_gradient(params, problem)
    assert abs(float(sampled_loss(params, problem)) - float(ridged)) < 0.3


def lopsided() -> Cooccurrence:
    """Counts whose rows and columns have other sums, as no window makes them."""
    matrix = sparse.csr_array(np.triu(np.random.default_rng(0).uniform(1, 9, (12, 12))).astype(np.float32))
    return Cooccurrence(matrix.indptr[1:].astype(np.int64), matrix.indices, matrix.data)


def test_the_shares_are_of_centers_and_of_outside_words() -> None:
    counts = lopsided()
    dense, problem = counts.matrix.toarray(), make_problem(counts)
    np.testing.assert_allclose(problem.center_share, dense.sum(1) / dense.sum(), rtol=1e-5)
    np.testing.assert_allclose(problem.outside_share, dense.sum(0) / dense.sum(), rtol=1e-5)
    params = start_from_ppmi(counts, 5, seed=0)
    losses = []
    for number in (0.0, 0.5):  # of targets, as the ridge
        problem = make_problem(counts, ridge=number)
        (_, ridged), _ = loss_and_gradient(params, problem)
        some = sampled_loss(params, problem)  # four blocks of three rows: all of them
        np.testing.assert_allclose(some, ridged, rtol=1e-5)
        losses.append(float(ridged))
    norm = sum(float((table**2).sum()) for table in params)
    np.testing.assert_allclose(losses[1] - losses[0], 0.25 * norm / dense.sum(), rtol=1e-3)


def test_the_sample_is_of_blocks_that_lie_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve blocks of one row: those of every third, in nats of their own targets."""
    monkeypatch.setattr(counts_problem, "ROWS", 1)
    counts = lopsided()
    params, problem = start_from_ppmi(counts, 5, seed=0), make_problem(counts, ridge=0.0)
    chosen = np.asarray(problem.blocks.centers)[::3].ravel()
    assert len(chosen) == 4
    seen = counts.matrix.toarray()[chosen]
    log_y_hat = jax.nn.log_softmax(np.asarray(params.center)[chosen] @ np.asarray(params.outside).T, axis=1)
    np.testing.assert_allclose(sampled_loss(params, problem), -(seen * log_y_hat).sum() / seen.sum(), rtol=1e-5)


def test_the_gradient_is_that_of_the_ridged_loss() -> None:
    counts = lopsided()
    params, problem = start_from_ppmi(counts, 5, seed=0), make_problem(counts, ridge=50.0)
    by_autodiff = jax.grad(lambda params: sampled_loss(params, problem))(params)  # all four blocks
    chex.assert_trees_all_close(loss_and_gradient(params, problem)[1], by_autodiff, rtol=1e-4, atol=1e-6)


def test_a_pass_tells_the_optimizer_the_ridged_loss_and_us_the_plain_one() -> None:
    counts = lopsided()
    params, problem = start_from_ppmi(counts, 5, seed=0), make_problem(counts, ridge=50.0)
    told: dict[str, Any] = {}

    def update(gradient: Params, state: Any, params: Params, **extra: Any) -> tuple[Params, Any]:
        told.update(extra, gradient=gradient)
        return jax.tree.map(lambda g: -g, gradient), state

    optimizer = optax.GradientTransformationExtraArgs(lambda params: None, update)
    ((nats, _), norm), moved, _ = make_pass(optimizer)(params, None, problem)
    (loss, ridged), gradient = loss_and_gradient(params, problem)
    assert (nats, told["value"], told["value_fn"](params)) == (loss, ridged, sampled_loss(params, problem))
    assert norm == optax.tree.norm(gradient)
    chex.assert_trees_all_equal(moved, jax.tree.map(lambda p, g: p - g, params, gradient))
    assert abs(float(ridged - loss)) > 0.01
