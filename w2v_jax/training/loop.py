"""The training loop: the host prepares the next blocks while the devices run a compiled scan over the current ones."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, PRNGKeyArray

from ..config import TILE, CheckpointConfig, MeshConfig, StreamConfig, TrainConfig
from ..distributed.mesh import block_sharding, make_mesh, mesh_axes, shard_blocks, tile_sharding, unshard_tables
from ..distributed.processes import process_allgather_int, translate_peer_errors
from ..distributed.replicas import init_replicas
from ..errors import InputError
from ..models.model import Model
from ..models.registry import named_model
from ..params import Tables, named_tables, tables_like
from ..progress import progress
from ..sampling.stream import context_halo, expected_steps, stream
from ..sampling.windows import Block
from ..text.corpus import Corpus
from ..text.vocabulary import Vocabulary
from ..vectors.keyed_vectors import KeyedVectors
from .bounded_sgd import bounded_sgd
from .checkpoints import Checkpoints, run_fingerprint
from .forked import survive_fork
from .replica_step import make_replica_steps
from .reports import Callback, Reports, RunningMean
from .row_sparse import RowSparse, row_sparse
from .state import TrainState, check_shapes, init_state, whiten_tables
from .step import Metrics, make_loss, make_train_step, shard_step

BLOCKS_PER_DISPATCH = 64  # blocks scanned in one call: enough to hide the call, few enough to stop soon
Config = TypeVar("Config", bound=StreamConfig)


@survive_fork
@translate_peer_errors()
def train(
    corpus: Corpus,
    config: TrainConfig | None = None,
    *,
    model: Model | None = None,
    optimizer: optax.GradientTransformation | RowSparse | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoints: CheckpointConfig | None = None,
    tables: Tables | None = None,
    frozen: Tables | None = None,
    mesh: MeshConfig | None = None,
) -> KeyedVectors:
    """Train word vectors on a corpus.

    The trained tables are the result's `.params`, after the partial whitening that `config.whitening` or the
    model asks for.

    Args:
      corpus: the encoded text.
      config: every number of the training.
      model: what is trained, instead of the model that `config.objective` names; then `config.dim` and
        the noise options do not apply.
      optimizer: any of optax's, with its own schedule; by default `bounded_sgd`, whose rate falls linearly
        from `config.lr` to a ten-thousandth of it. With local steps, leave it out.
      callbacks: each is called twenty times an epoch, the last time at its end; one that returns True ends
        the training. With local steps they wait for the next merge of the replicas, as checkpoints do.
      checkpoints: with a folder, training that is killed, or stopped by SIGINT, SIGTERM or SIGHUP, can be
        resumed and ends with the same bits as an uninterrupted run; a stop then waits for a last checkpoint.
      tables: where training starts, such as `grow` makes of earlier tables, instead of fresh ones; a
        checkpoint to resume from replaces them.
      frozen: for each table a mask of the rows of `tables` that stay as they are.
      mesh: which devices train. After `jax.distributed.initialize` all processes do, each on a corpus of its
        own, encoded with the vocabulary of all.

    Returns:
      The vectors, with the trained tables as `.params`.

    Raises:
      InputError: the vocabulary is a single word, or no line has two words; `tables` or `frozen` do not fit
        the model; the checkpoints cannot be written or read, or are of another training.
      TrainingInterrupted: a signal came, and the state has been saved.
      FloatingPointError: the loss is no longer a finite number.

    >>> from w2v_jax.text.corpus import Corpus
    >>> corpus = Corpus.from_sentences([["to", "be", "or", "not", "to", "be"]] * 5)
    >>> train(corpus, TrainConfig(dim=8, sample=0.0)).vectors.shape
    (4, 8)
    """
    config, mesh, vocabulary = config or TrainConfig(), mesh or MeshConfig(), corpus.vocabulary
    devices = make_mesh(mesh)  # first: the number of CPU devices can only be set before JAX is initialized
    _check_text(corpus, config)
    _check_devices(corpus, config, mesh, devices, optimizer)
    model = model or named_model(config, vocabulary)
    key = jax.random.key(config.seed)
    shapes = jax.eval_shape(lambda: model.init(key, vocabulary))
    whitening = model.whitening if config.whitening is None else config.whitening
    _check_tables(shapes, tables, frozen, whitening)
    frozen = frozen and tables_like(shapes, named_tables(frozen))
    sparse = row_sparse(optimizer) if optimizer else default_optimizer(corpus, config)
    state = init_state(model, key, vocabulary, sparse, tables=tables, mesh=devices)
    num_rows = jax.tree.map(len, shapes)
    words_per_epoch = sum(process_allgather_int(len(corpus.ids)))

    with contextlib.ExitStack() as stack:
        saved, step, words, learnt_before = None, 0, 0, False
        if checkpoints and checkpoints.checkpoint_dir:
            fingerprint = run_fingerprint(corpus, config, mesh, state, num_rows, tables, frozen, whitening)
            saved = stack.enter_context(Checkpoints(checkpoints, fingerprint, vocabulary))
            fresh = state
            state, step, words = saved.restore(fresh)
            changed = jax.tree.map(lambda now, before: bool((now != before).any()), state.tables, fresh.tables)
            learnt_before = any(jax.tree.leaves(changed))
            del fresh
        began = time.perf_counter()
        run, carry, blocks, sharding = _compile_dispatch(model, sparse, frozen, corpus, config, mesh, devices, state)
        compile_seconds = time.perf_counter() - began
        total = config.epochs * words_per_epoch
        bar = progress(total, "words", initial=words, silent=jax.process_index() > 0)
        held_out_loss = make_held_out_loss(model, corpus, config, key, devices)
        reports = Reports(
            stack.enter_context(bar), callbacks,
            words_per_epoch=words_per_epoch, step=step, words_before=words, compile_seconds=compile_seconds,
        )  # fmt: skip
        stack.enter_context(translate_peer_errors())  # here too, so that the checkpoints receive PeerLostError
        for dispatch in stream(
            corpus, _of_this_process(config), blocks=blocks, start=step, allgather=process_allgather_int
        ):
            carry, metrics = run(carry, shard_blocks(dispatch.blocks, sharding))
            state = carry.state if mesh.local_steps > 1 else carry
            step, words = step + dispatch.filled, dispatch.words
            if saved:
                saved.save_if_due(state, step, words)
            export = functools.partial(export_vectors, model, state.tables, num_rows, vocabulary, whitening, copy=True)
            if reports.add(metrics, step, words, export, functools.partial(held_out_loss, state.tables)):
                break
        if not (reports.any_target or learnt_before):
            raise InputError(
                "no word has another word beside it on its line, so there is nothing to learn; "
                "separate words by spaces (segment Chinese or Japanese first), give longer lines, or a larger "
                "--sample, which keeps more of the frequent words"
            )
        if saved:
            saved.save(state, step, words)
    return export_vectors(model, state.tables, num_rows, vocabulary, whitening)


def default_optimizer(corpus: Corpus, config: TrainConfig) -> RowSparse:
    """Return `bounded_sgd` with the learning rate falling linearly over the whole training (word2vec.c, 2013)."""
    steps = expected_steps(corpus, _of_this_process(config), process_allgather_int)
    return row_sparse(bounded_sgd(optax.linear_schedule(config.lr, config.lr * 1e-4, steps)), merge_duplicates=False)


def export_vectors(
    model: Model, tables: Tables, num_rows: Tables, vocabulary: Vocabulary, whitening: float, *, copy: bool = False
) -> KeyedVectors:
    """Turn trained tables into vectors, after a partial whitening that reuses their buffers, unless `copy` is set.

    Args:
      model: says which vectors the tables stand for.
      tables: trained tables, perhaps sharded.
      num_rows: for each table its number of rows without padding.
      vocabulary: the words of their rows.
      whitening: power of the partial whitening; 0 leaves the tables as they are.
    """
    tables = unshard_tables(jax.tree.map(jnp.copy, tables) if copy else tables, num_rows)
    tables = whiten_tables(tables, whitening)
    vectors = np.asarray(model.vectors(tables, vocabulary.counts))
    return KeyedVectors(vocabulary.words, vectors, vocabulary.counts, tables)


def make_held_out_loss(
    model: Model, corpus: Corpus, config: StreamConfig, key: PRNGKeyArray, mesh: Mesh | None = None
) -> Callable[[Tables], float | None]:
    """Return the function that computes the mean loss per target of the held-out text; None where there is no text.

    Every call has the same windows and negatives.
    """
    loss, no_optimizer = make_loss(model, mesh_axes(mesh)), row_sparse(optax.identity())

    def step(state: TrainState, block: Block) -> tuple[TrainState, Metrics]:
        metrics = loss(state.tables, block, jax.random.fold_in(state.key, state.step))
        return state._replace(step=state.step + 1), metrics

    @jax.jit
    def metrics_of(tables: Tables, blocks: Block, first: Array) -> Metrics:
        state = TrainState(tables, optax.EmptyState(), key, first)
        return jax.lax.scan(shard_step(step, mesh, no_optimizer), state, blocks)[1]

    def held_out_loss(tables: Tables) -> float | None:
        if not config.held_out:
            return None
        running, sharding = RunningMean(), tile_sharding(mesh) if mesh else None
        held_out = stream(
            corpus, _of_this_process(config), blocks=BLOCKS_PER_DISPATCH, held_out=True, allgather=process_allgather_int
        )
        for i, dispatch in enumerate(held_out):
            first = jnp.int32(i * BLOCKS_PER_DISPATCH)
            running = running.add(jax.device_get(metrics_of(tables, shard_blocks(dispatch.blocks, sharding), first)))
        return running.mean if running.targets else None

    return held_out_loss


def _compile_dispatch(
    model: Model, optimizer: RowSparse, frozen: Tables | None, corpus: Corpus, config: TrainConfig,
    mesh: MeshConfig, devices: Mesh | None, state: TrainState,
) -> tuple[Any, Any, int, NamedSharding | None]:  # fmt: skip
    """Compile the call that trains on many blocks, (carry, blocks) → (carry, metrics), before the clock starts.

    Returns:
      The compiled call; the first carry, which is the state, or the replicas; the blocks of a call; their sharding.
    """
    scan: Any
    carry: Any = state
    sharding: NamedSharding | None
    if devices and mesh.local_steps > 1:
        scan, carry = make_replica_steps(model, optimizer, devices, frozen), init_replicas(state)
        blocks, sharding = mesh.local_steps * devices.size, block_sharding(devices)
    else:
        scan = functools.partial(jax.lax.scan, make_train_step(model, optimizer, devices, frozen))
        blocks, sharding = BLOCKS_PER_DISPATCH, tile_sharding(devices) if devices else None
    halo = context_halo(corpus, config, process_allgather_int)
    shape = (blocks, config.batch_tokens // TILE, TILE + 2 * halo)
    tokens: Any = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=sharding)
    return jax.jit(scan, donate_argnums=0).lower(carry, Block(tokens, tokens)).compile(), carry, blocks, sharding


def _of_this_process(config: Config) -> Config:
    """Return the config of the share of every block that this process fills from its own text."""
    return dataclasses.replace(config, batch_tokens=config.batch_tokens // jax.process_count())


def _check_text(corpus: Corpus, config: TrainConfig) -> None:
    if len(corpus.vocabulary) < 2:
        raise InputError(f"the vocabulary is {corpus.vocabulary.words}; training needs two words or more")
    for held_out in (False, True) if config.held_out else ():
        has_text = next(stream(corpus, config, blocks=1, held_out=held_out), None) is not None
        if not any(process_allgather_int(has_text)):
            purpose = "hold out" if held_out else "train on"
            raise InputError(
                f"held_out is {config.held_out}, which leaves none of {len(corpus.ids):,} words to {purpose}"
            )


def _check_tables(shapes: Tables, tables: Tables | None, frozen: Tables | None, whitening: float) -> None:
    names = named_tables(shapes)
    if whitening and not {"center", "outside"} <= set(names):
        raise InputError(f"whitening is {whitening}, which transforms tables named center and outside; "
                         f"this model has {', '.join(names)}: leave it out")  # fmt: skip
    if frozen is None:
        return
    if tables is None:
        raise InputError("frozen keeps rows of `tables` as they are; give those tables")
    check_shapes("frozen mask", frozen, shapes, rank=1)
    if whitening:
        raise InputError(f"whitening is {whitening}, which would change the frozen rows too; give whitening=0.0")


def _check_devices(corpus: Corpus, config: TrainConfig, mesh: MeshConfig, devices: Mesh | None, optimizer: Any) -> None:
    if devices and (config.held_out or mesh.local_steps == 1) and config.batch_tokens % (TILE * devices.size):
        held_out = " of held-out text" if config.held_out else ""
        raise InputError(f"a block of {config.batch_tokens} tokens{held_out} cannot be divided among {devices.size} "
                         f"devices; give a multiple of {TILE * devices.size} (--batch-tokens)")  # fmt: skip
    if mesh.local_steps == 1:
        return
    if optimizer is not None:
        raise InputError("local_steps merges what the default optimizer has done; give no other optimizer")
    if jax.process_count() > 1:
        raise InputError("local_steps are for the devices of one process; processes train on each block together")
    assert devices is not None
    blocks, total = mesh.local_steps * devices.size, expected_steps(corpus, config)
    if blocks > total:
        raise InputError(f"the replicas would merge after {blocks:,} blocks of {config.batch_tokens} tokens, and the "
                         f"text has {total:,} in all epochs; give fewer --local-steps, for tens of merges")  # fmt: skip
