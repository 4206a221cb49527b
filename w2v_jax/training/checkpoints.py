"""Training that outlives its process: what a checkpoint holds, and when it is written and read.

A checkpoint holds the train state and the fingerprint of its training: config, corpus, optimizer. All
else follows from (seed, step), so that training which was killed anywhere and resumed ends with the
same bits as an uninterrupted run. Orbax writes in the background, under another name until all is there, and
deletes old checkpoints. The words are stored beside the checkpoints, once, so that another training
can start from them.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from filelock import FileLock, Timeout

from ..config import TILE, CheckpointConfig, MeshConfig, TrainConfig
from ..distributed.processes import process_allgather, process_allgather_int, translate_peer_errors
from ..errors import InputError, PeerLostError, TrainingInterrupted
from ..files import atomic_write
from ..params import Tables, named_tables, tables_like
from ..sampling.stream import CHUNK, HELD_OUT_SPAN
from ..signals import stop_requests
from ..text.corpus import Corpus
from ..text.vocabulary import Vocabulary
from .state import TrainState

DIGESTS = ("vocabulary", "corpus", "optimizer", "initialization", "frozen mask")  # too long to show
VOCABULARY_FILE = "vocabulary.json"  # beside the checkpoints
LOCK = ".lock"
MAX_TO_KEEP = 2  # one is complete while another is written


def run_fingerprint(
    corpus: Corpus, config: TrainConfig, mesh: MeshConfig, state: TrainState, num_rows: Tables,
    tables: Tables | None, frozen: Tables | None, whitening: float,
) -> dict[str, Any]:  # fmt: skip
    """Return what two trainings must share for one to resume the other.

    An optimizer is known by the shapes of its state, a model by those of its tables; that their numbers are
    the same is up to the caller.

    Args:
      num_rows: for each table its number of rows without padding.
      tables: where training starts, if not at fresh tables.
    """
    shape = lambda table: [*map(int, table.shape), table.dtype.name]
    return {
        "format": [TILE, CHUNK, HELD_OUT_SPAN],
        **dataclasses.asdict(config),
        "whitening": whitening,
        "key type": str(jax.random.key_impl(state.key)),
        "vocabulary": corpus.vocabulary.sha256,
        "corpus": _sha256(*process_allgather(_sha256(corpus.ids, corpus.line_ends).encode())),
        "processes": jax.process_count(),
        "local_steps": mesh.local_steps,
        "replicas": mesh.devices if mesh.local_steps > 1 else None,
        "tables": {name: shape(table) for name, table in named_tables(state.tables).items()},
        "num_rows": named_tables(num_rows),
        "optimizer": optimizer_fingerprint(state.opt_state, state.tables),
        "initialization": None if tables is None else _sha256(*map(np.asarray, jax.tree.leaves(tables))),
        "frozen mask": None if frozen is None else _sha256(*map(np.asarray, jax.tree.leaves(frozen))),
    }


def optimizer_fingerprint(opt_state: optax.OptState, tables: Tables) -> str:
    """Return the shapes and types of an optimizer's state, the same for tables in a NamedTuple and in a dict."""
    is_tables = lambda node: type(node) is type(tables)
    named = jax.tree.map(lambda node: named_tables(node) if is_tables(node) else node, opt_state, is_leaf=is_tables)
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", named))


def storable(state: TrainState) -> dict[str, Any]:
    """Return a state as named arrays: the key as the integers it is made of, tables by name."""
    return {
        "tables": named_tables(state.tables), "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key), "step": state.step,
    }  # fmt: skip


