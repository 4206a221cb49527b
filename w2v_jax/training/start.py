"""Where training can start from: vectors that a file holds, or a folder of checkpoints."""

import json
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp

from ..errors import InputError
from ..params import Params
from ..text.vocabulary import Vocabulary
from ..vectors.balanced import evened
from ..vectors.keyed_vectors import KeyedVectors
from .checkpoints import VOCABULARY, briefly, shapes
from .state import TrainState


class Start(NamedTuple):
    """Words that are known, and their rows."""

    vocabulary: Vocabulary
    params: Params
    has_outside: bool
    """Whether the outside table was kept; if not, it is zero."""


def load_start(path: str | os.PathLike[str]) -> Start:
    """The words and tables of a vectors file, or those that training would have ended with at the newest checkpoint.

    A file with one table, such as word2vec's, has the center vectors; the outside vectors start at zero, as fresh
    ones do, and are the first to learn. Words without counts have zeros.

    Raises:
      InputError: it is neither, or damaged.
    """
    if os.path.isdir(path):
        state, vocabulary, about = _newest(Path(path), None)
        from_fresh = about["starting point"] is None
        return Start(vocabulary, evened(state.params) if from_fresh else state.params, True)
    if not os.path.splitext(path)[1] and "://" not in str(path) and not os.path.exists(path):  # meant for a folder
        raise InputError(f"{os.fspath(path)}: no such folder, nor file")
    vectors = KeyedVectors.load(path)
    center = jnp.asarray(vectors.vectors)
    return Start(vectors.vocabulary, vectors.params or Params(center, jnp.zeros_like(center)), bool(vectors.params))


def load_checkpoint(
    folder: str | os.PathLike[str], optimizer: optax.GradientTransformation | None = None
) -> tuple[TrainState, Vocabulary]:
    """The newest checkpoint that training left in a folder, and the words that its rows are of.

    Args:
      optimizer: the one that it was trained with; without it, the state's `opt_state` is left out, and is ().

    Raises:
      InputError: the folder holds no checkpoint, or one of another optimizer, or it is damaged.
    """
    state, vocabulary, _ = _newest(Path(folder), optimizer)
    return state, vocabulary


def _newest(
    folder: Path, optimizer: optax.GradientTransformation | None
) -> tuple[TrainState, Vocabulary, dict[str, Any]]:
    """The newest checkpoint, its words, and what it says of its training."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax says there that it only reads
    try:
        with ocp.CheckpointManager(
            folder.absolute(), options=ocp.CheckpointManagerOptions(read_only=True)
        ) as checkpoints:
            newest = checkpoints.latest_step()
            if newest is None:
                raise InputError(f"{folder}: holds no checkpoint; name the folder that training was given for them")
            about = checkpoints.restore(newest, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about["training"]
            vocabulary = _read_vocabulary(folder / VOCABULARY, about["vocabulary"])
            rows = int(about["table rows"])
            target = _target(rows, int(about["dim"]), optimizer)
            if optimizer and shapes(target.opt_state) != about["optimizer"]:
                raise InputError(f"{folder / str(newest)}: is of another optimizer; give the one it was trained with")
            parts = target._asdict()
            if not optimizer:
                del parts["opt_state"]
            on_host = ocp.checkpoint_utils.construct_restore_args(parts)  # wherever they were
            wanted = ocp.args.PyTreeRestore(parts, restore_args=on_host, partial_restore=True)
            state = checkpoints.restore(newest, args=ocp.args.Composite(state=wanted)).state
    except InputError:
        raise
    except Exception as error:  # Orbax and tensorstore raise many kinds for a damaged file
        raise InputError(f"{folder}: its newest checkpoint cannot be read; if it is one of a training's checkpoints, "
                         f"delete it, for the one before: {briefly(error)}") from error  # fmt: skip
    words_alone = lambda leaf: leaf[: len(vocabulary)] if leaf.shape[:1] == (rows,) else leaf
    return TrainState(**{"opt_state": (), **jax.device_put(jax.tree.map(words_alone, state))}), vocabulary, about


def _read_vocabulary(path: Path, sha256: str) -> Vocabulary:
    """The words beside the checkpoints, if they are those that the checkpoints are of."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = Vocabulary(tuple(about["words"]), np.array(about["counts"], np.int64))
        whole = vocabulary.sha256 == sha256
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; go on with that training once (--resume), which writes it") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, InputError):
        whole = False
    if not whole:
        raise InputError(f"{path}: is damaged, or of other checkpoints; delete it, and go on with that training once")
    return vocabulary


def _target(rows: int, dim: int, optimizer: optax.GradientTransformation | None) -> TrainState:
    """A state of the shapes that the checkpoint has, on the host."""
    table: Any = jax.ShapeDtypeStruct((rows, dim), jnp.float32)
    params = Params(table, table)
    opt_state = jax.eval_shape(optimizer.init, params) if optimizer else ()
    host = lambda leaf: np.zeros(leaf.shape, leaf.dtype)
    return TrainState(*jax.tree.map(host, (params, opt_state, jax.ShapeDtypeStruct((), jnp.int32))))
