"""Several devices do what one does: the same numbers, arrays sharded as documented, and no more bytes sent."""

import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from experiments.benchmark_scaling import sent
from w2v_jax.config import TILE, CheckpointConfig, MeshConfig, TextConfig, TrainConfig
from w2v_jax.distributed.mesh import make_mesh, shard_blocks, tile_sharding
from w2v_jax.errors import InputError
from w2v_jax.models import blockwise_softmax
from w2v_jax.models.registry import MODELS, named_model
from w2v_jax.params import PAD_ID, Params
from w2v_jax.sampling.stream import stream
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.evaluate_every import EvaluateEvery
from w2v_jax.training.loop import default_optimizer, make_held_out_loss, train
from w2v_jax.training.state import TrainState, init_state
from w2v_jax.training.step import Metrics, make_train_step
from w2v_jax.training.warm_start import load_warm_start

pytestmark = pytest.mark.usefixtures("several_blocks")

WORDS = 203  # not a multiple of the shards of any of the meshes
MESHES = [(8, 1), (8, 4), (3, 3)]
KEY = jax.random.key(0)
every_model = pytest.mark.parametrize("objective", MODELS)


@pytest.fixture(scope="module")
def words() -> Corpus:
    rng = np.random.default_rng(0)
    ids = [*range(WORDS), *(WORDS * rng.random(6_000) ** 3).astype(int)]
    lines = [[f"w{i}" for i in ids[at : at + 20]] for at in range(0, len(ids), 20)]
    return Corpus.from_sentences(lines, TextConfig(min_count=1))


def config_for(objective: str, devices: int = 8) -> TrainConfig:
    return TrainConfig(
        dim=6, window=3, batch_tokens=devices * 2 * TILE, shared_negatives=8, objective=objective, sample=0.0
    )


def mesh_of(devices: int, shards: int = 1) -> Mesh:
    mesh = make_mesh(MeshConfig(devices, shards))
    assert mesh is not None
    return mesh


def random_params(rows: int, dim: int) -> Params:
    rng = np.random.default_rng(0)
    return Params(*(jnp.asarray(rng.normal(size=(rows, dim)) / 8, jnp.float32) for _ in range(2)))


def step_and_state(corpus: Corpus, config: TrainConfig, optimizer: Any, mesh: Mesh | None) -> tuple[Any, TrainState]:
    model = named_model(config, corpus.vocabulary)
    state = init_state(model, KEY, corpus.vocabulary, optimizer, mesh=mesh)
    return make_train_step(model, optimizer, mesh), state


def run_steps(corpus: Corpus, config: TrainConfig, optimizer: Any, mesh: Mesh | None) -> tuple[TrainState, Metrics]:
    """Return the state after three blocks and one beyond the text, and their metrics."""
    step, state = step_and_state(corpus, config, optimizer, mesh)
    blocks = next(stream(corpus, config, blocks=3)).blocks
    beyond = [np.full_like(part[:1], fill) for part, fill in zip(blocks, (PAD_ID, -1), strict=True)]
    blocks = type(blocks)(*(np.concatenate(both) for both in zip(blocks, beyond, strict=True)))
    placed = shard_blocks(blocks, tile_sharding(mesh) if mesh else None)
    return jax.jit(lambda state, blocks: jax.lax.scan(step, state, blocks))(state, placed)


def word_rows(state: TrainState) -> list[np.ndarray]:
    return [np.asarray(table)[:WORDS] for table in state.tables]


@pytest.mark.parametrize(("devices", "shards"), MESHES)
@every_model
def test_loss_and_gradient_equal_those_of_one_device(objective: str, devices: int, shards: int, words: Corpus) -> None:
    """With SGD the change of a table is its gradient: within 4 ulp of the largest. The loss adds some thousand terms
    in another order: within 1e-5."""
    config = config_for(objective, devices)
    (one, expected), (many, metrics) = (
        run_steps(words, config, optax.sgd(1e-3), mesh) for mesh in (None, mesh_of(devices, shards))
    )
    np.testing.assert_allclose(metrics.loss, expected.loss, rtol=1e-5)
    np.testing.assert_allclose(metrics.targets, expected.targets, rtol=4 * 2**-23)
    for want, got in zip(word_rows(one), word_rows(many), strict=True):
        assert np.abs(want).max() > 0
        np.testing.assert_allclose(got, want, rtol=0, atol=4 * np.spacing(np.abs(want).max()))


