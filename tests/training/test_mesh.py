"""Many devices do what one does: the same numbers, each array where the table says, and no more sent than is stated."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from experiments.benchmark_scaling import sent
from w2v_jax.config import TILE, CheckpointConfig, MeshConfig, Objective, TextConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import step as step_module
from w2v_jax.training.evaluate_every import EvaluateEvery
from w2v_jax.training.freezing import Frozen
from w2v_jax.training.loop import default_optimizer, make_held_out_loss, train
from w2v_jax.training.mesh import make_mesh, put
from w2v_jax.training.start import load_start
from w2v_jax.training.state import TrainState, init_state
from w2v_jax.training.step import Metrics, make_train_step
from w2v_jax.training.stream import stream

pytestmark = pytest.mark.usefixtures("several_blocks")

WORDS = 203  # of no mesh's size a multiple
MESHES = [(8, 1), (8, 4), (3, 3)]
TRAINED: tuple[Objective, ...] = ("negative-sampling", "softmax")


@pytest.fixture(scope="module")
def words() -> Corpus:
    rng = np.random.default_rng(0)
    ids = [*range(WORDS), *(WORDS * rng.random(6_000) ** 3).astype(int)]
    return Corpus.from_sentences([[f"w{i}" for i in ids[at : at + 20]] for at in range(0, len(ids), 20)],
                                 TextConfig(min_count=1))  # fmt: skip


def config_for(objective: Objective, devices: int = 8) -> TrainConfig:
    return TrainConfig(dim=6, window=3, block=devices * 2 * TILE, noise=8, objective=objective, sample=0.0)


def mesh_of(devices: int, shards: int) -> Mesh:
    mesh = make_mesh(MeshConfig(devices, shards))
    assert mesh is not None
    return mesh


def steps(corpus: Corpus, config: TrainConfig, optimizer: Any, mesh: Mesh | None) -> tuple[TrainState, Metrics]:
    """The state after three blocks and an empty one, and what they told."""
    step = make_train_step(config, corpus.vocabulary, optimizer, mesh)
    state = init_state(config, corpus.vocabulary, optimizer, mesh=mesh)
    some = next(stream(corpus, config, blocks=3)).blocks
    beyond = [np.full_like(part[:1], fill) for part, fill in zip(some, (len(corpus.vocabulary), -1), strict=True)]
    blocks = type(some)(*(np.concatenate(both) for both in zip(some, beyond, strict=True)))
    return jax.jit(lambda state, blocks: jax.lax.scan(step, state, blocks))(state, put(blocks, mesh))


def tables(state: TrainState) -> list[np.ndarray]:
    return [np.asarray(table)[:WORDS] for table in state.params]


@pytest.mark.parametrize(("devices", "shards"), MESHES)
@pytest.mark.parametrize("objective", TRAINED)
def test_loss_and_gradient_are_those_of_one_device(
    objective: Objective, devices: int, shards: int, words: Corpus
) -> None:
    """With SGD a table's change is its gradient: within 4 ulp of the largest. The loss, of some thousand terms added
    one by one, in another order: within 1e-5."""
    config = config_for(objective, devices)
    (one, told), (many, told_by_many) = (
        steps(words, config, optax.sgd(1e-3), mesh) for mesh in (None, mesh_of(devices, shards))
    )
    np.testing.assert_allclose(told_by_many.loss, told.loss, rtol=1e-5)
    np.testing.assert_allclose(told_by_many.targets, told.targets, rtol=4 * 2**-23)
    for expected, got in zip(tables(one), tables(many), strict=True):
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(got, expected, rtol=0, atol=4 * np.spacing(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("objective", "optimizer"), [("negative-sampling", optax.adagrad(0.1)), ("softmax", optax.adam(0.01))]
)
def test_an_optimizer_of_single_numbers_does_what_it_does_on_one_device(
    optimizer: optax.GradientTransformation, objective: Objective, words: Corpus
) -> None:
    config = config_for(objective)
    with jax.numpy_dtype_promotion("standard"):  # Adam's step count is an integer
        (one, _), (many, _) = (steps(words, config, optimizer, mesh) for mesh in (None, mesh_of(8, 4)))
    for expected, got in zip(tables(one), tables(many), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_every_array_lies_where_the_table_says(words: Corpus) -> None:
    """Tables and the optimizer's rows are made in parts, and stay so; the last part is filled up."""
    mesh = mesh_of(8, 4)
    optimizer = optax.sgd(0.01, momentum=0.9)
    config = config_for("softmax")
    born = init_state(config, words.vocabulary, optimizer, mesh=mesh)
    stepped, _ = steps(words, config, optimizer, mesh)
    for state in (born, stepped):
        for table in (*state.params, *state.opt_state[0].trace):
            assert table.shape == (204, 6)
            assert {shard.data.shape for shard in table.addressable_shards} == {(51, 6)}
        assert state.step.sharding.is_fully_replicated
    alone = init_state(config, words.vocabulary, optimizer)
    np.testing.assert_array_equal(np.asarray(born.params.center)[:WORDS], alone.params.center)


