"""Many steps of every replica, and their merge, in one call."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from ..distributed.collectives import DATA
from ..distributed.gather import is_row_updates, scatter_add
from ..distributed.replicas import ReplicaState, merge_replicas, pad_columns
from ..errors import InputError
from ..models.model import Model
from ..params import Tables
from ..sampling.windows import Block
from .row_sparse import RowSparse, map_updates
from .state import TrainState
from .step import Metrics, make_gradients

Carry = tuple[Tables, Tables]
"""A replica's tables, and for each of their rows Σ step · curvature since the last merge."""


def make_replica_steps(
    model: Model, optimizer: RowSparse, mesh: Mesh, frozen: Tables | None = None
) -> Callable[[ReplicaState, Block], tuple[ReplicaState, Metrics]]:
    """Return (replicas, blocks [n·M, ...]) → (replicas, metrics [M]): each of n devices takes M blocks, then all merge.

    Args:
      model: what is trained; its loss sees the padded columns of zeros.
      optimizer: `bounded_sgd`, whose only state is the step, row-sparse.
      mesh: the devices, one replica each.
      frozen: for each table a mask of the rows that stay as they are.
    """
    gradients = make_gradients(model, frozen=frozen)

    def train(replicas: ReplicaState, blocks: Block) -> tuple[ReplicaState, Metrics]:
        state, tables = replicas
        steps = len(blocks.tokens)
        first = state.step + jax.lax.axis_index(DATA) * steps

        def step(carry: Carry, inputs: tuple[Array, Block]) -> tuple[Carry, Metrics]:
            (tables, exponents), (number, block) = carry, inputs
            metrics, updates = gradients(tables, block, jax.random.fold_in(state.key, number))
            if any(rows.curvature is None for rows in jax.tree.leaves(updates, is_leaf=is_row_updates)):
                raise InputError("local_steps need a model that bounds its curvature; leave them out")
            # The optimizer scales curvatures as it scales gradients: their sum is Σ step · curvature.
            curvatures = lambda rows: rows._replace(values=-rows.curvature[:, None])
            both, opt_state = (updates, map_updates(curvatures, updates)), optax.ScaleByScheduleState(number)
            (updates, added), _ = optimizer.update(both, opt_state, carry, step=number)
            added = map_updates(lambda rows: rows._replace(values=rows.values[:, 0]), added)
            return (scatter_add(tables, updates), scatter_add(exponents, added)), metrics

        zeros = jax.tree.map(lambda table: jnp.zeros(len(table), table.dtype), tables)
        numbers = first + jnp.arange(steps, dtype=first.dtype)
        (tables, exponents), metrics = jax.lax.scan(step, (tables, zeros), (numbers, blocks))
        merged = jax.tree.map(merge_replicas, state.tables, tables, exponents)
        after = state.step + jax.lax.axis_size(DATA) * steps
        state = TrainState(merged, optax.ScaleByScheduleState(after), state.key, after)
        return ReplicaState(state, jax.tree.map(pad_columns, merged)), jax.lax.psum(metrics, DATA)

    # The mesh's other axis has one device: to the step, each replica is alone.
    return jax.shard_map(
        train, mesh=mesh, in_specs=(P(), P(DATA)), out_specs=(P(), P()), axis_names={DATA}, check_vma=False
    )
