"""The contract of every registered model: a new model is tested by being registered, with its textbook loss below."""

import os
import re
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from w2v_jax.config import TILE, TextConfig, TrainConfig
from w2v_jax.distributed.collectives import ONE_DEVICE
from w2v_jax.distributed.gather import gather_rows, scatter_add
from w2v_jax.models.model import Model
from w2v_jax.models.registry import MODELS, named_model
from w2v_jax.objectives.softmax import log_probs
from w2v_jax.params import PAD_ID, Params
from w2v_jax.sampling.stream import stream
from w2v_jax.sampling.windows import Block
from w2v_jax.text.corpus import Corpus
from w2v_jax.training.bounded_sgd import bounded_sgd
from w2v_jax.training.loop import default_optimizer
from w2v_jax.training.row_sparse import row_sparse
from w2v_jax.training.state import TrainState, init_state
from w2v_jax.training.step import make_gradients, make_train_step, tile_keys

pytestmark = pytest.mark.usefixtures("several_blocks")

KEY = jax.random.key(3)
every_model = pytest.mark.parametrize("objective", MODELS)


def softmax_pair(center: jax.Array, outside: jax.Array, negatives: jax.Array, params: Params) -> tuple[Any, ...]:
    """Return the loss of a pair, its candidates, and what each is predicted and observed: Equations 2 and 8."""
    log_y_hat = log_probs(params.center[center], params.outside)
    y = jax.nn.one_hot(outside, len(params.outside), dtype=log_y_hat.dtype)
    return -log_y_hat[outside], jnp.arange(len(params.outside)), jnp.exp(log_y_hat), y


def sampling_pair(center: jax.Array, outside: jax.Array, negatives: jax.Array, params: Params) -> tuple[Any, ...]:
    """The same for negative sampling: each of K shared negatives counts negative/K times."""
    ids = jnp.concatenate([outside[None], negatives])
    scores = params.outside[ids] @ params.center[center]
    weight = jnp.full(len(ids), CONFIG.negative / CONFIG.shared_negatives, scores.dtype).at[0].set(1)
    observed = jnp.zeros_like(weight).at[0].set(1)
    loss = weight @ jnp.where(observed > 0, -jax.nn.log_sigmoid(scores), -jax.nn.log_sigmoid(-scores))
    return loss, ids, weight * jax.nn.sigmoid(scores), observed


TEXTBOOK = {"negative-sampling": sampling_pair, "naive-softmax": softmax_pair, "softmax": softmax_pair}
"""objective → (center, outside, the tile's negatives, params) → (loss, candidates, predicted, observed) of a pair."""
CONFIG = TrainConfig(dim=6, window=3, sample=0.1, batch_tokens=64, shared_negatives=8, noise_power=0.5)


@pytest.fixture(scope="module")
def words() -> Corpus:
    rng = np.random.default_rng(0)
    sentences = [[f"w{i}" for i in rng.zipf(1.5, rng.integers(2, 30)) if i < 40] for _ in range(60)]
    return Corpus.from_sentences(sentences, TextConfig(min_count=1))


def model_for(objective: str, words: Corpus) -> Model:
    return named_model(TrainConfig(**{**CONFIG.__dict__, "objective": objective}), words.vocabulary)


def blocks_of(words: Corpus) -> list[Block]:
    """Return a full block and the last, partly empty one."""
    first, *_, last = stream(words, CONFIG, blocks=1)
    return [Block(*(jnp.asarray(part[0]) for part in dispatch.blocks)) for dispatch in (first, last)]


def random_params(words: Corpus, dtype: str = "float64") -> Params:
    rng = np.random.default_rng(1)
    return Params(*(jnp.asarray(rng.normal(size=(len(words.vocabulary), CONFIG.dim)), dtype) for _ in range(2)))


def dense(updates: Params, params: Params) -> Params:
    """Return the gradient of whole tables."""
    return scatter_add(jax.tree.map(jnp.zeros_like, params), updates)


def pairs_of(block: Block, negatives: np.ndarray) -> tuple[jax.Array, ...]:
    """Return the block's (center, outside, negatives, window weight) pairs, one by one."""
    tokens, lines = map(np.asarray, block)
    pairs = []
    for g, i in np.ndindex(len(tokens), TILE):
        at = CONFIG.window + i
        for j in range(i, at + CONFIG.window + 1):
            if j != at and lines[g, at] == lines[g, j] >= 0:
                share = (CONFIG.window + 1 - abs(j - at)) / CONFIG.window
                pairs.append((tokens[g, at], tokens[g, j], negatives[g], share))
    return tuple(map(jnp.array, zip(*pairs, strict=True)))