def test_rows_of_no_word_have_no_share_in_softmax(words: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were they not masked, the loss of the first block would be log 208, not log 203."""
    config, mesh = config_for("softmax"), mesh_of(8, 8)
    _, told = steps(words, config, optax.sgd(0.0), mesh)
    assert float(told.loss[0] / told.targets[0]) == pytest.approx(math.log(203), rel=1e-6)
    right = step_module.log_normalizers
    monkeypatch.setattr(step_module, "log_normalizers", lambda *a, words, **k: right(*a, **k))
    _, told = steps(words, config, optax.sgd(0.0), mesh)
    assert float(told.loss[0] / told.targets[0]) == pytest.approx(math.log(208), rel=1e-6)


@pytest.mark.parametrize("shards", [1, 4, 8])
@pytest.mark.parametrize("objective", TRAINED)
def test_the_bytes_that_a_step_sends(objective: Objective, shards: int, words: Corpus) -> None:
    """The formulas of experiments/SCALING.md, checked against the compiled program; none of them has a table in it,
    but that softmax's gradient of the outside table is summed over `data`."""
    devices, (config, mesh) = 8, (config_for(objective), mesh_of(8, shards))
    optimizer = default_optimizer(words, config)
    state = init_state(config, words.vocabulary, optimizer, mesh=mesh)
    block = jax.tree.map(lambda part: part[0], next(stream(words, config, blocks=1)).blocks)
    text = make_train_step(config, words.vocabulary, optimizer, mesh).lower(state, block).compile().as_text()  # type: ignore[attr-defined]
    tiles, window, dim, noise = config.block // TILE, config.window, config.dim, config.noise
    around = TILE + 2 * window
    candidates = around + (noise if objective == "negative-sampling" else 0)
    rows, mine = tiles * (TILE + candidates), tiles // devices * (TILE + candidates)
    table = -(-WORDS // shards)
    centers = tiles * TILE * shards // devices
    gather = rows * 4 * (1 + dim + 1)  # everyone's gradients: ids, rows, curvatures
    expected = {"all-gather": gather, "reduce-scatter": 0, "all-reduce": 8}
    if shards > 1:  # asking for rows, and their answers
        expected["all-gather"] += 4 * mine * shards
        expected["reduce-scatter"] += 4 * mine * dim
    if objective == "softmax":
        if shards > 1:
            expected["all-gather"] += 4 * centers * (dim + 1)
            expected["reduce-scatter"] += 4 * tiles * TILE // devices * (dim + 1)
            expected["all-reduce"] += 4 * 2 * centers
        if shards < devices:
            expected["all-reduce"] += 4 * table * (dim + 1)
    assert sent(text) == {kind: bytes_ for kind, bytes_ in expected.items() if bytes_}


def test_a_device_has_an_eighth_of_what_one_alone_would_have(words: Corpus) -> None:
    """Exact softmax whose tables are eight times a device's share: the compiled program's memory on each device."""
    rng = np.random.default_rng(0)
    many = [f"w{i}" for i in range(40_000)]
    corpus = Corpus.from_sentences([list(rng.permutation(many))], TextConfig(min_count=1))
    config = TrainConfig(dim=32, window=1, block=256, objective="softmax")
    optimizer = default_optimizer(corpus, config)
    memory = []
    for mesh in (None, mesh_of(8, 8)):
        state = jax.eval_shape(lambda: init_state(config, corpus.vocabulary, optimizer))
        block = jax.tree.map(lambda part: part[0], next(stream(corpus, config, blocks=1)).blocks)
        step = make_train_step(config, corpus.vocabulary, optimizer, mesh)
        found = step.lower(state, block).compile().memory_analysis()  # type: ignore[attr-defined]
        memory.append((found.argument_size_in_bytes, found.temp_size_in_bytes))
    (tables_of_one, scratch_of_one), (tables_of_many, scratch_of_many) = memory
    assert tables_of_one == pytest.approx(2 * 40_000 * 32 * 4, rel=0.01)
    assert tables_of_many == pytest.approx(tables_of_one / 8, rel=0.01)
    assert scratch_of_many < scratch_of_one / 4


def test_training_learns_the_same(corpus: Corpus) -> None:
    """The whole loop, its held-out loss and a callback too."""
    config = TrainConfig(dim=8, block=256, epochs=1, held_out=0.05, seed=1)
    one, many = (
        EvaluateEvery(4, lambda vectors: vectors.similarity("cat", "dog"), corpus.vocabulary) for _ in range(2)
    )
    alone = train(corpus, config, callbacks=[one])
    together = train(corpus, config, callbacks=[many], mesh=MeshConfig(8, 4))
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-5)
    assert together.params is not None
    assert together.params.outside.shape == alone.vectors.shape
    assert [step for step, _ in one.scores] == [step for step, _ in many.scores] != []
    assert [score for _, score in many.scores] == pytest.approx([score for _, score in one.scores], abs=1e-5)


def test_training_goes_on_and_leaves_the_frozen_as_it_does_alone(corpus: Corpus) -> None:
    config = TrainConfig(dim=8, block=256, epochs=1, seed=1, sample=0.0)
    rng = np.random.default_rng(0)
    size = len(corpus.vocabulary)
    params = Params(*(jnp.asarray(rng.normal(size=(size, 8)) / 8, jnp.float32) for _ in range(2)))
    frozen = Frozen(np.arange(size) % 2 == 0, np.arange(size) == 11)
    alone, together = (
        train(corpus, config, params=params, frozen=frozen, mesh=mesh) for mesh in (None, MeshConfig(8, 8))
    )
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-5)
    np.testing.assert_array_equal(together.vectors[::2], params.center[::2])
    assert np.abs(together.vectors[1::2] - params.center[1::2]).min() > 0


