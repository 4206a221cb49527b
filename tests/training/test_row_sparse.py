"""Row-sparse optimizers equal dense optax on the rows that a step touches, and leave frozen rows alone."""

import contextlib
import itertools
from collections.abc import Callable, Iterator

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.distributed.gather import RowUpdates, drop_rows, scatter_add
from w2v_jax.errors import InputError
from w2v_jax.params import PAD_ID, Params
from w2v_jax.training.bounded_sgd import bounded_sgd
from w2v_jax.training.row_sparse import row_sparse, sum_duplicates, total_curvature

V, D = 9, 3
Make = Callable[[], optax.GradientTransformation]
EXACT: dict[str, Make] = {
    "sgd": lambda: optax.sgd(0.1),
    "scheduled sgd": lambda: optax.sgd(optax.linear_schedule(0.5, 0.0, 7)),
    "adagrad": lambda: optax.adagrad(0.3),
    "clipped by global norm": lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.adagrad(0.3)),
}
EXACT_WHERE_TOUCHED: dict[str, Make] = {
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "adam": lambda: optax.adam(0.1),
    "adamw": lambda: optax.adamw(0.1),
}
FROZEN = Params(np.arange(V) < 2, np.arange(V) % 3 == 0)
FREEZABLE = {
    "adagrad": row_sparse(optax.adagrad(0.1)),
    "momentum": row_sparse(optax.sgd(0.1, momentum=0.9)),
    "bounded sgd": row_sparse(bounded_sgd(0.1), merge_duplicates=False),
    "clipped by global norm": row_sparse(optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1))),
}


