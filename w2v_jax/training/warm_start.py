"""Training that starts from earlier tables: read them, and let their rows follow the words into a new vocabulary."""

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
from jaxtyping import Array, Int

from ..errors import InputError
from ..params import Tables, named_tables, tables_from_names, tables_like
from ..paths import expand
from ..text.vocabulary import Vocabulary
from ..vectors.keyed_vectors import KeyedVectors
from .checkpoints import VOCABULARY_FILE, optimizer_fingerprint, translate_orbax_errors
from .row_sparse import RowSparse, map_table_leaves, row_sparse
from .state import TrainState, whiten_tables


class WarmStart(NamedTuple):
    """Words that are known, and their rows."""

    vocabulary: Vocabulary
    tables: dict[str, Array]
    """By name; the tables that were not kept are absent."""


def load_warm_start(path: str | os.PathLike[str]) -> WarmStart:
    """Read the words and tables of a vectors file, or those that training would have returned at the newest checkpoint.

    A file with one table, such as word2vec's, has the center vectors. Words without counts have zeros.

    Raises:
      InputError: the path is neither, or damaged.
    """
    path = expand(path)
    if os.path.isdir(path):
        state, vocabulary, fingerprint = _load_newest(Path(path), None)
        return WarmStart(vocabulary, named_tables(whiten_tables(state.tables, float(fingerprint["whitening"]))))
    if not os.path.splitext(path)[1] and "://" not in str(path) and not os.path.exists(path):  # meant for a folder
        raise InputError(f"{os.fspath(path)}: no such folder, nor file")
    vectors = KeyedVectors.load(path)
    known = jax.tree.map(jnp.asarray, {"center": vectors.vectors, **named_tables(vectors.params or {})})
    return WarmStart(vectors.vocabulary, known)


def load_checkpoint(
    folder: str | os.PathLike[str], optimizer: optax.GradientTransformation | RowSparse | None = None
) -> tuple[TrainState, Vocabulary]:
    """Read the newest checkpoint that training left in a folder, and the words of its rows.

    Args:
      folder: the folder of the checkpoints.
      optimizer: the one that it was trained with; without it, the state's `opt_state` is ().

    Raises:
      InputError: the folder holds no checkpoint, or one of another optimizer, or it is damaged.
    """
    state, vocabulary, _ = _load_newest(Path(expand(folder)), optimizer)
    return state, vocabulary


def grow(tables: Tables, old: Vocabulary, new: Vocabulary, fresh: Tables) -> Tables:
    """Return `fresh` with the row of each word of `old` copied from `tables`.

    Words of `old` that `new` leaves out are dropped. A table whose rows are not words is kept as it is.

    Args:
      tables: earlier tables; those that are absent, by name, are fresh in the result.
      old: the words of their rows.
      new: the words of the result's rows.
      fresh: tables of the result's shapes, such as `model.init(key, new)` gives them.

    Raises:
      InputError: the tables are not of `old`'s words, or of another dimension.

    >>> from w2v_jax.params import Params, init_params
    >>> old, new = Vocabulary(("the", "of"), counts=(7, 3)), Vocabulary(("the", "cat", "of"), counts=(9, 5, 4))
    >>> params = Params(jnp.array([[1.0], [2.0]]), jnp.array([[3.0], [4.0]]))
    >>> grow(params, old, new, init_params(jax.random.key(0), 3, 1)).outside.ravel().tolist()
    [3.0, 0.0, 4.0]
    """
    known, grown = named_tables(tables), named_tables(fresh)
    for name, table in known.items():
        if name in grown:
            grown[name] = _follow_words(table, grown[name], old, new, name)
    return tables_like(fresh, grown)


def grow_state(
    state: TrainState,
    old: Vocabulary,
    new: Vocabulary,
    optimizer: optax.GradientTransformation | RowSparse,
    fresh: Tables,
) -> TrainState:
    """`grow` a train state: the optimizer's rows follow their words too.

    Args:
      state: the state to grow.
      old: the words of its rows.
      new: the words of the result's rows.
      optimizer: the one that made the state.
      fresh: tables of the result's shapes.

    Raises:
      InputError: the tables are not of `old`'s words, or the optimizer's state does not follow them row by row.
    """
    tables, sparse = grow(state.tables, old, new, fresh), row_sparse(optimizer)
    follows = map_table_leaves(sparse, lambda leaf: True, state.opt_state, others=lambda leaf: False)
    move = lambda follows, leaf, fresh: _follow_words(leaf, fresh, old, new, "optimizer's") if follows else leaf
    opt_state = jax.tree.map(move, follows, state.opt_state, sparse.init(tables))
    return TrainState(tables, opt_state, state.key, state.step)