def textbook(objective: str, model: Model, block: Block) -> Callable[[Params], tuple[Any, Params]]:
    """Return params → (the sum over the block's pairs of each pair's loss, the absolute terms of its gradient)."""
    ids = model.batch(block, tile_keys(KEY, block, ONE_DEVICE)).ids
    negatives = np.asarray(ids.outside[:, -CONFIG.shared_negatives :]) if objective == "negative-sampling" else None
    pairs = pairs_of(block, np.zeros((len(block.tokens), 1), int) if negatives is None else negatives)

    def summed(params: Params) -> tuple[Any, Params]:
        def of_pair(center: Any, outside: Any, negatives: Any, share: Any) -> tuple[Any, Params]:
            loss, ids, predicted, observed = TEXTBOOK[objective](center, outside, negatives, params)
            size = share.astype(loss.dtype) * (predicted + observed)
            of_center = jnp.zeros_like(params.center).at[center].add(size @ jnp.abs(params.outside[ids]))
            of_outside = jnp.zeros_like(params.outside).at[ids].add(jnp.outer(size, jnp.abs(params.center[center])))
            return share.astype(loss.dtype) * loss, Params(of_center, of_outside)

        return jax.tree.map(lambda x: x.sum(0), jax.vmap(of_pair)(*pairs))

    return summed


@every_model
@pytest.mark.parametrize("which", ["full", "last"])
def test_loss_and_gradient_are_the_sum_over_pairs(objective: str, which: str, words: Corpus, dtype: str) -> None:
    """In float64 rtol 1e-9 on the whole tree; in float32 within 8 ulp of the sum of absolute terms."""
    block, params, model = blocks_of(words)[which == "last"], random_params(words, dtype), model_for(objective, words)
    metrics, updates = jax.jit(make_gradients(model))(params, block, KEY)
    got = dense(updates, params)
    assert any(len(np.unique(rows.ids)) < len(rows.ids) for rows in updates)  # repeated rows, which must add
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda table: jnp.asarray(table, jnp.float64), params)
        reference = textbook(objective, model, block)
        (expected, terms), gradient = jax.jit(jax.value_and_grad(reference, has_aux=True))(wide)
    assert float(np.abs(gradient.center).max()) > 0.1
    if dtype == "float64":
        np.testing.assert_allclose(metrics.loss, expected, rtol=1e-9)
        chex.assert_trees_all_close(got, gradient, rtol=1e-9, atol=1e-12)
    else:
        np.testing.assert_allclose(metrics.loss, expected, rtol=1e-6)
        assert_within_ulp(got, gradient, terms)
    set_instead = lambda table, rows: jnp.zeros_like(table).at[rows.ids].set(rows.values, mode="drop")
    with pytest.raises(AssertionError):
        assert_within_ulp(jax.tree.map(set_instead, params, updates), gradient, terms)


def assert_within_ulp(got: Params, expected: Params, terms: Params, ulp: int = 8) -> None:
    for ours, theirs, scale in zip(got, expected, terms, strict=True):
        unit = np.spacing(np.maximum(np.asarray(scale, np.float32), np.finfo(np.float32).tiny))
        assert np.all(np.abs(np.asarray(ours) - np.asarray(theirs)) <= ulp * unit)


@every_model
def test_finite_differences_agree(objective: str, words: Corpus) -> None:
    with jax.enable_x64(True):
        block, params, model = blocks_of(words)[0], random_params(words), model_for(objective, words)
        batch = model.batch(block, tile_keys(KEY, block, ONE_DEVICE))
        loss = jax.jit(lambda params: model.loss(gather_rows(params, batch.ids, ONE_DEVICE), batch)[0])
        gradient, rng = dense(make_gradients(model)(params, block, KEY)[1], params), np.random.default_rng(2)
        for _ in range(4):
            direction = jax.tree.map(lambda table: jnp.asarray(rng.normal(size=table.shape)), params)
            moved = lambda h, towards=direction: jax.tree.map(lambda table, step: table + h * step, params, towards)
            slope = (loss(moved(1e-5)) - loss(moved(-1e-5))) / 2e-5
            expected = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True))
            np.testing.assert_allclose(slope, expected, rtol=1e-6)
            assert abs(float(expected)) > 1