@pytest.mark.parametrize(
    ("objective", "optimizer"), [("negative-sampling", optax.adagrad(0.1)), ("softmax", optax.adam(0.01))]
)
def test_elementwise_optimizers_equal_those_of_one_device(optimizer: Any, objective: str, words: Corpus) -> None:
    config = config_for(objective)
    with jax.numpy_dtype_promotion("standard"):  # Adam's step count is an integer
        (one, _), (many, _) = (run_steps(words, config, optimizer, mesh) for mesh in (None, mesh_of(8, 4)))
    for want, got in zip(word_rows(one), word_rows(many), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_tables_and_optimizer_rows_are_made_sharded_and_stay_sharded(words: Corpus) -> None:
    mesh, optimizer, config = mesh_of(8, 4), optax.sgd(0.01, momentum=0.9), config_for("softmax")
    _, fresh = step_and_state(words, config, optimizer, mesh)
    stepped, _ = run_steps(words, config, optimizer, mesh)
    for state in (fresh, stepped):
        for table in (*state.tables, *state.opt_state[0].trace):
            assert table.shape == (204, 6)
            assert {shard.data.shape for shard in table.addressable_shards} == {(51, 6)}
        assert state.step.sharding.is_fully_replicated
    (_, alone), (_, unpadded) = (step_and_state(words, config, optimizer, other) for other in (None, mesh_of(7, 7)))
    np.testing.assert_array_equal(unpadded.tables.center, alone.tables.center)
    # With padding, this suite's XLA flags round the last product of `uniform` otherwise: one ulp of the largest.
    np.testing.assert_allclose(word_rows(fresh)[0], alone.tables.center, rtol=0, atol=np.spacing(np.float32(0.5 / 6)))


def test_padding_rows_have_no_share_in_softmax(words: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mask, the loss of the first block would be log 208, not log 203."""
    config, mesh = config_for("softmax"), mesh_of(8, 8)
    mean = lambda metrics: float(metrics.loss[0] / metrics.targets[0])
    assert mean(run_steps(words, config, optax.sgd(0.0), mesh)[1]) == pytest.approx(math.log(203), rel=1e-6)
    masked = blockwise_softmax.weighted_log_normalizers
    unmasked = lambda size, axes, h, candidates, n, limit: masked(
        size, axes, h, candidates, n, jnp.full_like(limit, len(candidates))
    )
    monkeypatch.setattr(blockwise_softmax, "weighted_log_normalizers", unmasked)
    assert mean(run_steps(words, config, optax.sgd(0.0), mesh)[1]) == pytest.approx(math.log(208), rel=1e-6)


@pytest.mark.parametrize("shards", [1, 4, 8])
@every_model
def test_bytes_that_a_step_sends_follow_the_formulas(objective: str, shards: int, words: Corpus) -> None:
    """The compiled program sends exactly the bytes of experiments/SCALING.md.

    No whole table is sent, but for what the softmaxes do with the outside table: its gradient is summed over `data`,
    and naive-softmax gathers it. The blockwise softmax also gathers the outside rows of each tile's tokens
    (`TableShard.take`): it sends ids, receives rows, and sends the rows' gradients back."""
    devices, (config, mesh) = 8, (config_for(objective), mesh_of(8, shards))
    step, state = step_and_state(words, config, default_optimizer(words, config), mesh)
    block = jax.tree.map(lambda part: part[0], next(stream(words, config, blocks=1)).blocks)
    dim, context = config.dim, TILE + 2 * config.window
    tiles = config.batch_tokens // TILE
    own, row = tiles // devices, tiles // devices * shards  # the tiles of a device, and of those that share a table
    shard = -(-WORDS // shards)  # rows of a table on a device
    rows = TILE + (context + config.shared_negatives if objective == "negative-sampling" else 0)  # gathered for a tile
    numbers = {"all-gather": tiles * rows * (1 + dim + 1), "reduce-scatter": 0, "all-reduce": 2}
    if objective != "negative-sampling" and shards < devices:
        numbers["all-reduce"] += shard * (dim + 1)  # gradient and curvature of the outside table
    if shards > 1:  # ids of the rows that are asked for, and the rows
        numbers["all-gather"] += row * rows
        numbers["reduce-scatter"] += own * rows * dim
    if objective == "softmax" and shards > 1:
        numbers["all-gather"] += row * context * (1 + dim)  # `take`: ids, and later the rows' gradients
        numbers["reduce-scatter"] += own * context * dim  # `take`: the rows
        numbers["all-gather"] += row * TILE * (dim + 1)  # centers and their weights
        numbers["all-reduce"] += 2 * row * TILE  # log-normalizers: maxima, then sums
        numbers["reduce-scatter"] += own * TILE * (dim + 1)  # gradient and curvature of each center
    if objective == "naive-softmax" and shards > 1:
        numbers["all-gather"] += shards * shard * dim  # the outside table
        numbers["reduce-scatter"] += shard * (dim + 1)  # its gradient and curvature
    expected = {kind: 4 * count for kind, count in numbers.items() if count}
    assert sent(step.lower(state, block).compile().as_text()) == expected


def test_each_of_eight_shards_takes_an_eighth_of_the_memory() -> None:
    """The compiled program's memory on each device, for a softmax whose tables are large beside a block."""
    many = [f"w{i}" for i in range(40_000)]
    corpus = Corpus.from_sentences([list(np.random.default_rng(0).permutation(many))], TextConfig(min_count=1))
    config = TrainConfig(dim=32, window=1, batch_tokens=256, objective="softmax")
    optimizer, model = default_optimizer(corpus, config), named_model(config, corpus.vocabulary)
    state = jax.eval_shape(lambda: init_state(model, KEY, corpus.vocabulary, optimizer))
    block = jax.tree.map(lambda part: part[0], next(stream(corpus, config, blocks=1)).blocks)
    of_one, of_each = (
        make_train_step(model, optimizer, mesh).lower(state, block).compile().memory_analysis()
        for mesh in (None, mesh_of(8, 8))
    )
    assert of_one.argument_size_in_bytes == pytest.approx(2 * 40_000 * 32 * 4, rel=0.01)
    assert of_each.argument_size_in_bytes == pytest.approx(of_one.argument_size_in_bytes / 8, rel=0.01)
    assert of_each.temp_size_in_bytes < of_one.temp_size_in_bytes / 4


def test_training_learns_the_same(corpus: Corpus) -> None:
    """The whole loop, its held-out loss and a callback too."""
    config = TrainConfig(dim=8, batch_tokens=256, epochs=1, held_out=0.05, seed=1)
    one, many = (EvaluateEvery(4, lambda vectors: vectors.similarity("cat", "dog")) for _ in range(2))
    alone = train(corpus, config, callbacks=[one])
    together = train(corpus, config, callbacks=[many], mesh=MeshConfig(8, 8))
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-5)
    assert together.tables["outside"].shape == alone.vectors.shape
    assert [step for step, _ in one.scores] == [step for step, _ in many.scores] != []
    assert [score for _, score in many.scores] == pytest.approx([score for _, score in one.scores], abs=1e-5)


def test_warm_start_and_frozen_rows_equal_those_of_one_device(corpus: Corpus) -> None:
    config = TrainConfig(dim=8, batch_tokens=256, epochs=1, seed=1, sample=0.0, whitening=0.0)
    size = len(corpus.vocabulary)
    tables, frozen = random_params(size, 8), Params(np.arange(size) % 2 == 0, np.arange(size) == 11)
    alone, together = (
        train(corpus, config, tables=tables, frozen=frozen, mesh=mesh) for mesh in (None, MeshConfig(8, 8))
    )
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-5)
    for table, before, mask in zip(together.params, tables, frozen, strict=True):
        np.testing.assert_array_equal(table[mask], before[mask])
    assert np.abs(together.tables["center"][1::2] - tables.center[1::2]).min() > 0


def test_held_out_loss_equals_that_of_one_device(words: Corpus) -> None:
    config = TrainConfig(dim=6, batch_tokens=8 * TILE, held_out=0.3, objective="softmax")
    model, tables = named_model(config, words.vocabulary), random_params(WORDS, 6)
    padded = jax.tree.map(lambda table: jnp.pad(table, ((0, 1), (0, 0)), constant_values=9.0), tables)
    alone = make_held_out_loss(model, words, config, KEY)(tables)
    assert make_held_out_loss(model, words, config, KEY, mesh_of(8, 4))(padded) == pytest.approx(alone, rel=1e-6)


def test_checkpoint_of_a_sharded_training_resumes_with_the_same_bits(corpus: Corpus, tmp_path: Path) -> None:
    config, mesh = TrainConfig(dim=8, batch_tokens=256, epochs=1, seed=1, sample=0.0), MeshConfig(8, 8)
    saved = CheckpointConfig(checkpoint_dir=tmp_path / "saved", checkpoint_every=64, resume=True)
    stop_early = lambda report, export: report.step >= 64
    stop_early.every = 64
    train(corpus, config, checkpoints=saved, callbacks=[stop_early], mesh=mesh)
    resumed = train(corpus, config, checkpoints=saved, mesh=mesh)
    np.testing.assert_array_equal(resumed.vectors, train(corpus, config, mesh=mesh).vectors)
    start = load_warm_start(tmp_path / "saved")  # on any devices, without the padding
    np.testing.assert_array_equal(start.tables["center"], resumed.vectors)
    with pytest.raises(InputError, match=r"tables is .*\[16, 8, .* there and .*\[12, 8, .* here"):
        train(corpus, config, checkpoints=saved)


@pytest.mark.parametrize(
    ("mesh", "message"),
    [(MeshConfig(9), "9 devices were asked for; there are 8"),
     (MeshConfig(8, 3), "8 devices cannot be divided into 3 shards of the vocabulary"),
     (MeshConfig(5), "a block of 1024 tokens cannot be divided among 5 devices; give a multiple of 80")],
)  # fmt: skip
def test_devices_that_cannot_share_the_work_are_refused(mesh: MeshConfig, message: str, corpus: Corpus) -> None:
    with pytest.raises(InputError, match=message):
        train(corpus, TrainConfig(), mesh=mesh)
