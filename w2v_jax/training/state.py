"""What training carries from step to step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int, PRNGKeyArray

from ..distributed.collectives import VOCABULARY
from ..distributed.mesh import pad_tables
from ..errors import InputError
from ..models.model import Model
from ..params import Params, Tables, named_tables, tables_like
from ..text.vocabulary import Vocabulary
from ..vectors.whitening import partial_whiten
from .row_sparse import RowSparse, map_table_leaves, row_sparse


class TrainState(NamedTuple):
    """Everything that a step reads and writes; with the stream of blocks it determines all that follows."""

    tables: Tables
    opt_state: optax.OptState
    key: PRNGKeyArray
    step: Int[Array, ""]


def init_state(
    model: Model,
    key: PRNGKeyArray,
    vocabulary: Vocabulary,
    optimizer: optax.GradientTransformation | RowSparse,
    *,
    tables: Tables | None = None,
    mesh: Mesh | None = None,
) -> TrainState:
    """Return the state before the first step: fresh tables or the given ones, and a fresh optimizer.

    Give `make_train_step` the same model, optimizer and mesh; it donates the state. With vocabulary shards each
    device initialises only its own rows of fresh tables.

    Args:
      model: the model to train.
      key: decides the fresh tables, and what every step draws.
      vocabulary: the words that are trained.
      optimizer: any of optax's.
      tables: where training starts, in any float type, instead of fresh tables; copied.
      mesh: the devices to shard the state over.

    Raises:
      InputError: the tables are not of the shapes that the model wants.

    >>> from w2v_jax.models.skipgram import skipgram
    >>> from w2v_jax.sampling.noise import noise_table
    >>> vocabulary = Vocabulary(("a", "b"), counts=(2, 1))
    >>> state = init_state(skipgram(noise_table(vocabulary.counts), dim=3), jax.random.key(0), vocabulary, optax.sgd(1))
    >>> state.tables.center.shape, int(state.step)
    ((2, 3), 0)
    """
    if tables is not None:
        expected = jax.eval_shape(lambda: model.init(key, vocabulary))
        check_shapes("table", tables, expected)
        tables = tables_like(expected, named_tables(tables))

    def make(key: PRNGKeyArray, tables: Tables | None) -> TrainState:
        fresh = model.init(key, vocabulary) if tables is None else jax.tree.map(jnp.array, tables)
        fresh = pad_tables(fresh, mesh)
        return TrainState(fresh, row_sparse(optimizer).init(fresh), jnp.copy(key), jnp.zeros((), jnp.int32))

    if mesh is None:
        return make(key, tables)
    specs = partition_specs(jax.eval_shape(make, key, tables), optimizer)
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, P))
    return jax.jit(make, out_shardings=shardings)(key, tables)


def partition_specs(state: TrainState, optimizer: optax.GradientTransformation | RowSparse) -> TrainState:
    """Return how a state is sharded: tables, and the leaves of the optimizer that follow them, by rows."""
    by_rows = lambda _: P(VOCABULARY)
    opt_state = map_table_leaves(optimizer, by_rows, state.opt_state, others=lambda _: P())
    return TrainState(jax.tree.map(by_rows, state.tables), opt_state, P(), P())  # type: ignore[arg-type]


def whiten_tables(tables: Tables, power: float) -> Tables:
    """Apply `partial_whiten` to the tables named center and outside, whose buffers are reused; keep the others."""
    if power == 0:
        return tables
    named = named_tables(tables)
    pair = partial_whiten(Params(named["center"], named["outside"]), power)._asdict()
    return {**tables, **pair} if isinstance(tables, dict) else tables._replace(**pair)


def check_shapes(kind: str, tables: Tables, expected: Tables, rank: int = 2) -> None:
    """Refuse tables, or with rank 1 masks of their rows, whose names or shapes are not the model's."""
    given, wanted = named_tables(tables), named_tables(expected)
    if set(given) != set(wanted):
        raise InputError(f"the {kind}s are {', '.join(given)}; this model has {', '.join(wanted)}")
    for name, table in given.items():
        if np.shape(table) != (shape := wanted[name].shape[:rank]):
            message = f"the {name} {kind} has the shape {np.shape(table)}; this model and vocabulary need {shape}"
            raise InputError(message)
