"""The step: its loss and gradient are the textbook's, summed over pairs; its program touches rows only."""

import os
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TILE, TextConfig, TrainConfig
from w2v_jax.frequency import noise_distribution
from w2v_jax.noise import alias_table, step_noise
from w2v_jax.objectives.softmax import naive_softmax_loss
from w2v_jax.params import Params, init_params
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.loop import default_optimizer
from w2v_jax.training.rows import apply_rows
from w2v_jax.training.state import TrainState, init_state
from w2v_jax.training.step import make_gradients, make_train_step
from w2v_jax.training.stream import stream
from w2v_jax.windows import Block

pytestmark = pytest.mark.usefixtures("several_blocks")

STEP = 3


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    return Corpus.from_sentences(
        [[f"w{i}" for i in rng.zipf(1.5, rng.integers(2, 30)) if i < 40] for _ in range(60)], TextConfig(min_count=1)
    )


def config_for(objective: str) -> TrainConfig:
    return TrainConfig(dim=6, window=3, sample=0.1, block=64, noise=8, noise_power=0.5, objective=objective)  # type: ignore[arg-type]


def blocks_of(corpus: Corpus, config: TrainConfig) -> list[Block]:
    """A full block and the last, partly empty one."""
    first, *_, last = stream(corpus, config, blocks=1)
    return [Block(*(jnp.asarray(part[0]) for part in some.blocks)) for some in (first, last)]


def random_params(corpus: Corpus, dim: int) -> Params:
    rng = np.random.default_rng(1)
    return Params(*(jnp.asarray(rng.normal(size=(len(corpus.vocabulary), dim))) for _ in range(2)))


def textbook_loss(corpus: Corpus, config: TrainConfig, block: Block, params: Params) -> jax.Array:
    """The sum over the block's pairs of each pair's loss."""
    table = alias_table(noise_distribution(corpus.vocabulary.counts, config.noise_power))
    noise_words = step_noise(config.seed, jnp.int32(STEP), table, tiles=len(block.tokens), noise=config.noise)
    tokens, lines = map(np.asarray, block)
    pairs = []
    for g, i in np.ndindex(len(tokens), TILE):
        at = config.window + i
        for j in range(i, at + config.window + 1):
            if j != at and lines[g, at] == lines[g, j] >= 0:
                share = (config.window + 1 - abs(j - at)) / config.window
                pairs.append((tokens[g, at], tokens[g, j], g, share))

    def of_pair(center: jax.Array, outside: jax.Array, tile: jax.Array, share: jax.Array) -> jax.Array:
        v_c = params.center[center]
        if config.objective != "negative-sampling":
            return share * naive_softmax_loss(v_c, outside, params.outside)
        noise = jax.nn.log_sigmoid(-(params.outside[noise_words[tile]] @ v_c)).sum()
        positive = jax.nn.log_sigmoid(params.outside[outside] @ v_c)
        return -share * (positive + config.negative / config.noise * noise)

    return jax.vmap(of_pair)(*map(jnp.array, zip(*pairs, strict=True))).sum()


@pytest.mark.parametrize("objective", ["negative-sampling", "naive-softmax", "softmax"])
@pytest.mark.parametrize("which", ["full", "last"])
def test_loss_and_gradient_are_the_sum_over_pairs(objective: str, which: str, corpus: Corpus) -> None:
    config = config_for(objective)
    with jax.enable_x64(True):
        block = blocks_of(corpus, config)[which == "last"]
        params = random_params(corpus, config.dim)
        metrics, rows = jax.jit(make_gradients(config, corpus.vocabulary))(params, block, jnp.int32(STEP))
        expected, gradient = jax.jit(jax.value_and_grad(lambda p: textbook_loss(corpus, config, block, p)))(params)
        moved = apply_rows(Params(*map(jnp.zeros_like, params)), rows)
        np.testing.assert_allclose(metrics.loss, expected, rtol=1e-9)
        chex.assert_trees_all_close(moved, gradient, rtol=1e-9, atol=1e-12)
        assert float(jnp.abs(gradient.center).max()) > 0.1