class Checkpoints:
    """The open folder of one training's checkpoints; SIGINT, SIGTERM and SIGHUP wait for the next `save_if_due`.

    Raises:
      InputError: the folder cannot be used, or holds checkpoints and the config does not say `resume`.
    """

    def __init__(self, config: CheckpointConfig, fingerprint: dict[str, Any], vocabulary: Vocabulary) -> None:
        self.folder, self.every = Path(config.checkpoint_dir or ""), config.checkpoint_every
        self.fingerprint = fingerprint
        self.resume, self.stack, self.handlers = config.resume, contextlib.ExitStack(), contextlib.ExitStack()
        self.vocabulary = vocabulary
        # Only on resume: a half-written checkpoint may be of a training that still runs.
        options = ocp.CheckpointManagerOptions(max_to_keep=MAX_TO_KEEP, cleanup_tmp_directories=config.resume)
        logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs there what it also raises
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):  # fail now, not when there is something to lose
                pass
            if jax.process_index() == 0:  # for all processes; one that dies releases it
                self.stack.enter_context(FileLock(self.folder / LOCK).acquire(timeout=0))
            self.orbax = ocp.CheckpointManager(self.folder.absolute(), options=options)
            self.latest = self.orbax.latest_step()
        except Timeout:
            raise InputError(f"{self.folder}: another training writes there; wait, or name another folder") from None
        except (OSError, ValueError) as error:
            self.stack.close()
            reason = getattr(error, "strerror", None) or _short_message(error)
            raise InputError(f"{self.folder}: cannot hold checkpoints: {reason}; name another folder") from error
        if self.latest is not None and not config.resume:
            self.orbax.close()
            self.stack.close()
            raise InputError(f"{self.folder}: holds a checkpoint of step {self.latest:,}; "
                             "resume from it (--resume), or name another folder")  # fmt: skip

    def __enter__(self) -> "Checkpoints":
        self.signals = self.handlers.enter_context(stop_requests())
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait until all is written; signals are no longer collected meanwhile."""
        self.handlers.close()
        with self.stack:  # then releases the folder
            if not isinstance(exception[1], PeerLostError):  # the lost process cannot write its share
                with self._writing():
                    self.orbax.close()

    def restore(self, fresh: TrainState) -> tuple[TrainState, int, int]:
        """Return the last state saved, its step, and the words read by then; the fresh state where there is none.

        With `resume`, say on standard error which of the two it is.

        Raises:
          InputError: the checkpoint is of another training, or damaged.
        """
        if self.latest is None:
            self._log("holds no checkpoint yet, starting from scratch")
            self._write_vocabulary()
            return fresh, 0, 0
        at = self.folder / str(self.latest)
        with translate_orbax_errors(f"{at}: cannot be read; if it is one of this training's checkpoints, delete it, "
                                    "to resume from the one before"):  # fmt: skip
            about = self.orbax.restore(self.latest, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
            saved_fingerprint, words = about["training"], int(about["words"])
            items = self.fingerprint.items()
            differences = (_difference(name, saved_fingerprint.get(name), value) for name, value in items)
            if message := "; ".join(filter(None, differences)):
                raise InputError(f"{at}: is of another training: {message}; resume with the same, or start from its "
                                 f"tables with --init {self.folder} and another --checkpoint-dir")  # fmt: skip
            like = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
            target = ocp.args.StandardRestore(jax.tree.map(like, storable(fresh)))
            state = self.orbax.restore(self.latest, args=ocp.args.Composite(state=target)).state
        self._log(f"resumed from step {self.latest:,}")
        if not (self.folder / VOCABULARY_FILE).exists():
            self._write_vocabulary()
        tables = tables_like(fresh.tables, state["tables"])
        key = jax.random.wrap_key_data(state["key"], impl=jax.random.key_impl(fresh.key))
        return TrainState(tables, state["opt_state"], key, state["step"]), self.latest, words

    def save_if_due(self, state: TrainState, step: int, words: int) -> None:
        """Save where an interval has ended, or a signal has come.

        Raises:
          TrainingInterrupted: a signal came, and the state has been saved.
        """
        signal = max(process_allgather_int(next(iter(self.signals), 0)))  # all processes save, or none
        if signal or step // self.every > (self.latest or 0) // self.every:
            self.save(state, step, words)
        if signal:
            with self._writing():
                self.orbax.wait_until_finished()
            raise TrainingInterrupted(
                f"stopped at step {step:,}, saved in {self.folder}; continue with --resume", signal
            )

    def save(self, state: TrainState, step: int, words: int) -> None:
        """Begin to write a checkpoint, unless the last one is of this step; all but one older are then deleted.

        Raises:
          FloatingPointError: the tables hold numbers that are not finite, and would replace some that are.
        """
        if self.latest == step:
            return
        if not all(jnp.isfinite(table).all() for table in jax.tree.leaves(state.tables)):
            raise FloatingPointError(f"the tables are not finite by step {step:,}, which is not saved; "
                                     "lower the learning rate, and name another folder")  # fmt: skip
        # A copy, because the next step donates the state while Orbax is still writing.
        copy = jax.tree.map(jnp.copy, storable(state))
        about = {"training": self.fingerprint, "words": words}
        args = ocp.args.Composite(state=ocp.args.StandardSave(copy), about=ocp.args.JsonSave(about))
        with self._writing():
            self.orbax.save(step, args=args)
        self.latest = step

    def _write_vocabulary(self) -> None:
        if jax.process_index() == 0:
            about = {"words": self.vocabulary.words, "counts": self.vocabulary.counts.tolist()}
            with atomic_write(self.folder / VOCABULARY_FILE) as file:
                file.write(json.dumps(about).encode())

    def _log(self, message: str) -> None:
        if self.resume and jax.process_index() == 0:
            print(f"{self.folder}: {message}", file=sys.stderr)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return translate_orbax_errors(f"{self.folder}: a checkpoint cannot be written")


def _difference(name: str, saved: Any, current: Any) -> str:
    if saved == current:
        return ""
    saved, current = ("not given" if value is None else value for value in (saved, current))
    return f"the {name} differs" if name in DIGESTS else f"{name} is {saved} there and {current} here"


@contextlib.contextmanager
def translate_orbax_errors(message: str) -> Iterator[None]:
    """Turn whatever Orbax and tensorstore raise, perhaps from a write in the background, into an InputError."""
    try:
        with translate_peer_errors():
            yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{message}: {_short_message(error)}") from error


def _short_message(error: Exception) -> str:
    """Return a message of Orbax or tensorstore as one line, without its place in their source."""
    return re.split(r" \[[a-z_ ]+=", " ".join(str(error).split()))[0] or type(error).__name__


def _sha256(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part).view(np.uint8).data if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()
