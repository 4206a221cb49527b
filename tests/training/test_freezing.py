"""Frozen rows, and what an optimizer keeps of them, stay to the bit; the others move as if nothing were frozen."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.params import Params, init_params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.freezing import Frozen, freeze
from w2v_jax.training.loop import train
from w2v_jax.training.rows import ParamRows, Rows, RowSparse, apply_rows, row_sparse
from w2v_jax.training.sgd import bounded_sgd

V, D = 6, 2
FROZEN = Frozen(np.arange(V) < 2, np.arange(V) % 3 == 0)
OPTIMIZERS = {
    "adagrad": optax.adagrad(0.1),
    "momentum, wrapped": row_sparse(optax.sgd(0.1, momentum=0.9)),
    "the default": bounded_sgd(optax.constant_schedule(0.1)),
    "clipped by global norm": optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1)),
}
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def gradient(seed: int) -> ParamRows:
    """Every row twice, and no row."""
    rng = np.random.default_rng(seed)
    ids = jnp.asarray([*range(V + 1), *range(V)], jnp.int32)
    values = [jnp.asarray(rng.normal(size=(len(ids), D)), jnp.float32) for _ in range(2)]
    return ParamRows(*(Rows(ids, some, jnp.ones(len(ids), jnp.float32)) for some in values))


@every_optimizer
def test_frozen_rows_and_their_state_stay_to_the_bit(optimizer: optax.GradientTransformation) -> None:
    rng = np.random.default_rng(3)
    start = Params(*(jnp.asarray(rng.normal(size=(V, D)), jnp.float32) for _ in range(2)))
    frozen = freeze(optimizer, FROZEN)
    plain = optimizer if isinstance(optimizer, RowSparse) else row_sparse(optimizer)
    updates, state = plain.update(gradient(9), plain.init(start), start)  # so that there is momentum to hold back
    params = start = apply_rows(start, updates)
    first = jax.tree.leaves(jax.tree.map(np.array, state))
    update = jax.jit(frozen.update, donate_argnums=1)
    for seed in range(4):
        updates, state = update(gradient(seed), state, params)
        params = apply_rows(params, updates)
    for mask, now, before in zip(FROZEN, params, start, strict=True):
        np.testing.assert_array_equal((np.asarray(now) == np.asarray(before)).all(1), mask)
    tables = [(now, before) for now, before in zip(jax.tree.leaves(state), first, strict=True) if now.ndim]
    for mask, (now, before) in zip(FROZEN, tables, strict=False):
        np.testing.assert_array_equal((np.asarray(now) == np.asarray(before)).all(1), mask)


@every_optimizer
def test_the_others_move_as_if_the_frozen_had_no_gradient(optimizer: optax.GradientTransformation) -> None:
    """What is reckoned over all rows, such as a norm, is reckoned without the frozen ones."""
    start = init_params(jax.random.key(0), V, D)
    frozen = freeze(optimizer, FROZEN)
    plain = optimizer if isinstance(optimizer, RowSparse) else row_sparse(optimizer)
    rows = gradient(1)
    cleared = ParamRows(*(
        Rows(some.ids, jnp.where(mask[np.minimum(some.ids, V - 1)][:, None] & (some.ids < V)[:, None], 0, some.values),
             jnp.where(mask[np.minimum(some.ids, V - 1)] & (some.ids < V), 0, some.curvature))
        for some, mask in zip(rows, map(jnp.asarray, FROZEN), strict=True)
    ))  # fmt: skip
    (found, _), (expected, _) = (
        optimizer.update(gradient, optimizer.init(start), start)
        for optimizer, gradient in ((frozen, rows), (plain, cleared))
    )
    for mask, now, then in zip(FROZEN, apply_rows(start, found), apply_rows(start, expected), strict=True):
        np.testing.assert_allclose(now[~mask], then[~mask], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("objective", "optimizer"), [("negative-sampling", None), ("softmax", optax.sgd(0.001, momentum=0.9))]
)
def test_a_training_leaves_frozen_rows_alone(
    objective: str, optimizer: optax.GradientTransformation | None, corpus: Corpus
) -> None:
    size = len(corpus.vocabulary)
    config = TrainConfig(dim=8, window=3, epochs=1, sample=0.0, block=64, noise=16, objective=objective)
    params = Params(*(init_params(jax.random.key(seed), size, 8).center for seed in range(2)))
    frozen = Frozen(np.arange(size) % 2 == 0, np.arange(size) < 3)
    done = train(corpus, config, optimizer=optimizer, params=params, frozen=frozen)
    assert done.params is not None
    for mask, now, before in zip(frozen, done.params, params, strict=True):
        np.testing.assert_array_equal((np.asarray(now) == np.asarray(before)).all(1), mask)


def test_masks_of_another_size_are_refused(corpus: Corpus) -> None:
    mask = np.ones(3, bool)
    with pytest.raises(InputError, match=r"^frozen has the shapes \(3,\) and \(3,\); 12 words need \(12,\) twice$"):
        train(corpus, TrainConfig(dim=8), params=init_params(jax.random.key(0), 12, 8), frozen=Frozen(mask, mask))


def test_rows_that_nobody_gave_cannot_stay(corpus: Corpus) -> None:
    mask = np.ones(12, bool)
    with pytest.raises(InputError, match=r"^frozen keeps rows of params as they are; give those tables$"):
        train(corpus, TrainConfig(dim=8), frozen=Frozen(mask, mask))
