"""The training loop: plain Python outside, compiled scans inside, and neither waiting for the other."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Int
from tqdm import tqdm

from ..config import TILE, CheckpointConfig, CountsConfig, MeshConfig, TrainConfig
from ..errors import InputError
from ..params import Params
from ..text.corpus import Corpus
from ..text.vocabulary import Vocabulary
from ..vectors.keyed_vectors import KeyedVectors
from ..windows import Block
from .checkpoints import Checkpoints, identity
from .counts import train_on_counts
from .freezing import Frozen, freeze
from .local_steps import make_local_steps, set_out
from .mesh import blocks_on, make_mesh, over_devices, put, tiles_on
from .processes import everyones_number, or_a_line
from .reports import Callback, Reports, Tally
from .rows import RowSparse
from .sgd import bounded_sgd
from .state import TrainState, init_state
from .step import Metrics, make_gradients, make_train_step
from .stream import expected_steps, stream
from .vectors_of import vectors_of

COUNTED = ("softmax-counts", "ppmi-svd")  # objectives that learn from counts
DISPATCH = 64  # blocks scanned in one call: enough to hide the call, few enough to stop soon


@or_a_line()
def train(
    corpus: Corpus,
    config: TrainConfig | None = None,
    *,
    optimizer: optax.GradientTransformation | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoints: CheckpointConfig | None = None,
    counts: CountsConfig | None = None,
    params: Params | None = None,
    frozen: Frozen | None = None,
    mesh: MeshConfig | None = None,
) -> KeyedVectors:
    """Train word vectors on a corpus; the trained tables are the result's `.params`.

    From fresh tables they are `evened` in the end: the same scores, from center vectors whose cosines say more.

    Args:
      optimizer: any of optax's, with its own schedule; by default SGD whose rate falls linearly
        from `config.lr` to a ten-thousandth of it; for softmax-counts, `shared_newton`. None with local steps.
      callbacks: each is called about twice a second, and where an epoch ends, or a pass over the counts; one
        that returns True ends the training. With local steps they wait for the devices to meet, as checkpoints do.
      counts: how co-occurrences are counted, for the objectives that learn from counts.
      mesh: which devices train; where `jax.distributed.initialize` was called, all processes do, each on a corpus
        of its own, encoded with the vocabulary of all. Callbacks are then given tables that are split as the mesh
        says, perhaps with rows of no word at their end.
      checkpoints: with a folder, training that is killed, or stopped by SIGINT or SIGTERM, can be resumed
        and ends with the bits of one that never was; a stop then waits for a last checkpoint.
      params: where training starts from, such as `grow` makes of earlier ones, instead of fresh tables; where
        there is a checkpoint to resume from, that. They are not evened, so that old and new vectors are alike.
      frozen: rows of `params` that stay as they are.

    Raises:
      InputError: the vocabulary is a single word, or no line has two words; an option is not for this
        objective; `params` or `frozen` are not of this vocabulary; the checkpoints cannot be written or
        read, or are of another training.
      Stopped: a signal came, and where training stands has been saved.
      FloatingPointError: the loss is no longer a number.

    >>> from w2v_jax.text.corpus import Corpus
    >>> corpus = Corpus.from_sentences([["to", "be", "or", "not", "to", "be"]] * 5)
    >>> train(corpus, TrainConfig(dim=8, sample=0.0)).vectors.shape
    (4, 8)
    """
    config = config or TrainConfig()
    vocabulary = corpus.vocabulary
    mesh = mesh or MeshConfig()
    devices = make_mesh(mesh)  # first of all: once JAX has begun, there are as many as there are
    apart = devices if mesh.local_steps > 1 else None
    _check_that_there_is_text(corpus, config)
    _check_that_options_fit(config, checkpoints, counts, params, frozen, devices)
    if devices and (config.held_out or not apart):
        _check_that_blocks_can_be_shared(config, devices)
    if apart:
        _check_that_local_steps_fit(corpus, config, mesh.local_steps * apart.size, optimizer)
    if config.objective in COUNTED:
        return train_on_counts(corpus, config, counts or CountsConfig(), optimizer=optimizer, callbacks=callbacks)
    optimizer = optimizer or default_optimizer(corpus, config)
    if frozen is not None:
        _check_that_masks_fit(frozen, len(vocabulary))
        optimizer = freeze(optimizer, frozen)
    state = init_state(config, vocabulary, optimizer, params, devices)
    words_an_epoch = sum(everyones_number(len(corpus.ids)))

    with contextlib.ExitStack() as stack:
        saved, step, words, learnt_before = None, 0, 0, False
        if checkpoints and checkpoints.checkpoint_dir:
            about = identity(corpus, config, state, params, frozen)
            about |= {"local_steps": mesh.local_steps, "devices": apart.size} if apart else {"local_steps": None}
            saved = stack.enter_context(Checkpoints(checkpoints, about, vocabulary))
            fresh = state
            state, step, words = saved.restore(fresh)
            learnt_before = any(bool((now != then).any()) for now, then in zip(state.params, fresh.params, strict=True))
            del fresh
        began = time.perf_counter()
        run, carry, blocks, split = _dispatch(config, vocabulary, optimizer, mesh.local_steps, devices, state)
        compile_seconds = time.perf_counter() - began
        total = config.epochs * words_an_epoch
        silent = None if jax.process_index() == 0 else True
        bar: tqdm[Any] = tqdm(total=total, initial=words, unit="words", unit_scale=True, disable=silent)
        held_out_loss = make_held_out_loss(corpus, config, devices) if config.held_out else None
        reports = Reports(
            stack.enter_context(bar), callbacks, held_out_loss,
            words_an_epoch=words_an_epoch, step=step, read_before=words, compile_seconds=compile_seconds,
        )  # fmt: skip
        stack.enter_context(or_a_line())  # as train has: here for the checkpoints to hear of it, too
        for some in stream(corpus, _of_this_process(config), blocks=blocks, start=step, everyones=everyones_number):
            carry, metrics = run(carry, put(some.blocks, devices, split))
            state = carry[0] if apart else carry
            step, words = step + some.filled, some.words
            if saved:
                saved.save_if_due(state, step, words)
            if reports.add(metrics, step, words, state.params):
                break
        if not (reports.any_target or learnt_before):
            raise InputError(
                "no word has another beside it on its line, so there is nothing to learn; "
                "give longer lines, or a larger --sample, which keeps more of the frequent words"
            )
        if saved:
            saved.save(state, step, words)
    return vectors_of(state.params, vocabulary, config.objective if params is None else None)


def default_optimizer(corpus: Corpus, config: TrainConfig) -> RowSparse:
    """SGD with the learning rate falling linearly over the whole training (word2vec.c, 2013)."""
    steps = expected_steps(corpus, _of_this_process(config), everyones_number)
    return bounded_sgd(optax.linear_schedule(config.lr, config.lr * 1e-4, steps))


def make_held_out_loss(
    corpus: Corpus, config: TrainConfig, mesh: Mesh | None = None
) -> Callable[[Params], float | None]:
    """The mean loss per target of the held-out text, with the same windows and noise at every call."""
    gradients = make_gradients(config, corpus.vocabulary)

    def step(state: TrainState, block: Block) -> tuple[TrainState, Metrics]:
        return state._replace(step=state.step + 1), gradients(state.params, block, state.step)[0]

    @jax.jit
    def metrics_of(params: Params, blocks: Block, first: Int[Array, ""]) -> Metrics:
        return jax.lax.scan(over_devices(step, mesh), TrainState(params, (), first), blocks)[1]

    def held_out_loss(params: Params) -> float | None:
        tally = Tally()
        aside = stream(corpus, _of_this_process(config), blocks=DISPATCH, held_out=True, everyones=everyones_number)
        for i, some in enumerate(aside):
            tally = tally.add(jax.device_get(metrics_of(params, put(some.blocks, mesh), jnp.int32(i * DISPATCH))))
        return tally.mean if tally.targets else None

    return held_out_loss


def _check_that_there_is_text(corpus: Corpus, config: TrainConfig) -> None:
    if len(corpus.vocabulary) < 2:
        raise InputError(f"the vocabulary is {corpus.vocabulary.words}; training needs two words or more")
    for held_out in (False, True) if config.held_out else ():
        found = next(stream(corpus, config, blocks=1, held_out=held_out), None) is not None
        if not any(everyones_number(found)):
            what = "hold out" if held_out else "train on"
            raise InputError(f"held_out is {config.held_out}, which leaves none of {len(corpus.ids):,} words to {what}")


def _of_this_process(config: TrainConfig) -> TrainConfig:
    """The share of every block that this process fills from its own text."""
    return dataclasses.replace(config, block=config.block // jax.process_count())


def _check_that_masks_fit(frozen: Frozen, vocab_size: int) -> None:
    if {np.shape(mask) for mask in frozen} != {(vocab_size,)}:
        shapes = " and ".join(str(np.shape(mask)) for mask in frozen)
        raise InputError(f"frozen has the shapes {shapes}; {vocab_size} words need ({vocab_size},) twice")


def _check_that_options_fit(
    config: TrainConfig,
    checkpoints: CheckpointConfig | None,
    counts: CountsConfig | None,
    params: Params | None,
    frozen: Frozen | None,
    mesh: Mesh | None,
) -> None:
    if mesh and config.objective not in ("negative-sampling", "softmax"):
        raise InputError(f"{config.objective} trains on one device; over {mesh.size}, negative-sampling and softmax do")
    if config.objective not in COUNTED:
        if counts not in (None, CountsConfig()):
            raise InputError(f"{config.objective} reads the text itself; the options of counts "
                             f"are for {' and '.join(COUNTED)}")  # fmt: skip
        if frozen is not None and params is None:
            raise InputError("frozen keeps rows of params as they are; give those tables")
        return
    if config.held_out or (checkpoints and checkpoints.checkpoint_dir):
        raise InputError(f"{config.objective} sees the whole corpus in each of a few passes: "
                         "it holds no text out and writes no checkpoints")  # fmt: skip
    if params is not None or frozen is not None:
        raise InputError(f"{config.objective} starts from the counts themselves, and moves every row: "
                         "it takes no earlier vectors and freezes none")  # fmt: skip


def _check_that_blocks_can_be_shared(config: TrainConfig, devices: Mesh) -> None:
    if config.block % (TILE * devices.size):
        held_out = " of held-out text" if config.held_out else ""
        raise InputError(f"a block of {config.block} tokens{held_out} cannot be shared out over {devices.size} "
                         f"devices; give a multiple of {TILE * devices.size} (--block)")  # fmt: skip


def _check_that_local_steps_fit(
    corpus: Corpus, config: TrainConfig, blocks: int, optimizer: optax.GradientTransformation | None
) -> None:
    """That devices meet at all, after so many blocks."""
    if optimizer is not None:
        raise InputError("local_steps puts together what the default optimizer has done; give no other")
    if jax.process_count() > 1:
        raise InputError("local_steps are for the devices of one process; processes train on each block together")
    if blocks > (there_are := expected_steps(corpus, config)):
        raise InputError(f"the devices would meet after {blocks:,} blocks of {config.block} tokens, and the text has "
                         f"{there_are:,} in all epochs; give fewer --local-steps, for tens of meetings")  # fmt: skip


def _dispatch(
    config: TrainConfig, vocabulary: Vocabulary, optimizer: optax.GradientTransformation, local_steps: int,
    devices: Mesh | None, state: TrainState,
) -> tuple[Any, Any, int, Callable[[Mesh], NamedSharding]]:  # fmt: skip
    """What trains on many blocks in one call, (carry, blocks) → (carry, metrics), compiled before the clock starts.

    With it the first carry, which is the state, or for devices that train apart the state and the tables again; how
    many blocks a call takes; and how they are split over devices.
    """
    scan: Any
    carry: Any = state
    if devices and local_steps > 1:
        scan = make_local_steps(config, vocabulary, optimizer, devices)
        carry, blocks, split = set_out(state), local_steps * devices.size, blocks_on
    else:
        scan = functools.partial(jax.lax.scan, make_train_step(config, vocabulary, optimizer, devices))
        blocks, split = DISPATCH, tiles_on
    shape = (blocks, config.block // TILE, TILE + 2 * config.window)
    tokens: Any = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=split(devices) if devices else None)
    return jax.jit(scan, donate_argnums=0).lower(carry, Block(tokens, tokens)).compile(), carry, blocks, split
