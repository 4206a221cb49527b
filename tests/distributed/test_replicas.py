"""Local SGD: replicas take blocks in turn, merge without overshooting, and send nothing in between."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from tests.distributed.test_mesh import mesh_of, random_params
from w2v_jax import CheckpointConfig, Corpus, InputError, MeshConfig, Params, Report, TrainConfig, train
from w2v_jax.distributed import replicas
from w2v_jax.distributed.collectives import DATA
from w2v_jax.distributed.mesh import block_sharding, shard_blocks
from w2v_jax.distributed.replicas import ReplicaState, init_replicas, merge_replicas
from w2v_jax.models.registry import named_model
from w2v_jax.sampling.stream import stream
from w2v_jax.sampling.windows import Block
from w2v_jax.training.bounded_sgd import bounded_sgd
from w2v_jax.training.loop import default_optimizer
from w2v_jax.training.replica_step import make_replica_steps
from w2v_jax.training.row_sparse import row_sparse
from w2v_jax.training.state import init_state
from w2v_jax.training.step import make_train_step
from w2v_jax.training.warm_start import load_warm_start

CONFIG = TrainConfig(dim=6, window=3, batch_tokens=64, shared_negatives=8, sample=0.0, epochs=2)
KEY = jax.random.key(0)


def reports_of(corpus: Corpus, config: TrainConfig, mesh: MeshConfig | None) -> list[Report]:
    reports: list[Report] = []
    train(corpus, config, callbacks=[lambda report, export: reports.append(report)], mesh=mesh)
    return reports


def merged(before: np.ndarray, tables: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Merge n replicas of a table, [n, V, D], that have moved by sums of steps · curvature, [n, V]."""
    run = jax.shard_map(
        lambda before, table, moved: merge_replicas(before, table[0], moved[0]), mesh=mesh_of(len(tables)),
        in_specs=(P(), P(DATA), P(DATA)), out_specs=P(), axis_names={DATA}, check_vma=False,
    )  # fmt: skip
    return np.asarray(jax.jit(run)(*map(jnp.float32, (before, tables, moved))))


