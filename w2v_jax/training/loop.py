"""The training loop: plain Python outside, compiled scans inside, and neither waiting for the other."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int
from tqdm import tqdm

from ..config import TILE, CheckpointConfig, TrainConfig
from ..errors import InputError, Stopped
from ..params import Params
from ..text.corpus import Corpus
from ..vectors.keyed_vectors import KeyedVectors
from ..windows import Block
from .checkpoints import Checkpoints, identity, stop_requests
from .rows import RowSparse
from .sgd import bounded_sgd
from .state import TrainState, init_state
from .step import Metrics, make_gradients, make_train_step
from .stream import expected_steps, stream

DISPATCH = 64  # blocks scanned in one call: enough to hide the call, few enough to stop soon
REPORT_SECONDS = 0.5


class Tally(NamedTuple):
    """A loss added up over any number of targets, in float64, so that it cannot drift."""

    loss: float = 0.0
    targets: float = 0.0

    def add(self, metrics: Metrics) -> "Tally":
        """With some steps' metrics, on the host."""
        sums = (float(np.asarray(part).sum(dtype=np.float64)) for part in metrics)
        return Tally(*(have + more for have, more in zip(self, sums, strict=True)))

    @property
    def mean(self) -> float:
        """Loss per target; not a number where there was none."""
        return self.loss / self.targets if self.targets else math.nan


class Report(NamedTuple):
    """How training stands."""

    step: int
    words: int
    """Tokens of the corpus read so far, epoch upon epoch."""
    epoch: float
    loss: float
    """Mean loss per target, in nats, since the last report."""
    targets: float
    """(center, outside) pairs since the last report, each as often as it is expected."""
    held_out_loss: float | None
    """Mean loss per target on the held-out text; where an epoch has ended, if any text is held out."""
    seconds: float
    """Since this process began its first step; compilation is not counted."""
    compile_seconds: float
    """What compiling the step took."""
    words_per_second: float
    """Tokens of the corpus that this process read, over `seconds`."""
    resumed: bool
    """Whether this process went on from a checkpoint."""


Callback = Callable[[Report, Params], None]
"""Called with each report and the parameters, whose buffers the next step takes: copy what you keep."""


