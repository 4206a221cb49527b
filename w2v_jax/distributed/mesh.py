"""The devices that train, and how a train state and its blocks are placed on them."""

import contextlib
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ..config import MeshConfig
from ..errors import InputError
from ..params import Tables
from .collectives import DATA, VOCABULARY, Axes


def make_mesh(config: MeshConfig) -> Mesh | None:
    """Return the mesh [data, vocabulary] of the devices; None for a single device.

    Raises:
      InputError: there are too few devices, or the shards do not divide them.
    """
    _split_cpu(config.devices or config.vocabulary_shards)
    devices, shards = jax.devices(), config.vocabulary_shards
    distributed = jax.process_count() > 1
    count = config.devices or (len(devices) if distributed or shards > 1 else 1)
    if count > len(devices) or (distributed and count < len(devices)):
        hint = ", and processes that train together use all their devices" if distributed else ""
        if devices[0].platform == "cpu" and not distributed:
            hint = "; a CPU has as many as JAX_NUM_CPU_DEVICES says before JAX is initialized"
        raise InputError(f"{count} devices were asked for; there are {len(devices)}{hint}")
    if count % shards:
        raise InputError(f"{count} devices cannot be divided into {shards} shards of the vocabulary; "
                         "give a number of shards that divides them")  # fmt: skip
    if count == 1:
        return None
    return jax.make_mesh(
        (count // shards, shards), (DATA, VOCABULARY), devices=devices[:count], axis_types=(AxisType.Auto,) * 2
    )


def _split_cpu(devices: int) -> None:
    """Let a CPU be several devices, where JAX is not initialized and the user has not set their number."""
    is_set = jax.config.jax_num_cpu_devices > 0 or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")  # type: ignore[attr-defined]
    if 1 < devices <= (os.cpu_count() or 1) and not is_set and not jax.distributed.is_initialized():
        with contextlib.suppress(RuntimeError):  # JAX is initialized
            jax.config.update("jax_num_cpu_devices", devices)


def mesh_axes(mesh: Mesh | None) -> Axes:
    """Return the axes that have more than one device."""
    axis = lambda name: (name,) if mesh is not None and mesh.shape[name] > 1 else ()
    return Axes(axis(DATA), axis(VOCABULARY))


def pad_tables(tables: Tables, mesh: Mesh | None) -> Tables:
    """Append rows of zeros to each table, so that its shards are equal."""
    shards = mesh.shape[VOCABULARY] if mesh else 1
    return jax.tree.map(lambda table: jnp.pad(table, ((0, -len(table) % shards), (0, 0))), tables)


def unshard_tables(tables: Tables, num_rows: Tables) -> Tables:
    """Return every table in one piece, without its padding rows, on every process."""
    leaves = jax.tree.leaves(tables)
    if jax.process_count() > 1:
        tables = multihost_utils.process_allgather(tables, tiled=True)
    elif len(leaves[0].devices()) > 1:
        tables = jax.device_get(tables)
    trim = lambda table, rows: jnp.asarray(table if len(table) == rows else table[:rows])  # a slice is a copy
    return jax.tree.map(trim, tables, num_rows)


def tile_sharding(mesh: Mesh) -> NamedSharding:
    """Split blocks [M, G, C] by tiles, where devices share each block."""
    return NamedSharding(mesh, P(None, (DATA, VOCABULARY)))


def block_sharding(mesh: Mesh) -> NamedSharding:
    """Split blocks [M, G, C] by blocks, where each device takes whole ones."""
    return NamedSharding(mesh, P(DATA))


def shard_blocks(blocks: Any, sharding: NamedSharding | None) -> Any:
    """Place blocks on the devices; each process gives the tiles of its own."""
    if sharding is None:
        return jax.device_put(blocks)
    return jax.tree.map(lambda part: jax.make_array_from_process_local_data(sharding, np.asarray(part)), blocks)