def old_ids(old: Vocabulary, new: Vocabulary) -> Int[np.ndarray, " V"]:
    """Return for each word of `new` its id in `old`; −1 for a word that `old` lacks.

    >>> old_ids(Vocabulary(("a", "b"), (2, 1)), Vocabulary(("b", "c"), (2, 1))).tolist()
    [1, -1]
    """
    return np.array([old.index.get(word, -1) for word in new.words], np.int32)


def _follow_words(table: Array | np.ndarray, fresh: Array, old: Vocabulary, new: Vocabulary, name: str) -> Array:
    if table.shape == fresh.shape and len(fresh) != len(new):  # its rows are not words
        return jnp.asarray(table)
    if table.shape != (len(old), *fresh.shape[1:]) or len(fresh) != len(new):
        raise InputError(f"the {name} table has the shape {table.shape}, and there are {len(old)} words of "
                         f"{fresh.shape[1]} numbers; give a vocabulary and tables that belong together")  # fmt: skip
    ids = old_ids(old, new)
    return jnp.where(jnp.asarray(ids >= 0)[:, None], jnp.asarray(table).astype(fresh.dtype)[ids], fresh)


def _load_newest(
    folder: Path, optimizer: optax.GradientTransformation | RowSparse | None
) -> tuple[TrainState, Vocabulary, dict[str, Any]]:
    """Read the newest checkpoint, its words, and the fingerprint of its training."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs there that it only reads
    reader = ocp.CheckpointManagerOptions(read_only=True)
    with (
        translate_orbax_errors(f"{folder}: its newest checkpoint cannot be read; if it is one of a training's "
                               "checkpoints, delete it, for the one before"),
        ocp.CheckpointManager(folder.absolute(), options=reader) as checkpoints,
    ):  # fmt: skip
        newest = checkpoints.latest_step()
        if newest is None:
            raise InputError(f"{folder}: holds no checkpoint; name the folder that training was given for them")
        fingerprint = checkpoints.restore(newest, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about[
            "training"
        ]
        vocabulary = _read_vocabulary(folder / VOCABULARY_FILE, fingerprint["vocabulary"])
        target = _restore_target(fingerprint["tables"], optimizer, fingerprint["key type"])
        like = tables_from_names(target["tables"])
        if optimizer and optimizer_fingerprint(target["opt_state"], like) != fingerprint["optimizer"]:
            raise InputError(f"{folder / str(newest)}: is of another optimizer; give the one it was trained with")
        on_host = ocp.checkpoint_utils.construct_restore_args(target)  # whatever devices it was saved from
        wanted = ocp.args.PyTreeRestore(target, restore_args=on_host, partial_restore=True)
        state = checkpoints.restore(newest, args=ocp.args.Composite(state=wanted)).state
    state = jax.device_put(state)
    tables, num_rows = tables_from_names(state["tables"]), tables_from_names(fingerprint["num_rows"])
    trim = lambda table, rows: table[:rows]  # a sharded table ends in rows of padding
    opt_state = map_table_leaves(row_sparse(optimizer), trim, state["opt_state"], num_rows) if optimizer else ()
    key = jax.random.wrap_key_data(state["key"], impl=fingerprint["key type"])
    return TrainState(jax.tree.map(trim, tables, num_rows), opt_state, key, state["step"]), vocabulary, fingerprint


def _restore_target(
    shapes: dict[str, list[Any]], optimizer: optax.GradientTransformation | RowSparse | None, impl: str
) -> dict[str, Any]:
    """Return arrays of the shapes that the checkpoint has, on the host."""
    tables = {name: jax.ShapeDtypeStruct(shape, dtype) for name, (*shape, dtype) in shapes.items()}
    key = jax.random.key_data(jax.random.key(0, impl=impl))
    target: dict[str, Any] = {"tables": tables, "key": key, "step": jax.ShapeDtypeStruct((), jnp.int32)}
    if optimizer:
        target["opt_state"] = jax.eval_shape(optimizer.init, tables_from_names(tables))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), target)


def _read_vocabulary(path: Path, sha256: str) -> Vocabulary:
    """Read the words beside the checkpoints, if they are those that the checkpoints are of."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = Vocabulary(tuple(about["words"]), np.array(about["counts"], np.int64))
        matches = vocabulary.sha256 == sha256
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; resume that training once (--resume), which writes it") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, InputError):
        matches = False
    if not matches:
        raise InputError(f"{path}: is damaged, or of other checkpoints; delete it, and resume that training once")
    return vocabulary