def train(
    corpus: Corpus,
    config: TrainConfig | None = None,
    *,
    optimizer: optax.GradientTransformation | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoints: CheckpointConfig | None = None,
) -> KeyedVectors:
    """Train word vectors on a corpus; the trained tables are the result's `.params`.

    Args:
      optimizer: any of optax's, with its own schedule; by default SGD whose rate falls linearly
        from `config.lr` to a ten-thousandth of it.
      callbacks: each is called about twice a second, and where an epoch ends.
      checkpoints: with a folder, training that is killed, or stopped by SIGINT or SIGTERM, can be resumed
        and ends with the bits of one that never was; a stop then waits for a last checkpoint.

    Raises:
      InputError: the vocabulary is a single word, or no line has two words; the checkpoints cannot be
        written or read, or are of another training.
      Stopped: a signal came, and where training stands has been saved.
      FloatingPointError: the loss is no longer a number.

    >>> from w2v_jax.text.corpus import Corpus
    >>> corpus = Corpus.from_sentences([["to", "be", "or", "not", "to", "be"]] * 5)
    >>> train(corpus, TrainConfig(dim=8, sample=0.0)).vectors.shape
    (4, 8)
    """
    config = config or TrainConfig()
    callbacks = tuple(callbacks)
    vocabulary = corpus.vocabulary
    if len(vocabulary) < 2:
        raise InputError(f"the vocabulary is {vocabulary.words}; training needs two words or more")
    for held_out in (False, True) if config.held_out else ():
        if next(stream(corpus, config, blocks=1, held_out=held_out), None) is None:
            what = "hold out" if held_out else "train on"
            raise InputError(f"held_out is {config.held_out}, which leaves none of {len(corpus.ids):,} words to {what}")
    optimizer = optimizer or default_optimizer(corpus, config)
    state = init_state(config, vocabulary, optimizer)
    held_out_loss = make_held_out_loss(corpus, config) if config.held_out else None

    with contextlib.ExitStack() as stack:
        saved, step, words = None, 0, 0
        if checkpoints and checkpoints.checkpoint_dir:
            saved = stack.enter_context(contextlib.closing(Checkpoints(checkpoints, identity(corpus, config, state))))
            state, step, words = saved.restore(state)
            if checkpoints.resume:
                found = f"resumed from step {step:,}" if step else "holds no checkpoint yet, starting afresh"
                print(f"{saved.folder}: {found}", file=sys.stderr)
        stop = stack.enter_context(stop_requests()) if saved else []
        began = time.perf_counter()
        run = _compile(make_train_step(config, vocabulary, optimizer), state, config)
        compile_seconds = time.perf_counter() - began

        resumed_at, tally, any_target, waiting = words, Tally(), words > 0, None
        started = reported = time.perf_counter()
        bar = stack.enter_context(
            tqdm(total=config.epochs * len(corpus.ids), initial=words, unit="words", unit_scale=True, disable=None)
        )
        for some in stream(corpus, config, blocks=DISPATCH, start=step):
            state, metrics = run(state, jax.device_put(some.blocks))
            if waiting is not None:
                tally = tally.add(jax.device_get(waiting))  # while the device is at the next ones
            waiting = metrics
            before, step, words, epoch = step, step + some.filled, some.words, words // len(corpus.ids)
            stopping = bool(stop)
            if saved and (stopping or step // saved.every > before // saved.every):
                saved.save(state, step, words)
            if saved and stopping:
                saved.close()
                raise Stopped(f"stopped at step {step:,}, saved in {saved.folder}; go on with --resume", stop[0])
            now = time.perf_counter()
            ended = words // len(corpus.ids) > epoch
            if now - reported < REPORT_SECONDS and not ended:
                continue
            tally, waiting = tally.add(jax.device_get(waiting)), None
            if not math.isfinite(tally.loss):
                raise FloatingPointError(f"the loss is {tally.loss} by step {step:,}; lower the learning rate")
            if not tally.targets:
                continue
            report = Report(
                step=step, words=words, epoch=words / len(corpus.ids), loss=tally.mean, targets=tally.targets,
                held_out_loss=held_out_loss(state.params) if held_out_loss and ended else None,
                seconds=now - started, compile_seconds=compile_seconds,
                words_per_second=(words - resumed_at) / (now - started), resumed=resumed_at > 0,
            )  # fmt: skip
            bar.update(words - bar.n)
            bar.set_postfix(loss=f"{report.loss:.4f}")
            for callback in callbacks:
                callback(report, state.params)
            any_target, reported, tally = True, now, Tally()
        if saved and saved.latest != step:
            saved.save(state, step, words)
    if not any_target:
        raise InputError(
            "no word has another beside it on its line, so there is nothing to learn; "
            "give longer lines, or a larger --sample, which keeps more of the frequent words"
        )
    return KeyedVectors(vocabulary.words, np.asarray(state.params.center), vocabulary.counts, state.params)


def default_optimizer(corpus: Corpus, config: TrainConfig) -> RowSparse:
    """SGD with the learning rate falling linearly over the whole training (word2vec.c, 2013)."""
    return bounded_sgd(optax.linear_schedule(config.lr, config.lr * 1e-4, expected_steps(corpus, config)))


def make_held_out_loss(corpus: Corpus, config: TrainConfig) -> Callable[[Params], float | None]:
    """The mean loss per target of the held-out text, with the same windows and noise at every call."""
    gradients = make_gradients(config, corpus.vocabulary)

    @jax.jit
    def metrics_of(params: Params, blocks: Block, first: Int[Array, ""]) -> Metrics:
        steps = first + jnp.arange(DISPATCH, dtype=jnp.int32)
        return jax.lax.map(lambda block_step: gradients(params, *block_step)[0], (blocks, steps))

    def held_out_loss(params: Params) -> float | None:
        tally = Tally()
        for i, some in enumerate(stream(corpus, config, blocks=DISPATCH, held_out=True)):
            tally = tally.add(jax.device_get(metrics_of(params, some.blocks, jnp.int32(i * DISPATCH))))
        return tally.mean if tally.targets else None

    return held_out_loss


def _compile(step: Any, state: TrainState, config: TrainConfig) -> Any:
    """(state, blocks [M, ...]) → (state, metrics [M]), compiled before the clock starts."""
    shape = (DISPATCH, config.block // TILE, TILE + 2 * config.window)
    tokens: Any = jax.ShapeDtypeStruct(shape, jnp.int32)
    scan = jax.jit(lambda state, blocks: jax.lax.scan(step, state, blocks), donate_argnums=0)
    return scan.lower(state, Block(tokens, tokens)).compile()
