"""One training step, for any model: gather, differentiate, update, scatter."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Key, PRNGKeyArray

from ..distributed.collectives import ONE_DEVICE, Axes, psum
from ..distributed.gather import drop_rows, exchange_updates, gather_rows, row_updates, scatter_add, shard_offset
from ..distributed.mesh import mesh_axes, tile_sharding
from ..models.model import Model
from ..params import Tables
from ..sampling.windows import Block
from .row_sparse import RowSparse, row_sparse
from .state import TrainState, partition_specs


class Metrics(NamedTuple):
    """What a step reports: the mean loss of the block is loss / targets."""

    loss: Float[Array, ""]
    """Summed over the block's targets."""
    targets: Float[Array, ""]
    """(center, outside) pairs in the block, each counted with its window weight."""


Gradients = Callable[[Tables, Block, PRNGKeyArray], tuple[Metrics, Any]]
"""(tables, block, the step's key) → the summed loss of the block, and a `RowUpdates` for each table."""


def make_train_step(
    model: Model,
    optimizer: optax.GradientTransformation | RowSparse,
    mesh: Mesh | None = None,
    frozen: Tables | None = None,
) -> Callable[[TrainState, Block], tuple[TrainState, Metrics]]:
    """Return the jitted step, (state, block) → (state, metrics); it donates the state.

    The optimizer sees the gradient of the loss summed over the block, on the rows that the block touched.

    Args:
      model: what is trained.
      optimizer: any of optax's, or one that `row_sparse` has wrapped. With a sharded vocabulary, one that
        takes each number by itself (SGD, momentum, Adagrad, Adam, weight decay): a norm over rows, as of
        clipping or LAMB, would differ between devices.
      mesh: the devices that share each block; by default one.
      frozen: for each table a mask [rows] of the rows that stay as they are, and their optimizer state with them.
    """
    sparse, axes = row_sparse(optimizer), mesh_axes(mesh)
    gradients = make_gradients(model, axes, frozen)

    def train_step(state: TrainState, block: Block) -> tuple[TrainState, Metrics]:
        metrics, updates = gradients(state.tables, block, jax.random.fold_in(state.key, state.step))
        updates, opt_state = sparse.update(updates, state.opt_state, state.tables, step=state.step)
        return TrainState(scatter_add(state.tables, updates), opt_state, state.key, state.step + 1), metrics

    return jax.jit(shard_step(train_step, mesh, sparse), donate_argnums=0)


def make_gradients(model: Model, axes: Axes = ONE_DEVICE, frozen: Tables | None = None) -> Gradients:
    """Return the function that computes a block's loss and its gradient on the rows that the block touches."""

    def gradients(tables: Tables, block: Block, key: PRNGKeyArray) -> tuple[Metrics, Any]:
        batch = model.batch(block, tile_keys(key, block, axes))
        rows = gather_rows(tables, batch.ids, axes)
        (loss, aux), row_gradients = jax.value_and_grad(model.loss, has_aux=True)(rows, batch)
        metrics = psum(Metrics(loss, aux.targets), axes.all)
        updates = row_updates(tables, batch.ids, row_gradients, aux.curvature, metrics.targets, axes)
        if frozen is not None:
            updates = drop_rows(updates, frozen)
        return metrics, exchange_updates(tables, batch.ids, updates, axes)

    return gradients


def make_loss(model: Model, axes: Axes = ONE_DEVICE) -> Callable[[Tables, Block, PRNGKeyArray], Metrics]:
    """Return the function that computes a block's loss alone."""

    def loss_of(tables: Tables, block: Block, key: PRNGKeyArray) -> Metrics:
        batch = model.batch(block, tile_keys(key, block, axes))
        loss, aux = model.loss(gather_rows(tables, batch.ids, axes), batch)
        return psum(Metrics(loss, aux.targets), axes.all)

    return loss_of


def tile_keys(key: PRNGKeyArray, block: Block, axes: Axes) -> Key[Array, " G"]:
    """Return the keys of this device's tiles, independent of the device count: step key + tile index.

    (`jax.random.split` would take a thirtieth of a step on a CPU.)
    """
    tiles = len(block.tokens)
    tile = shard_offset(tiles, axes.all) + jnp.arange(tiles, dtype=jnp.int32)
    bits = jax.random.key_data(key)
    bits = jnp.broadcast_to(bits, (tiles, len(bits))).at[:, -1].add(tile.astype(bits.dtype))
    return jax.random.wrap_key_data(bits, impl=jax.random.key_impl(key))


def shard_step(
    step: Callable[..., Any], mesh: Mesh | None, optimizer: RowSparse
) -> Callable[[TrainState, Block], tuple[TrainState, Metrics]]:
    """Run a step (state, block) → (state, metrics), written for one device, on all devices of a mesh."""
    if mesh is None:
        return step
    tiles = P(*tile_sharding(mesh).spec[1:])

    def sharded(state: TrainState, block: Block) -> Any:
        specs = partition_specs(state, optimizer)
        run = jax.shard_map(step, mesh=mesh, in_specs=(specs, tiles), out_specs=(specs, P()), check_vma=False)
        return run(state, block)

    return sharded