def test_a_plain_loss_trains_as_the_hand_written_gradient_does(words: Corpus) -> None:
    """The same model in `jax.numpy`, differentiated by autodiff, through the same step."""
    from w2v_jax import Aux, context_weights

    hand_written, block = model_for("negative-sampling", words), blocks_of(words)[0]

    def loss(rows: Any, batch: Any) -> tuple[jax.Array, Aux]:
        scores = jnp.einsum("gsd,gnd->gsn", rows.center, rows.outside)
        weights = context_weights(batch.inputs.lines, window=CONFIG.window)
        targets, slots = weights.sum(2, keepdims=True), weights.shape[2]
        positive = (weights * -jax.nn.log_sigmoid(scores[..., :slots])).sum()
        share = CONFIG.negative / CONFIG.shared_negatives
        negative = (share * targets * -jax.nn.log_sigmoid(-scores[..., slots:])).sum()
        return positive + negative, Aux(targets.sum())

    states = []
    for model in (hand_written, hand_written._replace(loss=loss)):
        state = init_state(model, KEY, words.vocabulary, optax.adagrad(0.1), tables=random_params(words, "float32"))
        for _ in range(3):
            state, _ = make_train_step(model, optax.adagrad(0.1))(state, block)
        states.append(state.tables)
    chex.assert_trees_all_close(*states, rtol=1e-4, atol=1e-5)


@every_model
def test_a_step_moves_against_the_gradient(objective: str, words: Corpus) -> None:
    model, block, optimizer = model_for(objective, words), blocks_of(words)[0], optax.sgd(0.01)
    params = random_params(words, "float32")
    state = init_state(model, KEY, words.vocabulary, optimizer, tables=params)
    metrics, updates = jax.jit(make_gradients(model))(params, block, jax.random.fold_in(KEY, jnp.int32(0)))
    expected = jax.tree.map(lambda table, gradient: table - 0.01 * gradient, params, dense(updates, params))
    state, reported = make_train_step(model, optimizer)(state, block)
    chex.assert_trees_all_close(state.tables, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reported.loss, metrics.loss, rtol=4e-6)  # a float32 sum, in another order
    assert int(state.step) == 1


@every_model
def test_a_block_beyond_the_text_moves_nothing(objective: str, words: Corpus) -> None:
    optimizer = optax.sgd(0.1, momentum=0.9)
    model, block = model_for(objective, words), blocks_of(words)[0]
    state = init_state(model, KEY, words.vocabulary, optimizer)
    train_step = make_train_step(model, optimizer)
    beyond = Block(jnp.full_like(block.tokens, PAD_ID), jnp.full_like(block.lines, -1))
    with jax.numpy_dtype_promotion("standard"):  # optax's momentum multiplies a float by an integer
        state, _ = train_step(state, block)
        before = jax.tree.map(np.array, (state.tables, state.opt_state))
        state, metrics = train_step(state, beyond)
    chex.assert_trees_all_equal((state.tables, state.opt_state), before)
    assert (float(metrics.loss), int(metrics.targets)) == (0, 0)


@every_model
def test_vmap_over_seeds_and_rates_equals_separate_runs(objective: str, words: Corpus) -> None:
    model, blocks = model_for(objective, words), blocks_of(words)

    def run(key: jax.Array, rate: jax.Array) -> Params:
        optimizer = row_sparse(bounded_sgd(rate), merge_duplicates=False)
        state = init_state(model, key, words.vocabulary, optimizer)
        for block in blocks:
            state, _ = make_train_step(model, optimizer)(state, block)
        return state.tables

    keys, rates = jax.random.split(KEY, 3), jnp.array([0.02, 0.1])
    together = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(keys, rates)
    for i, j in np.ndindex(3, 2):
        alone = jax.jit(run)(keys[i], rates[j])
        chex.assert_trees_all_close(jax.tree.map(lambda x, at=(i, j): x[at], together), alone, rtol=1e-5, atol=1e-7)
    spread = np.asarray(together.center).std((0, 1))
    assert (spread > 1e-4).mean() > 0.5  # other seeds and rates are other runs


@every_model
@pytest.mark.parametrize("table_dtype", ["float32", "bfloat16", "float64"])
def test_tables_and_loss_keep_their_types_with_x64_on(objective: str, table_dtype: str, words: Corpus) -> None:
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        model, block = model_for(objective, words), blocks_of(words)[0]
        for optimizer in (row_sparse(bounded_sgd(0.1), merge_duplicates=False), optax.adagrad(0.1)):
            state = init_state(model, KEY, words.vocabulary, optimizer, tables=random_params(words, table_dtype))
            state, metrics = make_train_step(model, optimizer)(state, block)
            assert {table.dtype.name for table in state.tables} == {table_dtype}
            assert metrics.loss.dtype.name == ("float64" if table_dtype == "float64" else "float32")
        assert {table.dtype.name for table in model.init(KEY, words.vocabulary)} == {"float32"}