def test_held_out_loss_is_that_of_one_device(words: Corpus) -> None:
    config = TrainConfig(dim=6, block=8 * TILE, held_out=0.3, objective="softmax")
    rng = np.random.default_rng(0)
    params = Params(*(jnp.asarray(rng.normal(size=(WORDS, 6)), jnp.float32) for _ in range(2)))
    padded = jax.tree.map(lambda table: jnp.pad(table, ((0, 1), (0, 0)), constant_values=9.0), params)
    alone = make_held_out_loss(words, config)(params)
    assert make_held_out_loss(words, config, mesh_of(8, 4))(padded) == pytest.approx(alone, rel=1e-6)


def test_a_checkpoint_goes_on_where_it_was_sharded(corpus: Corpus, tmp_path: Any) -> None:
    config, mesh = TrainConfig(dim=8, block=256, epochs=1, seed=1, sample=0.0), MeshConfig(8, 8)
    saved = CheckpointConfig(checkpoint_dir=tmp_path / "saved", checkpoint_every=64, resume=True)
    stop_soon = lambda report, params: report.step >= 64
    stop_soon.every = 64  # type: ignore[attr-defined]
    train(corpus, config, checkpoints=saved, callbacks=[stop_soon], mesh=mesh)
    resumed = train(corpus, config, checkpoints=saved, mesh=mesh)
    np.testing.assert_array_equal(resumed.vectors, train(corpus, config, mesh=mesh).vectors)
    start = load_start(tmp_path / "saved")  # for a training anywhere else, the filling left out
    np.testing.assert_array_equal(start.params.center, resumed.vectors)
    with pytest.raises(InputError, match="table rows is 16 there and 12 here"):
        train(corpus, config, checkpoints=saved)


@pytest.mark.parametrize(
    ("mesh", "config", "said"),
    [
        (MeshConfig(9), TrainConfig(), "9 devices were asked for; there are 8"),
        (MeshConfig(8, 3), TrainConfig(), "8 devices cannot be shared out over 3 parts"),
        (MeshConfig(5), TrainConfig(), r"a block of 1024 tokens cannot be shared out over 5 devices.* multiple of 80"),
        (MeshConfig(2), TrainConfig(objective="naive-softmax"), "naive-softmax trains on one device"),
        (MeshConfig(2), TrainConfig(objective="softmax-counts"), "softmax-counts trains on one device"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(mesh: MeshConfig, config: TrainConfig, said: str, corpus: Corpus) -> None:
    with pytest.raises(InputError, match=said):
        train(corpus, config, mesh=mesh)
