"""Row-sparse optax against dense optax."""

from collections.abc import Callable, Iterator

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.training import rows as rows_module
from w2v_jax.training.rows import ParamRows, Rows, apply_rows, row_sparse, sum_duplicates

V, D = 9, 3
ALWAYS = {
    "sgd": lambda: optax.sgd(0.1),
    "sgd, scheduled": lambda: optax.sgd(optax.linear_schedule(0.5, 0.0, 7)),
    "adagrad": lambda: optax.adagrad(0.3),
    "clipped by global norm": lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.adagrad(0.3)),
}
WHEN_TOUCHED = {
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "adam": lambda: optax.adam(0.1),
    "adamw": lambda: optax.adamw(0.1),
}


def tables(seed: int) -> Params:
    rng = np.random.default_rng(seed)
    return Params(*(jnp.asarray(rng.normal(size=(V, D)), jnp.float32) for _ in range(2)))


def gradient(seed: int, *, every_row: bool) -> ParamRows:
    """Some rows, with repeats; with every row among them if asked."""
    rng = np.random.default_rng(seed)
    ids = [
        np.concatenate([rng.permutation(V) if every_row else [], rng.integers(0, V, 6)]).astype(np.int32)
        for _ in range(2)
    ]
    return ParamRows(
        *(Rows(jnp.asarray(i), jnp.asarray(rng.normal(size=(len(i), D)), jnp.float32), jnp.ones(len(i))) for i in ids)
    )


@jax.jit
def dense(rows: ParamRows) -> Params:
    return Params(*(jnp.zeros((V, D)).at[some.ids].add(some.values) for some in rows))


@pytest.fixture(autouse=True)
def optax_promotes() -> Iterator[None]:
    """Optax's Adam raises a float to an integer's power."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def train_both(make: Callable[[], optax.GradientTransformation], *, every_row: bool) -> tuple[Params, Params]:
    sparse, plain = row_sparse(make()), make()
    sparse_params = plain_params = tables(0)
    sparse_state, plain_state = sparse.init(sparse_params), plain.init(plain_params)
    plain_update, sparse_update = (jax.jit(optimizer.update) for optimizer in (plain, sparse))
    for step in range(6):
        rows = gradient(step, every_row=every_row)
        updates, sparse_state = sparse_update(rows, sparse_state, sparse_params)
        sparse_params = apply_rows(sparse_params, updates)
        updates, plain_state = plain_update(dense(rows), plain_state, plain_params)
        plain_params = optax.apply_updates(plain_params, updates)
    chex.assert_trees_all_equal_shapes_and_dtypes(sparse_state, plain_state)
    return sparse_params, plain_params


@pytest.mark.parametrize("make", ALWAYS.values(), ids=ALWAYS)
@pytest.mark.parametrize("every_row", [False, True])
def test_equal_to_dense_always(make: Callable[[], optax.GradientTransformation], every_row: bool) -> None:
    chex.assert_trees_all_close(*train_both(make, every_row=every_row), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", WHEN_TOUCHED.values(), ids=WHEN_TOUCHED)
def test_equal_to_dense_on_rows_touched_at_every_step(make: Callable[[], optax.GradientTransformation]) -> None:
    chex.assert_trees_all_close(*train_both(make, every_row=True), rtol=1e-5, atol=1e-6)
    with pytest.raises(AssertionError):  # and only there: an untouched row waits
        chex.assert_trees_all_close(*train_both(make, every_row=False), rtol=1e-5, atol=1e-6)


def test_adagrad_must_see_a_repeated_rows_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "sum_duplicates", lambda rows: rows)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(*train_both(ALWAYS["adagrad"], every_row=False), rtol=1e-5, atol=1e-6)


def test_a_row_of_no_id_moves_nothing() -> None:
    rows = Rows(jnp.array([V, 2, V], jnp.int32), jnp.ones((3, D)), jnp.ones(3))
    sparse = row_sparse(optax.adam(1.0))
    params = tables(1)
    updates, state = sparse.update(ParamRows(rows, rows), sparse.init(params), params)
    moved = apply_rows(params, updates)
    np.testing.assert_array_equal(np.flatnonzero((moved.center != params.center).any(1)), [2])
    momentum = state[0].mu.center  # type: ignore[index, union-attr]
    np.testing.assert_array_equal(np.flatnonzero(momentum.any(1)), [2])


def test_duplicates_are_summed() -> None:
    ids, values = jnp.array([5, 0, 5, 7, 0, 5], jnp.int32), jnp.arange(12.0).reshape(6, 2)
    summed = sum_duplicates(Rows(ids, values, jnp.ones(6)))
    np.testing.assert_array_equal(summed.ids[:3], [0, 5, 7])
    assert (summed.ids[3:] >= V).all()
    np.testing.assert_array_equal(summed.values[:3], [[10, 12], [14, 17], [6, 7]])
    assert not summed.values[3:].any()
    np.testing.assert_array_equal(summed.curvature, [2, 3, 1, 0, 0, 0])


@pytest.mark.parametrize("make", [lambda: optax.adafactor(0.1), lambda: optax.sm3(0.1), lambda: optax.novograd(0.1)])
def test_an_optimizer_whose_state_is_not_rows_is_refused(make: Callable[[], optax.GradientTransformation]) -> None:
    params = Params(jnp.zeros((300, 200)), jnp.zeros((300, 200)))
    with pytest.raises(InputError, match="this optimizer keeps other state"):
        row_sparse(make()).init(params)
