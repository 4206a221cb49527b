"""Collectives over a mesh axis, or over none: without an axis each returns its input and sends nothing."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Tree = TypeVar("Tree")
DATA, VOCABULARY = "data", "vocabulary"


class Axes(NamedTuple):
    """The mesh axes that a step runs over; an axis of one device is left out, so that it sends nothing."""

    data: tuple[str, ...] = ()
    """Axes that split the tiles of a block, and replicate the tables."""
    vocabulary: tuple[str, ...] = ()
    """Axes that split the tiles and the tables."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every device."""
        return self.data + self.vocabulary


ONE_DEVICE = Axes()


def psum(tree: Tree, axes: tuple[str, ...]) -> Tree:
    """Return the sum over devices."""
    return jax.lax.psum(tree, axes) if axes else tree


def all_gather(x: Array, axes: tuple[str, ...]) -> Array:
    """Concatenate what the devices hold, along the first dimension."""
    return jax.lax.all_gather(x, axes, tiled=True) if axes else x


def psum_scatter(x: Array, axes: tuple[str, ...]) -> Array:
    """Sum over devices, of which each receives its part: the transpose of `all_gather`."""
    return jax.lax.psum_scatter(x, axes, tiled=True) if axes else x


def local_shard(x: Array, axes: tuple[str, ...]) -> Array:
    """Return this device's part of an array that every device holds."""
    if not axes:
        return x
    size = len(x) // jax.lax.axis_size(axes)
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axes) * size, size)


def sharded_logsumexp(log_normalizer: Float[Array, " B"], axes: tuple[str, ...]) -> Float[Array, " B"]:
    """Return log Σ exp over all words, given each device's over its own words."""
    if not axes:
        return log_normalizer
    largest = jax.lax.pmax(log_normalizer, axes)
    return largest + jnp.log(jax.lax.psum(jnp.exp(log_normalizer - largest), axes))


def all_gather_tree(tree: Tree, axes: tuple[str, ...]) -> Tree:
    """`all_gather` every leaf in one message, as 32-bit words, since the leaves differ in type."""
    leaves, structure = jax.tree.flatten(tree)
    if not axes or not leaves:
        return tree
    kinds = [jnp.promote_types(leaf.dtype, jnp.float32) if leaf.dtype.itemsize < 4 else leaf.dtype for leaf in leaves]
    bits = [jax.lax.bitcast_convert_type(x.astype(kind), jnp.uint32) for x, kind in zip(leaves, kinds, strict=True)]
    gathered = jax.lax.all_gather(jnp.concatenate([part.ravel() for part in bits]), axes)
    parts = jnp.split(gathered, np.cumsum([part.size for part in bits])[:-1], axis=1)
    whole = (
        jax.lax.bitcast_convert_type(part.reshape(-1, *word.shape[1:]), kind).astype(leaf.dtype)
        for part, word, kind, leaf in zip(parts, bits, kinds, leaves, strict=True)
    )
    return jax.tree.unflatten(structure, whole)
