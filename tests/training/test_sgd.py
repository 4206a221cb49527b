"""SGD that stays where plain SGD flies off, and is plain SGD everywhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TextConfig, TrainConfig
from w2v_jax.params import Params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.loop import default_optimizer, train
from w2v_jax.training.reports import Report
from w2v_jax.training.rows import ParamRows, Rows, apply_rows
from w2v_jax.training.sgd import bounded_sgd, total_curvature


def moved(rows: Rows, lr: float) -> jax.Array:
    """How a table of zeros moves."""
    optimizer = bounded_sgd(optax.constant_schedule(lr))
    params = Params(jnp.zeros((9, 2)), jnp.zeros((9, 2)))
    updates, _ = optimizer.update(ParamRows(rows, rows), optimizer.init(params), params)
    return apply_rows(params, updates).center


def test_where_little_is_at_stake_it_is_sgd() -> None:
    rows = Rows(jnp.array([1, 4, 1], jnp.int32), jnp.arange(6.0).reshape(3, 2), jnp.full(3, 0.5))
    expected = jnp.zeros((9, 2)).at[rows.ids].add(-0.1 * rows.values)
    np.testing.assert_allclose(moved(rows, 0.1), expected, rtol=1e-6)


def test_a_row_goes_no_further_than_its_curvature_allows() -> None:
    # ½·40·(x − 1)², given as four terms: gradient −40 at x = 0, curvature 40; the minimum is at 1.
    rows = Rows(jnp.full(4, 3, jnp.int32), jnp.full((4, 2), -10.0), jnp.full(4, 10.0))
    np.testing.assert_allclose(moved(rows, 1e9)[3], 1.0, rtol=1e-6)
    np.testing.assert_allclose(moved(rows, 0.01)[3], 0.4, rtol=1e-6)


def test_curvature_is_summed_over_the_places_of_an_id() -> None:
    ids = jnp.array([5, 7, 5, 5 + (1 << 16), 5], jnp.int32)
    rows = Rows(ids, jnp.zeros((5, 1)), jnp.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    for step in range(5):
        np.testing.assert_array_equal(total_curvature(rows, jnp.int32(step))[:2], [9, 2])


def test_which_ids_share_a_slot_changes_with_the_step() -> None:
    ids = jnp.arange(300_000, dtype=jnp.int32)[:: 1 << 10]
    rows = Rows(ids, jnp.zeros((len(ids), 1)), jnp.ones(len(ids)))
    shared = [np.asarray(total_curvature(rows, jnp.int32(step))) > 1 for step in range(20)]
    assert not np.logical_and.reduce(shared).any()
    assert np.mean(shared) < 0.05


@pytest.mark.parametrize("objective", ["negative-sampling", "naive-softmax"])
def test_a_vocabulary_of_three_words_does_not_throw_it_off(objective: str) -> None:
    rng = np.random.default_rng(0)
    corpus = Corpus.from_sentences([list(rng.choice(["a", "b", "c"], 40)) for _ in range(300)], TextConfig(min_count=1))
    config = TrainConfig(dim=8, sample=0.0, lr=0.5, block=1024, objective=objective)  # type: ignore[arg-type]
    reports: list[Report] = []
    train(corpus, config, callbacks=[lambda report, params: reports.append(report)])
    at_random = np.log(3) if objective == "naive-softmax" else 6 * np.log(2)
    assert reports[-1].loss < at_random + 0.1
    with pytest.raises(FloatingPointError):
        train(corpus, config, optimizer=optax.sgd(0.5))


def test_the_default_optimizer_takes_its_rate_from_the_config() -> None:
    corpus = Corpus.from_sentences([["a", "b"]] * 9)
    optimizer = default_optimizer(corpus, TrainConfig(lr=0.003))
    params = Params(jnp.zeros((2, 1)), jnp.zeros((2, 1)))
    rows = Rows(jnp.array([1], jnp.int32), jnp.ones((1, 1)), jnp.zeros(1))
    updates, _ = optimizer.update(ParamRows(rows, rows), optimizer.init(params), params)
    np.testing.assert_allclose(updates.center.values, -0.003, rtol=1e-6)
