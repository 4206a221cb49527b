"""Bounded SGD equals plain SGD where curvature is small, and stays where plain SGD diverges."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TextConfig, TrainConfig
from w2v_jax.distributed.gather import RowUpdates, scatter_add
from w2v_jax.params import Params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.bounded_sgd import bounded_sgd
from w2v_jax.training.loop import default_optimizer, train
from w2v_jax.training.reports import Report
from w2v_jax.training.row_sparse import row_sparse


def step_from_zeros(rows: RowUpdates, lr: float, *, merge_duplicates: bool) -> jax.Array:
    """Return a table of zeros after one step."""
    optimizer = row_sparse(bounded_sgd(optax.constant_schedule(lr)), merge_duplicates=merge_duplicates)
    tables = Params(jnp.zeros((9, 2)), jnp.zeros((9, 2)))
    updates, _ = optimizer.update(Params(rows, rows), optimizer.init(tables), tables, step=jnp.int32(0))
    return scatter_add(tables, updates).center


@pytest.mark.parametrize("merge_duplicates", [False, True])
def test_equals_sgd_up_to_the_minimum_of_a_row(merge_duplicates: bool) -> None:
    rows = RowUpdates(jnp.array([1, 4, 1], jnp.int32), jnp.arange(6.0).reshape(3, 2), jnp.full(3, 0.5))
    expected = jnp.zeros((9, 2)).at[rows.ids].add(-0.1 * rows.values)
    np.testing.assert_allclose(step_from_zeros(rows, 0.1, merge_duplicates=merge_duplicates), expected, rtol=1e-6)
    # ½·40·(x − 1)², given as four terms: gradient −40 at x = 0, curvature 40; the minimum is at 1.
    rows = RowUpdates(jnp.full(4, 3, jnp.int32), jnp.full((4, 2), -10.0), jnp.full(4, 10.0))
    for lr, expected_row in ((1e9, 1.0), (0.01, 0.4)):
        table = step_from_zeros(rows, lr, merge_duplicates=merge_duplicates)
        np.testing.assert_allclose(table[3], expected_row, rtol=1e-6)


@pytest.mark.parametrize("objective", ["negative-sampling", "naive-softmax"])
def test_a_vocabulary_of_three_words_stays_finite(objective: str) -> None:
    rng = np.random.default_rng(0)
    corpus = Corpus.from_sentences([list(rng.choice(["a", "b", "c"], 40)) for _ in range(300)], TextConfig(min_count=1))
    config = TrainConfig(dim=8, sample=0.0, lr=0.5, objective=objective)
    reports: list[Report] = []
    train(corpus, config, callbacks=[lambda report, _: reports.append(report)])
    at_random = np.log(3) if objective == "naive-softmax" else 6 * np.log(2)
    assert reports[-1].loss < at_random + 0.1
    with pytest.raises(FloatingPointError):
        train(corpus, config, optimizer=optax.sgd(0.5))


def test_the_default_optimizer_takes_its_rate_from_the_config() -> None:
    corpus = Corpus.from_sentences([["a", "b"]] * 9)
    optimizer = default_optimizer(corpus, TrainConfig(lr=0.003))
    tables = Params(jnp.zeros((2, 1)), jnp.zeros((2, 1)))
    rows = RowUpdates(jnp.array([1], jnp.int32), jnp.ones((1, 1)), jnp.zeros(1))
    updates, _ = optimizer.update(Params(rows, rows), optimizer.init(tables), tables, step=jnp.int32(0))
    np.testing.assert_allclose(updates.center.values, -0.003, rtol=1e-6)