@pytest.fixture(autouse=True)
def promote_like_optax() -> Iterator[None]:
    """Optax's Adam raises a float to an integer power."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def random_tables(seed: int) -> Params:
    rng = np.random.default_rng(seed)
    return Params(*(jnp.asarray(rng.normal(size=(V, D)), jnp.float32) for _ in range(2)))


def gradient(seed: int, *, every_row: bool) -> Params:
    """Return gradients of repeated rows and of no row; with `every_row`, every row is among them."""
    rng = np.random.default_rng(seed)

    def of_table() -> RowUpdates:
        rows = [rng.permutation(V) if every_row else [], rng.integers(0, V, 6), [PAD_ID]]
        ids = jnp.asarray(np.concatenate(rows), jnp.int32)
        values = jnp.asarray(rng.normal(size=(len(ids), D)), jnp.float32).at[-1].set(0)
        return RowUpdates(ids, values, jnp.ones(len(ids)))

    return Params(of_table(), of_table())


@jax.jit
def dense(updates: Params) -> Params:
    return Params(*(jnp.zeros((V, D)).at[rows.ids].add(rows.values, mode="drop") for rows in updates))


def train_both(make: Make, *, every_row: bool) -> tuple[Params, Params]:
    sparse, plain = row_sparse(make()), make()
    sparse_tables = plain_tables = random_tables(0)
    sparse_state, plain_state = sparse.init(sparse_tables), plain.init(plain_tables)
    plain_update, sparse_update = jax.jit(plain.update), jax.jit(sparse.update)
    for step in range(6):
        rows = gradient(step, every_row=every_row)
        updates, sparse_state = sparse_update(rows, sparse_state, sparse_tables, step=jnp.int32(step))
        sparse_tables = scatter_add(sparse_tables, updates)
        updates, plain_state = plain_update(dense(rows), plain_state, plain_tables)
        plain_tables = optax.apply_updates(plain_tables, updates)
    chex.assert_trees_all_equal_shapes_and_dtypes(sparse_state, plain_state)
    return sparse_tables, plain_tables


@pytest.mark.parametrize("name", [*EXACT, *EXACT_WHERE_TOUCHED])
def test_equals_the_dense_optimizer_on_rows_touched_at_every_step_or_on_all(name: str) -> None:
    make = {**EXACT, **EXACT_WHERE_TOUCHED}[name]
    chex.assert_trees_all_close(*train_both(make, every_row=True), rtol=1e-5, atol=1e-6)
    with contextlib.nullcontext() if name in EXACT else pytest.raises(AssertionError):  # an untouched row waits
        chex.assert_trees_all_close(*train_both(make, every_row=False), rtol=1e-5, atol=1e-6)


def test_padding_moves_no_row() -> None:
    rows = RowUpdates(jnp.array([PAD_ID, 2, PAD_ID], jnp.int32), jnp.ones((3, D)), jnp.ones(3))
    sparse, tables = row_sparse(optax.adam(1.0)), random_tables(1)
    updates, state = sparse.update(Params(rows, rows), sparse.init(tables), tables, step=jnp.int32(0))
    moved = scatter_add(tables, updates)
    np.testing.assert_array_equal(np.flatnonzero((moved.center != tables.center).any(1)), [2])
    momentum = state[0].mu.center  # type: ignore[index, union-attr]
    np.testing.assert_array_equal(np.flatnonzero(momentum.any(1)), [2])


def test_duplicates_are_summed() -> None:
    ids, values = jnp.array([5, 0, 5, 7, 0, 5], jnp.int32), jnp.arange(12.0).reshape(6, 2)
    summed = sum_duplicates(RowUpdates(ids, values, jnp.ones(6)))
    np.testing.assert_array_equal(summed.ids, [0, 5, 7, PAD_ID, PAD_ID, PAD_ID])
    np.testing.assert_array_equal(summed.values[:3], [[10, 12], [14, 17], [6, 7]])
    assert not summed.values[3:].any()
    np.testing.assert_array_equal(summed.curvature, [2, 3, 1, 0, 0, 0])


def test_curvature_is_summed_over_all_places_of_an_id() -> None:
    ids = jnp.array([5, 7, 5, 5 + (1 << 16), 5], jnp.int32)
    rows = RowUpdates(ids, jnp.zeros((5, 1)), jnp.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    for step in range(5):
        np.testing.assert_array_equal(total_curvature(rows, jnp.int32(step))[:2], [9, 2])


def test_ids_that_share_a_curvature_slot_change_with_the_step() -> None:
    ids = jnp.arange(300_000, dtype=jnp.int32)[:: 1 << 10]
    rows = RowUpdates(ids, jnp.zeros((len(ids), 1)), jnp.ones(len(ids)))
    is_shared = [np.asarray(total_curvature(rows, jnp.int32(step))) > 1 for step in range(20)]
    assert not np.logical_and.reduce(is_shared).any()
    assert np.mean(is_shared) < 0.05


@pytest.mark.parametrize("make", [lambda: optax.adafactor(0.1), lambda: optax.sm3(0.1), lambda: optax.novograd(0.1)])
def test_optimizers_without_a_state_for_each_row_are_refused(make: Make) -> None:
    tables = Params(jnp.zeros((300, 200)), jnp.zeros((300, 200)))
    with pytest.raises(InputError, match="^an optimizer's state must be step counts .*; give one such as"):
        row_sparse(make()).init(tables)


@pytest.mark.parametrize("name", FREEZABLE)
def test_frozen_rows_and_their_state_keep_their_bits(name: str) -> None:
    optimizer, tables = FREEZABLE[name], random_tables(3)
    update = jax.jit(optimizer.update)
    updates, state = update(gradient(9, every_row=True), optimizer.init(tables), tables, step=jnp.int32(0))
    tables = scatter_add(tables, updates)
    before = tables, state  # with a momentum that is not zero
    for seed in range(4):
        dropped = drop_rows(gradient(seed, every_row=True), FROZEN)
        updates, state = update(dropped, state, tables, step=jnp.int32(seed + 1))
        tables = scatter_add(tables, updates)
    leaves = zip(jax.tree.leaves((tables, state)), jax.tree.leaves(before), strict=True)
    by_rows = [(new, old) for new, old in leaves if new.ndim]
    assert len(by_rows) == (4 if name in ("adagrad", "momentum") else 2)
    for mask, (new, old) in zip(itertools.cycle(FROZEN), by_rows):
        np.testing.assert_array_equal((np.asarray(new) == np.asarray(old)).all(1), mask)


@pytest.mark.parametrize("name", FREEZABLE)
def test_other_rows_move_as_if_frozen_rows_had_no_gradient(name: str) -> None:
    """A norm over all rows leaves the frozen rows out."""
    optimizer, tables, updates = FREEZABLE[name], random_tables(0), gradient(1, every_row=True)

    def clear(mask: np.ndarray, rows: RowUpdates) -> RowUpdates:
        kept = ~jnp.asarray(mask)[np.minimum(rows.ids, V - 1)]
        return RowUpdates(rows.ids, kept[:, None] * rows.values, jnp.where(kept, rows.curvature, 0))

    cleared = Params(*map(clear, FROZEN, updates))
    moved, expected = (
        scatter_add(tables, optimizer.update(rows, optimizer.init(tables), tables, step=jnp.int32(0))[0])
        for rows in (drop_rows(updates, FROZEN), cleared)
    )
    for mask, table, expected_table in zip(FROZEN, moved, expected, strict=True):
        np.testing.assert_allclose(table[~mask], expected_table[~mask], rtol=1e-6, atol=1e-8)
