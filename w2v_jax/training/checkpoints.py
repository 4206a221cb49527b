"""Training that outlives its process: what a checkpoint holds, and when it is written and read.

A checkpoint holds the train state, and says of which training: its config, its corpus, its
optimizer. All else follows from (seed, step), so that training which was killed anywhere and
resumed ends with the bits of one that never was. Orbax writes in the background, under another name
until all is there, and deletes what is old. The words stand beside the checkpoints, once, so that
another training can start from them.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from filelock import FileLock, Timeout

from ..config import TILE, CheckpointConfig, TrainConfig
from ..errors import InputError, ProcessGone, Stopped
from ..files import writing
from ..params import Params
from ..text.corpus import Corpus
from ..text.vocabulary import Vocabulary
from .freezing import Frozen
from .processes import everyones_number, exchange, or_a_line
from .state import TrainState
from .stream import CHUNK, STRETCH

DIGESTS = ("vocabulary", "corpus", "optimizer", "starting point", "freezing")  # that nobody would read
VOCABULARY = "vocabulary.json"  # beside the checkpoints
LOCK = ".lock"
KEPT = 2  # so that there is a whole one while another is written, and one to fall back on


def identity(
    corpus: Corpus, config: TrainConfig, state: TrainState, params: Params | None = None, frozen: Frozen | None = None
) -> dict[str, Any]:
    """What two trainings must share for one to go on where the other stopped.

    An optimizer is known by its state's shapes; that its numbers are the same is the caller's to see to.

    Args:
      params: where training starts from, if not from `config.seed`.
    """
    return {
        "format": [TILE, CHUNK, STRETCH],
        **dataclasses.asdict(config),
        "vocabulary": corpus.vocabulary.sha256,
        "corpus": _sha256(*exchange(_sha256(corpus.ids, corpus.line_ends).encode())),
        "processes": jax.process_count(),
        "table rows": len(state.params.center),
        "optimizer": shapes(state.opt_state),
        "starting point": params and _sha256(*map(np.asarray, params)),
        "freezing": frozen and _sha256(*map(np.asarray, frozen)),
    }


def shapes(opt_state: optax.OptState) -> str:
    """What an optimizer is known by."""
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", opt_state))


class Checkpoints:
    """The folder of one training's checkpoints, open; SIGINT and SIGTERM wait meanwhile for the next `save_if_due`.

    Raises:
      InputError: the folder cannot be used, or holds checkpoints and `resume` was not asked for.
    """

    def __init__(self, config: CheckpointConfig, identity: dict[str, Any], vocabulary: Vocabulary) -> None:
        self.folder, self.every, self.identity = Path(config.checkpoint_dir or ""), config.checkpoint_every, identity
        self.resume, self.stack, self.signalled = config.resume, contextlib.ExitStack(), contextlib.ExitStack()
        self.vocabulary = vocabulary
        # Only where it goes on: a half-written checkpoint may be of a training that still runs.
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, cleanup_tmp_directories=config.resume)
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax prints there what it raises too
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):  # found out now, not when there is something to lose
                pass
            if jax.process_index() == 0:  # for all that train together; a process that dies gives it back
                self.stack.enter_context(FileLock(self.folder / LOCK).acquire(timeout=0))
            self.orbax = ocp.CheckpointManager(self.folder.absolute(), options=options)
            self.latest = self.orbax.latest_step()
        except Timeout:
            raise InputError(f"{self.folder}: another training writes there; wait for it, or name another") from None
        except (OSError, ValueError) as error:
            self.stack.close()
            why = getattr(error, "strerror", None) or briefly(error)
            raise InputError(f"{self.folder}: cannot hold checkpoints: {why}; name another folder") from error
        if self.latest is not None and not config.resume:
            self.orbax.close()
            self.stack.close()
            raise InputError(f"{self.folder}: holds a checkpoint of step {self.latest:,}; "
                             "resume from it (--resume), or name another folder")  # fmt: skip

    def __enter__(self) -> "Checkpoints":
        self.signals = self.signalled.enter_context(stop_requests())
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait until all is written; a signal is no longer collected meanwhile."""
        self.signalled.close()
        with self.stack:  # others may have the folder then
            if not isinstance(exception[1], ProcessGone):  # which would have written its share
                with self._writing():
                    self.orbax.close()

    def restore(self, fresh: TrainState) -> tuple[TrainState, int, int]:
        """The last state saved, with its step and the words read by then; the fresh state where there is none.

        Where `resume` was asked for, says on standard error which of the two it is.

        Raises:
          InputError: the checkpoint is of another training, or damaged.
        """
        if self.latest is None:
            self._say("holds no checkpoint yet, starting afresh")
            self._write_vocabulary()
            return fresh, 0, 0
        at = self.folder / str(self.latest)
        try:
            with or_a_line():
                about = self.orbax.restore(self.latest, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
                theirs, words = about["training"], int(about["words"])
                differences = (_difference(name, theirs.get(name), mine) for name, mine in self.identity.items())
                if said := "; ".join(filter(None, differences)):
                    raise InputError(f"{at}: is of another training: {said}")
                target = jax.tree.map(
                    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), fresh
                )
                saved = self.orbax.restore(self.latest, args=ocp.args.Composite(state=ocp.args.StandardRestore(target)))
        except InputError:
            raise
        except Exception as error:  # Orbax and tensorstore raise many kinds for a damaged file
            raise InputError(f"{at}: cannot be read; if it is one of this training's checkpoints, delete it, to resume "
                             f"from the one before: {briefly(error)}") from error  # fmt: skip
        self._say(f"resumed from step {self.latest:,}")
        if not (self.folder / VOCABULARY).exists():
            self._write_vocabulary()
        return saved.state, self.latest, words

    def save_if_due(self, state: TrainState, step: int, words: int) -> None:
        """Save where an interval has ended, or a signal has come.

        Raises:
          Stopped: a signal came, and where training stands has been saved.
        """
        stop = max(everyones_number(next(iter(self.signals), 0)))  # whoever was told, all save, or none
        if stop or step // self.every > (self.latest or 0) // self.every:
            self.save(state, step, words)
        if stop:
            with self._writing():
                self.orbax.wait_until_finished()
            raise Stopped(f"stopped at step {step:,}, saved in {self.folder}; go on with --resume", stop)

    def save(self, state: TrainState, step: int, words: int) -> None:
        """Begin to write a checkpoint, unless the last one is of this step; it replaces older ones when it is whole.

        Raises:
          FloatingPointError: the tables hold something else than numbers, and would replace some that do not.
        """
        if self.latest == step:
            return
        if not all(jnp.isfinite(table).all() for table in state.params):
            raise FloatingPointError(f"the tables hold what is no number by step {step:,}, which is not saved; "
                                     "lower the learning rate, and name another folder")  # fmt: skip
        # A copy, because the next step takes the state's buffers while Orbax is still writing.
        copy = jax.tree.map(jnp.copy, state)
        about = {"training": self.identity, "words": words}
        args = ocp.args.Composite(state=ocp.args.StandardSave(copy), about=ocp.args.JsonSave(about))
        with self._writing():
            self.orbax.save(step, args=args)
        self.latest = step

    def _write_vocabulary(self) -> None:
        if jax.process_index() == 0:
            about = {"words": self.vocabulary.words, "counts": self.vocabulary.counts.tolist()}
            with writing(self.folder / VOCABULARY) as file:
                file.write(json.dumps(about).encode())

    def _say(self, found: str) -> None:
        if self.resume and jax.process_index() == 0:
            print(f"{self.folder}: {found}", file=sys.stderr)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with or_a_line():
                yield
        except InputError:
            raise
        except Exception as error:  # of any kind, and perhaps of the checkpoint before: it is written in the background
            raise InputError(f"{self.folder}: a checkpoint cannot be written: {briefly(error)}") from error


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list, for a loop to look at; the second of a kind acts as it always does."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _difference(name: str, there: Any, here: Any) -> str:
    if there == here:
        return ""
    there, here = ("not given" if value is None else value for value in (there, here))
    return f"the {name} differs" if name in DIGESTS else f"{name} is {there} there and {here} here"


def briefly(error: Exception) -> str:
    """What Orbax and tensorstore say, in one line, without where in their source they say it."""
    return re.split(r" \[[a-z_ ]+=", " ".join(str(error).split()))[0] or type(error).__name__


def _sha256(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part).data if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()