@pytest.mark.parametrize(("devices", "dim"), [(2, 4), (5, 1)])
@pytest.mark.parametrize("rows_per_tile", [2, 3, 100])
def test_merge_equals_sequential_training(
    devices: int, dim: int, rows_per_tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of seven words has a quadratic of its own, of equal curvature in all D directions: gradient descent takes
    many small steps on every device, or n times as many on one."""
    monkeypatch.setattr(replicas, "ROWS_PER_TILE", rows_per_tile)
    rng = np.random.default_rng(0)
    steps, size = 1_000, 1e-3
    before = rng.normal(size=(7, dim))
    minimum = before + rng.uniform(1, 2, size=(7, dim))
    curvature = np.array([0, 1e-4, 0.1, 1, 2, 5, 40.0])  # the last comes to rest at once
    left = (1 - size * curvature[:, None]) ** steps
    alone = minimum + left * (before - minimum)
    expected = minimum + left**devices * (before - minimum)
    moved = np.stack([dim * size * curvature * steps] * devices)  # a bound on the sum over D directions
    got = merged(before, np.stack([alone] * devices), moved)
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-3)
    added = before + devices * (alone - before)  # the plain sum goes too far
    assert np.abs(added - expected)[4:].min() > 0.05


def test_merge_adds_small_changes() -> None:
    """Far from a minimum nothing is lost: of other rows, or of a row that both replicas move a little."""
    tables = np.array([[[1, 1], [0, 0], [2, 0]], [[0, 0], [1, -1], [2, 1]]])
    np.testing.assert_array_equal(merged(np.zeros((3, 2)), tables, np.zeros((2, 3))), [[1, 1], [1, -1], [4, 1]])


def test_merge_bounds_the_overshoot_of_one_steep_direction() -> None:
    """All curvature of a row is in one of a hundred directions, where each of eight replicas is at the minimum: the
    merge goes a seventh of the way beyond it. A row that one replica alone has moved is kept."""
    before, tables, moved = np.zeros((2, 100)), np.zeros((8, 2, 100)), np.zeros((8, 2))
    before[:, 0] = 1.0
    tables[:, 1] = before[1]
    moved[:, 0], moved[3, 1], tables[3, 1] = 20.0, 20.0, 7.0
    got = merged(before, tables, moved)
    assert got[0, 0] == pytest.approx(-1 / 7, abs=1e-5)
    np.testing.assert_allclose(got[1], 7.0, rtol=1e-5)


def replica_steps(corpus: Corpus, config: TrainConfig, blocks: int, optimizer: Any = None, tables: Any = None) -> Any:
    """Return the steps of two replicas, what they start from, and blocks for them."""
    optimizer, mesh = optimizer or default_optimizer(corpus, config), mesh_of(2)
    model = named_model(config, corpus.vocabulary)
    start = init_replicas(init_state(model, KEY, corpus.vocabulary, optimizer, tables=tables, mesh=mesh))
    placed = shard_blocks(next(stream(corpus, config, blocks=blocks)).blocks, block_sharding(mesh))
    return make_replica_steps(model, optimizer, mesh), start, placed


def test_replicas_take_the_blocks_in_turn(corpus: Corpus) -> None:
    """The first device takes the steps that one device would take alone, with their negatives and learning rates; the
    second, from the same tables, takes those that would come next."""
    optimizer = row_sparse(bounded_sgd(optax.linear_schedule(1e-5, 0, 8)), merge_duplicates=False)
    before, model = random_params(len(corpus.vocabulary), 6), named_model(CONFIG, corpus.vocabulary)
    run, start, placed = replica_steps(corpus, CONFIG, 6, optimizer, before)
    after: ReplicaState
    after, metrics = jax.jit(run)(start, placed)

    step, blocks = make_train_step(model, optimizer), next(stream(corpus, CONFIG, blocks=6)).blocks
    changes, losses = [], []
    for device in range(2):
        state = init_state(model, KEY, corpus.vocabulary, optimizer, tables=before)
        first = lambda device=device: jnp.int32(3 * device)  # a buffer each, since the step takes them
        state = state._replace(step=first(), opt_state=optax.ScaleByScheduleState(first()))
        for i in range(3):
            state, of_step = step(state, Block(*(part[3 * device + i] for part in blocks)))
            losses.append(float(of_step.loss))
        changes.append([np.asarray(table) - old for table, old in zip(state.tables, before, strict=True)])
    assert int(after.state.step) == int(after.state.opt_state.count) == 6
    np.testing.assert_allclose(metrics.loss, np.add(losses[:3], losses[3:]), rtol=1e-5)
    for table, padded, old, one, other in zip(after.state.tables, after.tables, before, *changes, strict=True):
        assert np.abs(one - other).max() > 0.1 * np.abs(one).max()
        np.testing.assert_array_equal(np.pad(table, ((0, 0), (0, 2))), padded)
        # With rates this small the changes are added, to less than a thousandth.
        np.testing.assert_allclose(table, old + one + other, rtol=0, atol=1e-3 * np.abs(one + other).max())


def test_merge_holds_back_rows_that_took_long_steps(corpus: Corpus) -> None:
    """At a learning rate of 1 the sum of the changes would diverge."""
    config = dataclasses.replace(CONFIG, epochs=40, lr=1.0, whitening=0.0)
    vectors = train(corpus, config, mesh=MeshConfig(8, local_steps=16))
    assert max(float(jnp.abs(table).max()) for table in jax.tree.leaves(vectors.params)) < 20


def test_compiled_program_holds_both_tables_twice_and_no_more() -> None:
    """As of the last merge, and the replica with padded columns, in the buffers that came in; scratch is less than half
    a table."""
    many = [f"w{i}" for i in range(40_000)]
    large = Corpus.from_sentences([list(np.random.default_rng(0).permutation(many))] * 5)
    run, start, placed = replica_steps(large, dataclasses.replace(CONFIG, dim=60), 4)
    memory: Any = jax.jit(run, donate_argnums=0).lower(start, placed).compile().memory_analysis()
    table, padded_table = 40_000 * 60 * 4, 40_000 * 64 * 4
    assert memory.alias_size_in_bytes == pytest.approx(2 * table + 2 * padded_table, rel=0.01)
    assert memory.temp_size_in_bytes < 0.5 * table


def test_replicas_send_nothing_between_merges(corpus: Corpus) -> None:
    """However many steps there are, each message of the program is one of the merge, outside of the steps' loop."""
    for blocks in (4, 40):
        run, start, placed = replica_steps(corpus, CONFIG, blocks)
        text = str(jax.jit(run).lower(start, placed).compile().as_text())
        messages = [line for line in text.splitlines() if " all-reduce(" in line]
        assert messages
        assert not any("f32[]" in message for message in messages)  # the metrics of one step are numbers
        assert not any(name in text for name in (" all-gather(", " reduce-scatter(", " all-to-all("))


def test_replicas_learn_what_devices_that_share_each_block_learn(corpus: Corpus) -> None:
    config = TrainConfig(dim=8, batch_tokens=256, epochs=10, sample=0.0, seed=1, held_out=0.05)
    held_out = []
    for mesh in (MeshConfig(2), MeshConfig(2, local_steps=4)):
        reports = reports_of(corpus, config, mesh)
        held_out.append([report.held_out_loss for report in reports if report.held_out_loss][-1])
        assert reports[-1].words == 10 * len(corpus.ids)
    assert held_out[1] == pytest.approx(held_out[0], rel=0.03)


def test_replicas_of_the_softmax_learn_what_one_device_learns_from_every_target_once(corpus: Corpus) -> None:
    config = dataclasses.replace(CONFIG, objective="softmax", epochs=10)
    one, two = (reports_of(corpus, config, mesh) for mesh in (None, MeshConfig(2, local_steps=8)))
    assert two[-1].loss == pytest.approx(one[-1].loss, rel=0.02)
    targets = [sum(report.targets for report in reports) for reports in (one, two)]
    assert targets[0] == pytest.approx(targets[1], rel=1e-6)


def test_resumed_replicas_give_the_same_bits(corpus: Corpus, tmp_path: Path) -> None:
    config = TrainConfig(dim=8, batch_tokens=64, epochs=2, seed=1, sample=0.0)
    mesh = MeshConfig(4, local_steps=4)
    whole = train(corpus, config, mesh=mesh)
    saved = CheckpointConfig(checkpoint_dir=tmp_path / "saved", checkpoint_every=16, resume=True)
    stop_early: Any = lambda report, export: report.step >= 32
    stop_early.every = 16
    train(corpus, config, checkpoints=saved, callbacks=[stop_early], mesh=mesh)
    for other, message in (
        (MeshConfig(4, local_steps=8), "local_steps is 4 there and 8 here"),
        (MeshConfig(2, local_steps=4), "replicas is 4 there and 2 here"),
        (None, "local_steps is 4 there and 1 here"),
    ):
        with pytest.raises(InputError, match=message):
            train(corpus, config, checkpoints=saved, mesh=other)
    assert load_warm_start(tmp_path / "saved").tables["center"].shape == whole.vectors.shape  # on any devices
    np.testing.assert_array_equal(train(corpus, config, checkpoints=saved, mesh=mesh).vectors, whole.vectors)


def test_frozen_rows_stay_in_every_replica(corpus: Corpus) -> None:
    size, config = len(corpus.vocabulary), dataclasses.replace(CONFIG, whitening=0.0)
    before, frozen = random_params(size, 6), Params(np.arange(size) % 2 == 0, np.arange(size) % 3 == 0)
    vectors = train(corpus, config, tables=before, frozen=frozen, mesh=MeshConfig(2, local_steps=4))
    for table, old, mask in zip(vectors.params, before, frozen, strict=True):
        np.testing.assert_array_equal(np.asarray(table)[mask], np.asarray(old)[mask])
        assert np.abs(np.asarray(table) - old)[~mask].max() > 0


def test_training_that_replicas_cannot_do_is_refused(corpus: Corpus) -> None:
    mesh = MeshConfig(2, local_steps=4)
    with pytest.raises(InputError, match="give no other optimizer"):
        train(corpus, CONFIG, optimizer=optax.adagrad(0.1), mesh=mesh)
    blocks = CONFIG.epochs * len(corpus.ids) // CONFIG.batch_tokens
    message = f"merge after {2 * blocks:,} blocks of 64 tokens, and the text has {blocks:,}"
    with pytest.raises(InputError, match=message):
        train(corpus, CONFIG, mesh=MeshConfig(2, local_steps=blocks))
    odd = dataclasses.replace(CONFIG, batch_tokens=48, epochs=1)
    with pytest.raises(InputError, match="48 tokens of held-out text cannot be divided among 2 devices"):
        train(corpus, dataclasses.replace(odd, held_out=0.1), mesh=mesh)
    train(corpus, odd, mesh=mesh)


def test_cpu_is_split_into_as_many_devices_as_are_asked_for() -> None:
    """Without this suite's flags: into at most as many as it has cores, and not where the user has set a number."""
    cores = os.cpu_count() or 1
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}

    def devices(count: int, **more: str) -> str:
        code = "from w2v_jax import MeshConfig; from w2v_jax.distributed.mesh import make_mesh; import jax; "
        command = [sys.executable, "-c", f"{code}make_mesh(MeshConfig({count})); print(len(jax.devices()))"]
        done = subprocess.run(command, env=environment | more, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    assert devices(cores) == str(cores)
    assert devices(1, JAX_NUM_CPU_DEVICES="3") == "3"
    message = f"{cores + 1} devices were asked for; there are 1; a CPU has as many as JAX_NUM_CPU_DEVICES says"
    assert message in devices(cores + 1)