@pytest.mark.parametrize("objective", ["negative-sampling", "naive-softmax", "softmax"])
def test_a_step_moves_against_the_gradient_and_counts(objective: str, corpus: Corpus) -> None:
    config = config_for(objective)
    block = blocks_of(corpus, config)[0]
    optimizer = optax.sgd(0.01)
    state = init_state(config, corpus.vocabulary, optimizer)
    before = Params(*map(np.asarray, jax.tree.map(jnp.copy, state.params)))
    metrics, rows = jax.jit(make_gradients(config, corpus.vocabulary))(state.params, block, jnp.int32(0))
    expected = apply_rows(jax.tree.map(jnp.asarray, before), jax.tree.map(lambda x: x, rows)._replace(
        center=rows.center._replace(values=-0.01 * rows.center.values),
        outside=rows.outside._replace(values=-0.01 * rows.outside.values),
    ))  # fmt: skip
    state, got = make_train_step(config, corpus.vocabulary, optimizer)(state, block)
    chex.assert_trees_all_close(state.params, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(got.loss, metrics.loss, rtol=4e-6)  # a float32 sum, in another order
    assert int(state.step) == 1


def test_the_step_compiles_once_and_moves_nothing_to_or_from_the_host(corpus: Corpus) -> None:
    config = config_for("negative-sampling")
    traces = []

    def counted(
        updates: Params, state: optax.EmptyState, params: Params | None = None
    ) -> tuple[Params, optax.EmptyState]:
        traces.append("traced")
        return updates, state

    counting = optax.chain(optax.GradientTransformation(lambda params: optax.EmptyState(), counted), optax.sgd(0.1))
    state = init_state(config, corpus.vocabulary, counting)
    train_step = make_train_step(config, corpus.vocabulary, counting)
    blocks = [jax.device_put(block) for block in blocks_of(corpus, config)]
    state, _ = train_step(state, blocks[0])
    with jax.transfer_guard("disallow"):
        for block in blocks * 3:
            state, _ = train_step(state, block)
    assert traces == ["traced"]


def test_the_state_that_goes_in_is_donated(corpus: Corpus) -> None:
    config = config_for("negative-sampling")
    optimizer = optax.adagrad(0.1)
    state = init_state(config, corpus.vocabulary, optimizer)
    old = jax.tree.leaves(state)
    make_train_step(config, corpus.vocabulary, optimizer)(state, blocks_of(corpus, config)[0])
    assert all(leaf.is_deleted() for leaf in old)


def compiled_scan(corpus: Corpus, optimizer: optax.GradientTransformation) -> str:
    config = config_for("negative-sampling")
    train_step = make_train_step(config, corpus.vocabulary, optimizer)
    state = init_state(config, corpus.vocabulary, optimizer)
    shape = jax.ShapeDtypeStruct((4, 64 // TILE, TILE + 2 * config.window), jnp.int32)
    scan = jax.jit(lambda state, blocks: jax.lax.scan(train_step, state, blocks), donate_argnums=0)
    as_users_get_it = {"xla_cpu_use_fusion_emitters": True} if "emitters" in os.environ["XLA_FLAGS"] else {}
    return str(scan.lower(state, Block(shape, shape)).compile(as_users_get_it).as_text())


def table_operations(program: str, corpus: Corpus) -> list[str]:
    """The operations that make a whole new table: copies of one, or tables of zeros or of sums."""
    shape = rf"f32\[{len(corpus.vocabulary)},6\]"
    return re.findall(rf"= {shape}\S* ((?:copy|broadcast|add|multiply|select)\b[^(]*)\(", program)


@pytest.mark.parametrize("make", [default_optimizer, lambda corpus, config: optax.adagrad(0.1)])
def test_no_operation_makes_a_table(make, corpus: Corpus) -> None:  # type: ignore[no-untyped-def]
    program = compiled_scan(corpus, make(corpus, config_for("negative-sampling")))
    assert re.search(
        rf"f32\[{len(corpus.vocabulary)},6\]\S* scatter|scatter.*f32\[{len(corpus.vocabulary)},6\]", program
    )
    assert table_operations(program, corpus) == []


def test_the_search_finds_a_table(corpus: Corpus) -> None:
    def dense_step(state: TrainState, block: Block) -> tuple[TrainState, None]:
        params = jax.tree.map(lambda table: table * 0.5 + 1, state.params)
        return state._replace(params=params), None

    state = init_state(config_for("negative-sampling"), corpus.vocabulary, optax.sgd(0.1))
    shape = jax.ShapeDtypeStruct((4, 2, 2), jnp.int32)
    program = jax.jit(lambda s, b: jax.lax.scan(dense_step, s, b)).lower(state, Block(shape, shape)).compile().as_text()
    assert table_operations(str(program), corpus)


@pytest.mark.parametrize("objective", ["negative-sampling", "naive-softmax", "softmax"])
def test_a_block_beyond_the_text_moves_nothing(objective: str, corpus: Corpus) -> None:
    config = config_for(objective)
    optimizer = optax.sgd(0.1, momentum=0.9)
    state = init_state(config, corpus.vocabulary, optimizer)
    train_step = make_train_step(config, corpus.vocabulary, optimizer)
    block = blocks_of(corpus, config)[0]
    with jax.numpy_dtype_promotion("standard"):  # optax's momentum multiplies a float by an integer
        state, _ = train_step(state, block)
    before = [np.array(leaf) for leaf in jax.tree.leaves(state._replace(step=jnp.int32(0)))]
    beyond = Block(jnp.full_like(block.tokens, len(corpus.vocabulary)), jnp.full_like(block.lines, -1))
    with jax.numpy_dtype_promotion("standard"):
        state, metrics = train_step(state, beyond)
    for old, new in zip(before, jax.tree.leaves(state._replace(step=jnp.int32(0))), strict=True):
        np.testing.assert_array_equal(new, old)
    assert (float(metrics.loss), int(metrics.targets)) == (0, 0)


def test_the_seed_decides_what_a_step_draws_and_where_it_starts(corpus: Corpus) -> None:
    config = config_for("negative-sampling")
    other = TrainConfig(**{**config.__dict__, "seed": 1})
    block, params = blocks_of(corpus, config)[0], init_params(jax.random.key(0), len(corpus.vocabulary), 6)
    params = params._replace(outside=params.center)
    losses = [make_gradients(c, corpus.vocabulary)(params, block, jnp.int32(0))[0].loss for c in (config, other)]
    assert losses[0] != losses[1]
    starts = [init_state(c, corpus.vocabulary, optax.sgd(0.1)).params.center for c in (config, other)]
    assert (starts[0] != starts[1]).any()


@pytest.mark.parametrize("table", ["center", "outside"])
def test_softmax_bounds_its_curvature_as_the_textbook_form_does(table: str, corpus: Corpus) -> None:
    found = []
    with jax.enable_x64(True):
        for objective in ("naive-softmax", "softmax"):
            config = config_for(objective)
            block, params = blocks_of(corpus, config)[0], random_params(corpus, config.dim)
            _, rows = make_gradients(config, corpus.vocabulary)(params, block, jnp.int32(STEP))
            of_table = getattr(rows, table)
            summed = jnp.zeros(len(corpus.vocabulary)).at[of_table.ids].add(of_table.curvature, mode="drop")
            found.append(np.asarray(summed))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-12)
    assert found[0].max() > 0.1
