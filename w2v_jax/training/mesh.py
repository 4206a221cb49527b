"""Training over many devices: what each array is split over, and all that travels between them.

| array                                                          | split over           |
|----------------------------------------------------------------|----------------------|
| both tables, and what an optimizer keeps for each of their rows | `vocabulary`, by rows |
| the tiles of a block, and all that is reckoned from them       | `data` × `vocabulary` |
| everything else                                                | nothing: each has it |

A step is written for one device, and `shard_map` runs it on each. Where it needs what others have, it
calls a function of this page; without a mesh each of them gives back what it got. Between words and
devices only rows travel, never a table: the rows that a device's tiles ask for come from whoever holds
them, and the gradients of all tiles go to everyone, who adds up those of its own rows. (Devices that take
`local_steps` send nothing of this: `local_steps.py` has what they do.)
"""

import contextlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from ..config import MeshConfig
from ..errors import InputError
from ..params import Params

DATA, VOCABULARY = "data", "vocabulary"
BOTH = (DATA, VOCABULARY)

X = TypeVar("X")


def make_mesh(config: MeshConfig) -> Mesh | None:
    """The devices in rows of `vocabulary_shards`, each of a row holding its share of V; None for a single one.

    Raises:
      InputError: there are not so many devices, or they do not make whole rows.
    """
    _ask_for_cores(config.devices or 1)
    found, shards = jax.devices(), config.vocabulary_shards
    together = jax.process_count() > 1
    count = config.devices or (len(found) if together or shards > 1 else 1)
    if count > len(found) or (together and count < len(found)):
        of_all = ", and processes that train together use all of theirs" if together else ""
        if found[0].platform == "cpu" and not together:
            of_all = "; a CPU has as many as JAX_NUM_CPU_DEVICES says before JAX begins"
        raise InputError(f"{count} devices were asked for; there are {len(found)}{of_all}")
    if count % shards:
        raise InputError(f"{count} devices cannot be shared out over {shards} parts of the vocabulary; "
                         "give a number of parts that divides them")  # fmt: skip
    if count == 1:
        return None
    return jax.make_mesh((count // shards, shards), BOTH, devices=found[:count], axis_types=(AxisType.Auto,) * 2)


def _ask_for_cores(devices: int) -> None:
    """A CPU is one device to JAX, unless it is told before it begins; what a person has told it stays."""
    told = jax.config.jax_num_cpu_devices > 0 or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")  # type: ignore[attr-defined]
    if 1 < devices <= (os.cpu_count() or 1) and not told and not jax.distributed.is_initialized():
        with contextlib.suppress(RuntimeError):  # it has begun
            jax.config.update("jax_num_cpu_devices", devices)


def over_devices(step: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """A step (state, block) → (state, metrics), written for one device, on all of a mesh."""
    if mesh is None:
        return step

    def whole(state: Any, block: Any) -> Any:
        specs = split(state)
        return jax.shard_map(step, mesh=mesh, in_specs=(specs, P(BOTH)), out_specs=(specs, P()), check_vma=False)(
            state, block
        )

    return whole


def table_rows(vocab_size: int, mesh: Mesh | None) -> int:
    """V, and as many rows of no word as make the vocabulary's shares equal."""
    shards = mesh.shape[VOCABULARY] if mesh else 1
    return -(-vocab_size // shards) * shards


def split(state: Any) -> Any:
    """How a train state is split: all that has as many rows as the tables, as they are."""
    rows = len(state.params.center)
    return jax.tree.map(lambda leaf: P(VOCABULARY) if leaf.shape[:1] == (rows,) else P(), state)


def shardings(state: Any, mesh: Mesh) -> Any:
    """The same, as what `jax.jit` and `jax.device_put` take."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), split(state), is_leaf=lambda x: isinstance(x, P))


def tiles_on(mesh: Mesh) -> NamedSharding:
    """How blocks [M, G, C] are split that devices share."""
    return NamedSharding(mesh, P(None, BOTH))


def blocks_on(mesh: Mesh) -> NamedSharding:
    """How they are split where each device takes whole ones."""
    return NamedSharding(mesh, P(DATA))


def put(blocks: Any, mesh: Mesh | None, split: Callable[[Mesh], NamedSharding] = tiles_on) -> Any:
    """Blocks [M, G, C] onto the devices; each process gives the tiles of its own."""
    if mesh is None:
        return jax.device_put(blocks)
    return jax.tree.map(lambda part: jax.make_array_from_process_local_data(split(mesh), part), blocks)


def gathered(params: Params, vocab_size: int) -> Params:
    """Both tables in one piece, without the rows of no word, on every process."""
    if jax.process_count() > 1:
        params = multihost_utils.process_allgather(params, tiled=True)
    elif len(params.center.devices()) > 1:
        params = jax.device_get(params)
    without = lambda table: table if len(table) == vocab_size else table[:vocab_size]  # a slice is a copy
    return Params(*(jnp.asarray(without(table)) for table in params))


def by_rows(mesh: Mesh) -> NamedSharding:
    """How a table [rows, D] is split."""
    return NamedSharding(mesh, P(VOCABULARY))


def device_count() -> int:
    """How many devices share in the step that is traced now."""
    return jax.lax.axis_size(BOTH) if on_mesh() else 1


def on_mesh() -> bool:
    """Whether what is traced now is one device's part of a step."""
    return VOCABULARY in jax.sharding.get_abstract_mesh().manual_axes


def here(ids: Int[Array, "*n"], rows: int) -> Int[Array, "*n"]:
    """Where in this device's `rows` rows words stand; `rows` or more for those that others hold."""
    if not on_mesh():
        return ids
    mine = ids - first_row(rows)
    return jnp.where((mine >= 0) & (mine < rows), mine, rows)


def first_row(rows: int) -> Int[Array, ""] | int:
    """The word that this device's `rows` rows begin with."""
    return jax.lax.axis_index(VOCABULARY) * rows if on_mesh() else 0


def fetch(
    params: Params, centers: Int[Array, "G S"], candidates: Int[Array, "G N"]
) -> tuple[Float[Array, "G S D"], Float[Array, "G N D"]]:
    """The rows of center words and of outside ones, whoever holds them; an id that stands for no row gives some row.

    Each device asks its row of the mesh, answers what it holds, and is sent the sum of all answers.
    """
    if not on_mesh():
        return params.center.at[centers].get(mode="clip"), params.outside.at[candidates].get(mode="clip")
    rows, size = len(params.center), centers.shape[1]
    at = here(shared(jnp.concatenate([centers, candidates], axis=1)), rows)
    held = (table.at[ids].get(mode="clip") for table, ids in zip(params, (at[:, :size], at[:, size:]), strict=True))
    answers = summed_share(jnp.where((at < rows)[..., None], jnp.concatenate(list(held), axis=1), 0))
    return answers[:, :size], answers[:, size:]


def shared(x: Array) -> Array:
    """What all devices of this row of the mesh have, one after the other."""
    return jax.lax.all_gather(x, VOCABULARY, tiled=True) if on_mesh() else x


def summed_share(x: Array) -> Array:
    """The sum over this row of the mesh, of which each device gets its part: the transpose of `shared`."""
    return jax.lax.psum_scatter(x, VOCABULARY, tiled=True) if on_mesh() else x


def own_share(x: Array, axes: str | tuple[str, ...] = VOCABULARY) -> Array:
    """This device's part of what all have."""
    if not on_mesh():
        return x
    size = len(x) // jax.lax.axis_size(axes)
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axes) * size, size)


def everyones(tree: X) -> X:
    """What all devices have of arrays of 32 bits a number, one after the other, as their tiles stand: sent as one."""
    if not on_mesh():
        return tree
    leaves, shape = jax.tree.flatten(tree)
    bits = [jax.lax.bitcast_convert_type(leaf, jnp.uint32).ravel() for leaf in leaves]
    gathered = jax.lax.all_gather(jnp.concatenate(bits), BOTH)
    parts = jnp.split(gathered, np.cumsum([part.size for part in bits])[:-1], axis=1)
    whole = (
        jax.lax.bitcast_convert_type(part, leaf.dtype).reshape(-1, *leaf.shape[1:])
        for part, leaf in zip(parts, leaves, strict=True)
    )
    return jax.tree.unflatten(shape, whole)


def total(tree: Any, axes: str | tuple[str, ...] = BOTH) -> Any:
    """The sum over devices."""
    return jax.lax.psum(tree, axes) if on_mesh() else tree


def joined(log_normalizer: Float[Array, " B"]) -> Float[Array, " B"]:
    """log Σ exp over all words, from each device's over its own: the maxima meet, and then the sums."""
    if not on_mesh():
        return log_normalizer
    largest = jax.lax.pmax(log_normalizer, VOCABULARY)
    return largest + jnp.log(jax.lax.psum(jnp.exp(log_normalizer - largest), VOCABULARY))
