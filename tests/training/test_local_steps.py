"""Devices that train apart and meet: what they come to is what they would have come to one after the other."""

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

from w2v_jax import CheckpointConfig, Corpus, InputError, MeshConfig, Params, Report, TrainConfig, train
from w2v_jax.training import local_steps
from w2v_jax.training.freezing import Frozen
from w2v_jax.training.local_steps import make_local_steps, meet, set_out
from w2v_jax.training.loop import default_optimizer
from w2v_jax.training.mesh import DATA, blocks_on, make_mesh, put
from w2v_jax.training.reports import Callback
from w2v_jax.training.sgd import bounded_sgd
from w2v_jax.training.start import load_start
from w2v_jax.training.state import init_state
from w2v_jax.training.step import make_train_step
from w2v_jax.training.stream import stream

CONFIG = TrainConfig(dim=6, window=3, block=64, noise=8, sample=0.0, epochs=2)


def noted(reports: list[Report]) -> Callback:
    return lambda report, params: reports.append(report)


def after_meeting(met: np.ndarray, tables: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """`meet` of devices that have a table and a sum of steps each: [n, V, D] and [n, V]."""
    mesh = make_mesh(MeshConfig(len(tables)))
    assert mesh is not None
    run = lambda met, table, moved: meet(met, table[0], moved[0])
    of_each = jax.shard_map(
        run, mesh=mesh, in_specs=(P(), P(DATA), P(DATA)), out_specs=P(), axis_names={DATA}, check_vma=False
    )
    return np.asarray(jax.jit(of_each)(*map(jnp.float32, (met, tables, moved))))


@pytest.mark.parametrize(("devices", "dim"), [(2, 4), (5, 1)])
@pytest.mark.parametrize("piece", [2, 3, 100])
def test_to_meet_is_to_go_one_after_the_other(
    devices: int, dim: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of seven words, each on a quadratic of its own, of equal curvature in all D directions: gradient descent for
    so many small steps on every device, or for n times as many on one."""
    monkeypatch.setattr(local_steps, "PIECE", piece)
    rng = np.random.default_rng(0)
    steps, size = 1_000, 1e-3
    met = rng.normal(size=(7, dim))
    minimum = met + rng.uniform(1, 2, size=(7, dim))
    curvature = np.array([0, 1e-4, 0.1, 1, 2, 5, 40.0])  # the last comes to rest at once
    left = (1 - size * curvature[:, None]) ** steps
    alone = minimum + left * (met - minimum)
    expected = minimum + left**devices * (met - minimum)
    moved = np.stack([dim * size * curvature * steps] * devices)  # a bound on the sum over D directions
    got = after_meeting(met, np.stack([alone] * devices), moved)
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-3)
    summed = met + devices * (alone - met)  # what plain addition would have made of it
    assert np.abs(summed - expected)[4:].min() > 0.05


def test_a_row_that_one_device_alone_has_moved_is_left_where_it_is() -> None:
    """However far it has gone; half of the change, the mean, would take it back."""
    tables = np.array([[[5.0, 1.0]], [[0.0, 0.0]]])
    np.testing.assert_allclose(after_meeting(np.zeros((1, 2)), tables, np.array([[9.0], [0.0]])), [[5, 1]], rtol=1e-6)


def test_what_devices_learn_of_other_words_is_added_up() -> None:
    """Far from a minimum nothing is lost: each moves rows of its own, and one that both move a little goes twice."""
    met = np.zeros((3, 2))
    tables = np.array([[[1, 1], [0, 0], [2, 0]], [[0, 0], [1, -1], [2, 1]]])
    np.testing.assert_array_equal(after_meeting(met, tables, np.zeros((2, 3))), [[1, 1], [1, -1], [4, 1]])


def test_devices_take_the_blocks_in_turn(corpus: Corpus) -> None:
    """The first device's steps are those that one device would take alone, with their noise and learning rates; the
    second's, from the same tables, are those that would come next."""
    config = dataclasses.replace(CONFIG, lr=1e-5)
    optimizer = bounded_sgd(optax.linear_schedule(1e-5, 0, 8))
    mesh = make_mesh(MeshConfig(2))
    assert mesh is not None
    blocks = next(stream(corpus, config, blocks=6)).blocks
    rng = np.random.default_rng(0)
    begun = Params(*(rng.normal(size=(len(corpus.vocabulary), 6)).astype(np.float32) for _ in range(2)))
    start = set_out(init_state(config, corpus.vocabulary, optimizer, begun, mesh))
    run = jax.jit(make_local_steps(config, corpus.vocabulary, optimizer, mesh))
    (together, to_move), metrics = run(start, put(blocks, mesh, blocks_on))

    step = make_train_step(config, corpus.vocabulary, optimizer)
    changes, losses = [], []
    for device in range(2):
        state = init_state(config, corpus.vocabulary, optimizer, begun)
        state = state._replace(step=jnp.int32(3 * device), opt_state=optax.ScaleByScheduleState(jnp.int32(3 * device)))
        for i in range(3):
            state, told = step(state, jax.tree.map(lambda part, at=3 * device + i: part[at], blocks))
            losses.append(float(told.loss))
        changes.append([np.asarray(table) - old for table, old in zip(state.params, begun, strict=True)])
    assert int(together.step) == int(together.opt_state.count) == 6
    np.testing.assert_allclose(metrics.loss, np.add(losses[:3], losses[3:]), rtol=1e-5)
    for table, again, old, one, other in zip(together.params, to_move, begun, *changes, strict=True):
        assert np.abs(one - other).max() > 0.1 * np.abs(one).max()
        np.testing.assert_array_equal(np.pad(table, ((0, 0), (0, 2))), again)
        # With rates this small the sum counts whole, to less than a thousandth.
        np.testing.assert_allclose(table, old + one + other, rtol=0, atol=1e-3 * np.abs(one + other).max())


def test_rows_that_have_far_to_go_are_held_back(corpus: Corpus) -> None:
    """The share is reckoned from the steps that were taken: at a rate of 1 their sum would go too far."""
    config = TrainConfig(dim=6, window=3, block=64, noise=8, sample=0.0, epochs=40, lr=1.0)
    vectors = train(corpus, config, mesh=MeshConfig(8, local_steps=16))
    assert vectors.params is not None
    assert max(float(jnp.abs(table).max()) for table in vectors.params) < 20


def test_what_is_compiled_holds_no_other_table(corpus: Corpus) -> None:
    """Both tables twice on a device, as last met and as it moves them, the latter with rows of whole vectors, in the
    buffers that came in; scratch beside them is less than half a table."""
    rng = np.random.default_rng(0)
    many = [f"w{i}" for i in range(40_000)]
    large = Corpus.from_sentences([list(rng.permutation(many))] * 5)
    config = dataclasses.replace(CONFIG, dim=60)
    optimizer, mesh = default_optimizer(large, config), make_mesh(MeshConfig(2))
    assert mesh is not None
    state = set_out(init_state(config, large.vocabulary, optimizer, mesh=mesh))
    blocks = put(next(stream(large, config, blocks=4)).blocks, mesh, blocks_on)
    run = jax.jit(make_local_steps(config, large.vocabulary, optimizer, mesh), donate_argnums=0)
    memory: Any = run.lower(state, blocks).compile().memory_analysis()
    table, aligned_table = 40_000 * 60 * 4, 40_000 * 64 * 4
    assert memory.alias_size_in_bytes == pytest.approx(2 * table + 2 * aligned_table, rel=0.01)
    assert memory.temp_size_in_bytes < 0.5 * table


def test_training_apart_learns_what_training_together_does(corpus: Corpus) -> None:
    config = TrainConfig(dim=8, block=256, epochs=10, sample=0.0, seed=1, held_out=0.05)
    held_out = []
    for mesh in (MeshConfig(2), MeshConfig(2, local_steps=4)):
        last: list[Report] = []
        train(corpus, config, callbacks=[noted(last)], mesh=mesh)
        held_out.append([report.held_out_loss for report in last if report.held_out_loss][-1])
        assert last[-1].words == 10 * len(corpus.ids)
    assert held_out[1] == pytest.approx(held_out[0], rel=0.03)


def test_the_same_seed_gives_the_same_bits_and_resuming_too(corpus: Corpus, tmp_path: Path) -> None:
    config, mesh = TrainConfig(dim=8, block=64, epochs=2, seed=1, sample=0.0), MeshConfig(4, local_steps=4)
    whole = train(corpus, config, mesh=mesh)
    saved = CheckpointConfig(checkpoint_dir=tmp_path / "saved", checkpoint_every=16, resume=True)
    stop_soon: Any = lambda report, params: report.step >= 32
    stop_soon.every = 16
    train(corpus, config, checkpoints=saved, callbacks=[stop_soon], mesh=mesh)
    other = MeshConfig(4, local_steps=8)
    with pytest.raises(InputError, match="local_steps is 4 there and 8 here"):
        train(corpus, config, checkpoints=saved, mesh=other)
    with pytest.raises(InputError, match="devices is 4 there and 2 here"):
        train(corpus, config, checkpoints=saved, mesh=MeshConfig(2, local_steps=4))
    with pytest.raises(InputError, match="local_steps is 4 there and not given here"):
        train(corpus, config, checkpoints=saved)
    assert load_start(tmp_path / "saved").params.center.shape == whole.vectors.shape  # for a training anywhere else
    np.testing.assert_array_equal(train(corpus, config, checkpoints=saved, mesh=mesh).vectors, whole.vectors)


def test_frozen_rows_stay(corpus: Corpus) -> None:
    rng, size = np.random.default_rng(0), len(corpus.vocabulary)
    params = Params(*(jnp.asarray(rng.normal(size=(size, 6)) / 8, jnp.float32) for _ in range(2)))
    frozen = Frozen(np.arange(size) % 2 == 0, np.arange(size) % 3 == 0)
    found = train(corpus, CONFIG, params=params, frozen=frozen, mesh=MeshConfig(2, local_steps=4)).params
    assert found is not None
    for table, old, mask in zip(found, params, frozen, strict=True):
        np.testing.assert_array_equal(np.asarray(table)[mask], np.asarray(old)[mask])
        assert np.abs(np.asarray(table) - old)[~mask].max() > 0


def test_meetings_are_the_only_messages(corpus: Corpus) -> None:
    """Whatever the steps between, no message is inside their loop: in the program every one is of a meeting."""
    optimizer, mesh = default_optimizer(corpus, CONFIG), make_mesh(MeshConfig(2))
    assert mesh is not None
    texts = []
    for blocks in (4, 40):
        state = set_out(init_state(CONFIG, corpus.vocabulary, optimizer, mesh=mesh))
        placed = put(next(stream(corpus, CONFIG, blocks=blocks)).blocks, mesh, blocks_on)
        run = jax.jit(make_local_steps(CONFIG, corpus.vocabulary, optimizer, mesh))
        texts.append(str(run.lower(state, placed).compile().as_text()))
    for text in texts:
        messages = [line for line in text.splitlines() if " all-reduce(" in line]
        assert messages
        assert not any("f32[]" in message for message in messages)  # what one step tells is a number
        assert not any(name in text for name in (" all-gather(", " reduce-scatter(", " all-to-all("))


@pytest.mark.parametrize(("devices", "shards"), [(None, 1), (1, 1), (8, 4)])
def test_devices_that_cannot_train_apart(devices: int | None, shards: int) -> None:
    with pytest.raises(InputError, match="local_steps is 4, which is for several devices, each with whole tables"):
        MeshConfig(devices, shards, local_steps=4)


@pytest.mark.parametrize("steps", [0, 1 << 16])
def test_a_number_of_steps_that_nobody_takes(steps: int) -> None:
    with pytest.raises(InputError, match=f"local_steps is {steps}; it must be an integer from 1 to 65535"):
        MeshConfig(2, local_steps=steps)


def test_another_optimizer_is_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="give no other"):
        train(corpus, CONFIG, optimizer=optax.adagrad(0.1), mesh=MeshConfig(2, local_steps=4))


def test_a_text_too_short_for_a_meeting_is_refused(corpus: Corpus) -> None:
    blocks = CONFIG.epochs * len(corpus.ids) // CONFIG.block
    with pytest.raises(InputError, match=f"meet after {2 * blocks:,} blocks of 64 tokens, and the text has {blocks:,}"):
        train(corpus, CONFIG, mesh=MeshConfig(2, local_steps=blocks))


def test_held_out_text_is_shared_out(corpus: Corpus) -> None:
    config = dataclasses.replace(CONFIG, block=48, held_out=0.1)
    with pytest.raises(InputError, match="48 tokens of held-out text cannot be shared out over 2 devices"):
        train(corpus, config, mesh=MeshConfig(2, local_steps=4))
    train(corpus, dataclasses.replace(config, held_out=0.0, epochs=1), mesh=MeshConfig(2, local_steps=4))


def test_softmax_too(corpus: Corpus) -> None:
    """Two devices apart come to what one comes to, where the text has nothing left to tell."""
    config = TrainConfig(dim=6, window=3, block=64, objective="softmax", sample=0.0, epochs=10)
    losses = []
    for mesh in (None, MeshConfig(2, local_steps=8)):
        reports: list[Report] = []
        train(corpus, config, callbacks=[noted(reports)], mesh=mesh)
        losses.append(reports[-1].loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_no_direction_is_thrown_off() -> None:
    """Eight devices, and a row whose curvature lies all in one of a hundred directions, each time at its minimum there:
    where they meet is a seventh of the way beyond it, and of what only one has moved nothing is lost."""
    met, tables, moved = np.zeros((2, 100)), np.zeros((8, 2, 100)), np.zeros((8, 2))
    met[:, 0] = 1.0
    tables[:, 1] = met[1]
    moved[:, 0], moved[3, 1], tables[3, 1] = 20.0, 20.0, 7.0
    got = after_meeting(met, tables, moved)
    assert got[0, 0] == pytest.approx(-1 / 7, abs=1e-5)
    np.testing.assert_allclose(got[1], 7.0, rtol=1e-5)


def test_a_cpu_is_as_many_devices_as_are_asked_for(corpus: Corpus, tmp_path: Path) -> None:
    """In processes without this suite's flags: up to the cores there are, but not where a person has said otherwise."""
    asked = "from w2v_jax import MeshConfig; from w2v_jax.training.mesh import make_mesh; import jax; "
    cores = os.cpu_count() or 1
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}

    def devices(asking: str, **more: str) -> str:
        command = [sys.executable, "-c", asked + asking]
        done = subprocess.run(command, env=environment | more, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    print_them = "make_mesh(MeshConfig({})); print(len(jax.devices()))"
    assert devices(print_them.format(cores)) == str(cores)
    assert devices(print_them.format(1), JAX_NUM_CPU_DEVICES="3") == "3"
    said = f"{cores + 1} devices were asked for; there are 1; a CPU has as many as JAX_NUM_CPU_DEVICES says"
    assert said in devices(print_them.format(cores + 1))


def test_the_turns_are_whole_blocks(corpus: Corpus) -> None:
    """Every token counts once an epoch, whatever the devices: the targets told are those of one device."""
    told = []
    for mesh in (None, MeshConfig(4, local_steps=3)):
        reports: list[Report] = []
        train(corpus, CONFIG, callbacks=[noted(reports)], mesh=mesh)
        told.append(sum(report.targets for report in reports))
    assert told[0] == pytest.approx(told[1], rel=1e-6)
