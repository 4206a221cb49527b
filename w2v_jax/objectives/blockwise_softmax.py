"""The naive softmax at full vocabulary: exact, and never holding a score for every (center, word) pair.

Softmax's normalizer is a sum over words, so it can be gathered block by block of the vocabulary; and
Equation 8's residual needs nothing else of the other blocks. So the forward pass keeps one number for
each center, log Σ_w exp(u_w·v_c), and the backward pass makes each block's scores once more: four
products of B·V·D multiplications instead of three, and B·block_size scores in memory instead of B·V.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..errors import InputError


def blockwise_softmax_loss(
    center_vectors: Float[Array, "B D"],
    outside_indices: Int[Array, "B *C"],
    outside_vectors: Float[Array, "V D"],
    *,
    block_size: int,
    weights: Float[Array, "B *C"] | None = None,
) -> Float[Array, " B"]:
    """`naive_softmax_loss` of each center with its outside word, or summed over its outside words.

        J_c = Σ_o weight_co (log Σ_w exp(u_w·v_c) − u_o·v_c)

    `outside_indices` has one outside word for each center, or C of them, which share one normalizer;
    `weights` counts each, and 0 masks it. Works under `jit`, `vmap` and `grad`; in
    reverse mode only, and a gradient of the gradient holds what the loss never does, [B, V].

    Costs 2·B·V·D FLOP, and 6·B·V·D more with its gradient; 4·B·block_size bytes of scores, and 8·B·C·D of
    outside words' vectors. bfloat16 tables are scored and summed in float32, in which the loss then is;
    gradients have their table's type.

    Raises:
      InputError: `block_size` is below 1 (above V, there is one block).

    >>> import jax.numpy as jnp
    >>> centers, outside = jnp.ones((2, 3)), jnp.zeros((4, 3))
    >>> loss = blockwise_softmax_loss(centers, jnp.array([0, 3]), outside, block_size=3)
    >>> [round(float(each), 4) for each in loss]  # log 4
    [1.3863, 1.3863]
    """
    if block_size < 1:
        raise InputError(f"block_size is {block_size}; it must be at least 1")
    indices = outside_indices.reshape(outside_indices.shape[0], math.prod(outside_indices.shape[1:]))
    dtype = _accumulator(center_vectors, outside_vectors)
    weights = jnp.ones(indices.shape, dtype) if weights is None else weights.reshape(indices.shape).astype(dtype)
    return _loss(min(block_size, outside_vectors.shape[0]), center_vectors, indices, outside_vectors, weights)


def log_normalizers(
    h: Float[Array, "B D"], candidates: Float[Array, "V D"], *, block_size: int, words: Int[Array, ""] | None = None
) -> Float[Array, " B"]:
    """log Σ_w exp(candidate_w·h) for each h: (max, sum) pairs of blocks, joined as they come.

    With `words`, only so many of the candidates are words, the first; of none the sum is 0.

    >>> import jax.numpy as jnp
    >>> round(float(log_normalizers(jnp.ones((1, 2)), jnp.zeros((4, 2)), block_size=3)[0]), 4)  # log 4
    1.3863
    """
    block_size = min(block_size, candidates.shape[0])

    def join(i: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
        largest, total = so_far
        _, scores = _block(i, h, candidates, block_size, words)
        new = jnp.maximum(largest, scores.max(0))
        return new, total * jnp.exp(largest - new) + jnp.exp(scores - new[None]).sum(0)

    dtype = _accumulator(h, candidates)
    nothing = jnp.full(h.shape[0], -jnp.inf, dtype), jnp.zeros(h.shape[0], dtype)
    largest, total = jax.lax.fori_loop(0, _blocks(candidates, block_size, words), join, nothing)
    return largest + jnp.log(total)


def expectations(
    h: Float[Array, "B D"],
    candidates: Float[Array, "V D"],
    log_normalizer: Float[Array, " B"],
    of_candidates: Float[Array, "V E"],
    of_h: Float[Array, "B F"],
    *,
    block_size: int,
    words: Int[Array, ""] | None = None,
) -> tuple[Float[Array, "B E"], Float[Array, "V F"]]:
    """(ŷ · of_candidates, ŷᵀ · of_h) with ŷ [B, V] made block by block.

    ∂ log_normalizer/∂h is ŷ · candidates and ∂ log_normalizer/∂candidates is ŷᵀ · h: the part of
    Equation 8 that the whole vocabulary has a share in.
    """
    block_size = min(block_size, candidates.shape[0])
    dtype = _accumulator(h, candidates)
    highest = jax.lax.Precision.HIGHEST

    def add(i: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
        at_h, at_candidates = so_far
        start, scores = _block(i, h, candidates, block_size, words)
        y_hat = jnp.exp(scores - log_normalizer[None])
        block = jax.lax.dynamic_slice_in_dim(of_candidates, start, block_size).astype(dtype)
        at_h = at_h + jnp.matmul(block.T, y_hat, precision=highest)
        rows = jax.lax.dynamic_slice_in_dim(at_candidates, start, block_size)
        rows = rows + jnp.matmul(y_hat, of_h.astype(dtype), precision=highest)
        return at_h, jax.lax.dynamic_update_slice_in_dim(at_candidates, rows, start, 0)

    nothing = (
        jnp.zeros((of_candidates.shape[1], h.shape[0]), dtype),
        jnp.zeros((candidates.shape[0], of_h.shape[1]), dtype),
    )
    at_h, at_candidates = jax.lax.fori_loop(0, _blocks(candidates, block_size, words), add, nothing)
    return at_h.T, at_candidates


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(block_size: int, h: Array, indices: Array, candidates: Array, weights: Array) -> Array:
    return _loss_forward(block_size, h, indices, candidates, weights)[0]


def _loss_forward(block_size: int, h: Array, indices: Array, candidates: Array, weights: Array) -> tuple[Array, Any]:
    log_normalizer = log_normalizers(h, candidates, block_size=block_size)
    log_y_hat = _scores_of(h, indices, candidates) - log_normalizer[:, None]
    return -(weights * log_y_hat).sum(1), (h, indices, candidates, weights, log_normalizer)


def _loss_backward(block_size: int, saved: Any, cotangent: Array) -> tuple[Array | None, ...]:
    """Equation 8 with y a row of weights, times the cotangent: g n ŷ over all words, −g y over the outside ones."""
    h, indices, candidates, weights, log_normalizer = saved
    observed = cotangent[:, None] * weights
    n = observed.sum(1)
    wide = h.astype(n.dtype)
    y_hat_candidates, dcandidates = expectations(
        h, candidates, log_normalizer, candidates, n[:, None] * wide, block_size=block_size
    )
    rows = candidates[indices].astype(n.dtype)
    dh = n[:, None] * y_hat_candidates - (observed[..., None] * rows).sum(1)
    dcandidates = dcandidates.at[indices].add(-observed[..., None] * wide[:, None], mode="clip")
    dweights = cotangent[:, None] * (log_normalizer[:, None] - _scores_of(h, indices, candidates))
    return dh.astype(h.dtype), None, dcandidates.astype(candidates.dtype), dweights


_loss.defvjp(_loss_forward, _loss_backward)


def _block(
    i: Array, h: Float[Array, "B D"], candidates: Float[Array, "V D"], size: int, words: Int[Array, ""] | None
) -> tuple[Int[Array, ""], Float[Array, "size B"]]:
    """Where block i starts, and its scores.

    V need not be a multiple of the size: the last block starts early enough to be full, and scores −∞
    for the rows that the one before has had. Nothing is padded, and so no copy of the table is made.
    """
    start = jnp.minimum(i * size, candidates.shape[0] - size)
    row = start + jnp.arange(size, dtype=start.dtype)
    fresh = row >= i * size if words is None else (row >= i * size) & (row < words)
    dtype = _accumulator(h, candidates)
    scores = jnp.matmul(
        jax.lax.dynamic_slice_in_dim(candidates, start, size), h.T,
        precision=jax.lax.Precision.HIGHEST, preferred_element_type=dtype,
    )  # fmt: skip
    return start, jnp.where(fresh[:, None], scores, -jnp.inf)


def _scores_of(h: Float[Array, "B D"], indices: Int[Array, "B C"], candidates: Float[Array, "V D"]) -> Array:
    dtype = _accumulator(h, candidates)
    return (h.astype(dtype)[:, None] * candidates[indices].astype(dtype)).sum(-1)


def _blocks(candidates: Float[Array, "V D"], size: int, words: Int[Array, ""] | None = None) -> Any:
    return -(-(candidates.shape[0] if words is None else words) // size)


def _accumulator(h: Array, candidates: Array) -> jnp.dtype:
    return jnp.dtype("float64" if jnp.float64 in (h.dtype, candidates.dtype) else "float32")