@every_model
def test_the_step_compiles_once_and_moves_nothing_to_or_from_the_host(objective: str, words: Corpus) -> None:
    traces = []

    def counted(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        traces.append("traced")
        return updates, state

    counting = optax.chain(optax.GradientTransformation(lambda params: optax.EmptyState(), counted), optax.sgd(0.1))
    model = model_for(objective, words)
    state = init_state(model, KEY, words.vocabulary, counting)
    first = jax.tree.leaves((state.tables, state.step))
    train_step = make_train_step(model, counting)
    blocks = [jax.device_put(block) for block in blocks_of(words)]
    state, _ = train_step(state, blocks[0])
    with jax.transfer_guard("disallow"):
        for block in blocks * 3:
            state, _ = train_step(state, block)
    assert traces == ["traced"]
    assert all(leaf.is_deleted() for leaf in first)  # the state is donated


@every_model
def test_the_step_lowers_for_every_platform(objective: str, words: Corpus) -> None:
    """No plugin is needed: `jax.export` lowers for platforms that are not here."""
    model, optimizer = model_for(objective, words), default_optimizer(words, CONFIG)
    state = jax.eval_shape(lambda: init_state(model, KEY, words.vocabulary, optimizer))
    step = make_train_step(model, optimizer)
    exported = jax.export.export(step, platforms=["cpu", "cuda", "tpu", "rocm"])(state, blocks_of(words)[0])
    assert exported.platforms == ("cpu", "cuda", "tpu", "rocm")


def table_operations(program: str, words: Corpus) -> list[str]:
    """Return the operations that make a whole new table: copies of one, or tables of zeros or of sums."""
    shape = rf"f32\[{len(words.vocabulary)},6\]"
    return re.findall(rf"= {shape}\S* ((?:copy|broadcast|add|multiply|select)\b[^(]*)\(", program)


@pytest.mark.parametrize("make", [default_optimizer, lambda words, config: optax.adagrad(0.1)])
def test_no_operation_makes_a_table(make: Any, words: Corpus) -> None:
    model, optimizer, size = model_for("negative-sampling", words), make(words, CONFIG), len(words.vocabulary)
    train_step, state = make_train_step(model, optimizer), init_state(model, KEY, words.vocabulary, optimizer)
    shape = jax.ShapeDtypeStruct((4, 64 // TILE, TILE + 2 * CONFIG.window), jnp.int32)
    scan = jax.jit(lambda state, blocks: jax.lax.scan(train_step, state, blocks), donate_argnums=0)
    as_users_get_it = {"xla_cpu_use_fusion_emitters": True} if "emitters" in os.environ["XLA_FLAGS"] else {}
    program = str(scan.lower(state, Block(shape, shape)).compile(as_users_get_it).as_text())
    assert re.search(rf"f32\[{size},6\]\S* scatter|scatter.*f32\[{size},6\]", program)
    assert table_operations(program, words) == []


def test_the_search_finds_a_table(words: Corpus) -> None:
    def dense_step(state: TrainState, block: Block) -> tuple[TrainState, None]:
        return state._replace(tables=jax.tree.map(lambda table: table * 0.5 + 1, state.tables)), None

    state = init_state(model_for("negative-sampling", words), KEY, words.vocabulary, optax.sgd(0.1))
    shape = jax.ShapeDtypeStruct((4, 2, 2), jnp.int32)
    program = jax.jit(lambda s, b: jax.lax.scan(dense_step, s, b)).lower(state, Block(shape, shape)).compile().as_text()
    assert table_operations(str(program), words)


def test_the_key_decides_what_a_step_draws_and_where_it_starts(words: Corpus) -> None:
    model, block = model_for("negative-sampling", words), blocks_of(words)[0]
    params = random_params(words, "float32")
    losses = [make_gradients(model)(params, block, jax.random.key(seed))[0].loss for seed in (0, 1)]
    assert losses[0] != losses[1]
    starts = [init_state(model, jax.random.key(seed), words.vocabulary, optax.sgd(0.1)) for seed in (0, 1)]
    assert (starts[0].tables.center != starts[1].tables.center).any()


def test_softmax_bounds_its_curvature_as_the_naive_form_does(words: Corpus) -> None:
    totals = []
    with jax.enable_x64(True):
        for objective in ("naive-softmax", "softmax"):
            _, updates = make_gradients(model_for(objective, words))(random_params(words), blocks_of(words)[0], KEY)
            zeros = jnp.zeros(len(words.vocabulary))
            totals.append([np.asarray(zeros.at[rows.ids].add(rows.curvature, mode="drop")) for rows in updates])
    np.testing.assert_allclose(totals[1], totals[0], rtol=1e-9, atol=1e-12)
    assert np.min(np.max(totals[0], axis=1)) > 0.1
