"""The naive softmax over the full vocabulary: exact, and never holding a score for every (center, word) pair.

The normalizer of the softmax is a sum over words, so it can be accumulated block by block of the
vocabulary; and Equation 8's residual needs nothing else of the other blocks. So a first pass keeps one
number for each center, log Σ_w exp(u_w·v_c), and a second, for the gradient, computes each block's scores
again: four products of B·V·D multiplications instead of three, and B·block_size scores instead of B·V.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ..distributed.collectives import all_gather, local_shard, psum_scatter, sharded_logsumexp
from ..errors import InputError
from ..tiling import fold_tiles
from .scores import accumulation_dtype, scores, scores_vjp


def blockwise_softmax_loss(
    center_vectors: Float[Array, "B D"],
    outside_indices: Int[Array, "B *C"],
    outside_vectors: Float[Array, "V D"],
    *,
    block_size: int,
    weights: Float[Array, "B *C"] | None = None,
) -> Float[Array, " B"]:
    """Return `naive_softmax_loss` of each center with its outside word, or summed over its outside words.

        J_c = Σ_o weight_co (log Σ_w exp(u_w·v_c) − u_o·v_c)

    Works under `jit`, `vmap` and `grad`; in reverse mode only, and a gradient of the gradient holds
    [B, V]. Costs 2·B·V·D FLOP, and 6·B·V·D more with its gradient; 4·B·block_size bytes of scores, and
    8·B·C·D of outside vectors. bfloat16 tables are scored and summed in float32, the type of the loss;
    gradients have the type of their table.

    Args:
      center_vectors: the centers' vectors.
      outside_indices: one outside word for each center, or C of them, which share one normalizer.
      outside_vectors: the outside vectors of the whole vocabulary.
      block_size: words scored at once; above V, there is one block.
      weights: how often each outside word counts; 0 masks it.

    Raises:
      InputError: `block_size` is below 1.

    >>> centers, outside = jnp.ones((2, 3)), jnp.zeros((4, 3))
    >>> loss = blockwise_softmax_loss(centers, jnp.array([0, 3]), outside, block_size=3)
    >>> [round(float(each), 4) for each in loss]  # log 4
    [1.3863, 1.3863]
    """
    if block_size < 1:
        raise InputError(f"block_size is {block_size}; it must be at least 1")
    dtype = accumulation_dtype(center_vectors, outside_vectors)
    indices = outside_indices.reshape(outside_indices.shape[0], math.prod(outside_indices.shape[1:]))
    weights = jnp.ones(indices.shape, dtype) if weights is None else weights.reshape(indices.shape).astype(dtype)
    h, candidates = center_vectors.astype(dtype), outside_vectors.astype(dtype)  # the type that gradients are summed in
    # The backward pass gathers the outside vectors again, rather than keep B·C of them.
    seen = jax.checkpoint(lambda h, candidates: (h[:, None] * candidates[indices]).sum(-1))(h, candidates)
    log_normalizer = log_normalizers(block_size, h, candidates)
    return (weights * (log_normalizer[:, None] - seen)).sum(1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def log_normalizers(block_size: int, h: Float[Array, "B D"], candidates: Float[Array, "V D"]) -> Float[Array, " B"]:
    """Return log Σ_w exp(candidate_w·h) for each h.

    The gradient is the part of Equation 8 that the whole vocabulary has a share in, candidatesᵀ ŷ.

    >>> round(float(log_normalizers(3, jnp.ones((1, 2)), jnp.zeros((4, 2)))[0]), 4)  # log 4
    1.3863
    """
    return _log_normalizers(block_size, h, candidates)


def _backward(block_size: int, saved: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array]:
    h, candidates, log_normalizer = saved
    weighted = cotangent[:, None] * h.astype(cotangent.dtype)
    dh, dcandidates = expectations(block_size, h, candidates, log_normalizer, candidates, weighted)
    return (cotangent[:, None] * dh).astype(h.dtype), dcandidates.astype(candidates.dtype)


def _forward(block_size: int, h: Array, candidates: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    log_normalizer = _log_normalizers(block_size, h, candidates)
    return log_normalizer, (h, candidates, log_normalizer)


log_normalizers.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def weighted_log_normalizers(
    block_size: int, axes: tuple[str, ...], h: Float[Array, "B D"], candidates: Float[Array, "v D"],
    n: Float[Array, " B"], limit: Int[Array, ""],
) -> tuple[Float[Array, ""], tuple[Float[Array, " B"], Float[Array, " v"]]]:  # fmt: skip
    """Return Σ_c n_c log Σ_w exp(u_w·v_c), and bounds on its curvature along each h and each candidate.

    One pass over the blocks computes the gradient and the bounds, n ŷ |·|², as one more column: so the
    gradient is computed where the loss is, and the backward pass only scales it. The bounds are not
    differentiated.

    Args:
      block_size: words scored at once.
      axes: the mesh axes over which `candidates` are sharded; h and n are each device's own.
      h: what the candidates are scored against.
      candidates: the vectors of the words, or of this device's shard of them.
      n: weight of each center.
      limit: how many candidates are words, the first ones.
    """
    return _weighted_forward(block_size, axes, h, candidates, n, limit)[0]


def _weighted_forward(
    block_size: int, axes: tuple[str, ...], h: Array, candidates: Array, n: Array, limit: Array
) -> tuple[Any, Any]:
    all_h, all_n = all_gather(h, axes), all_gather(n, axes)
    normalizers = sharded_logsumexp(_log_normalizers(block_size, all_h, candidates, limit), axes)
    with_square = lambda rows: jnp.concatenate([rows, (rows**2).sum(1, keepdims=True)], axis=1).astype(n.dtype)
    per_center, per_candidate = expectations(
        block_size, all_h, candidates, normalizers, with_square(candidates), all_n[:, None] * with_square(all_h), limit
    )
    per_center = n[:, None] * psum_scatter(per_center, axes)
    own = local_shard(normalizers, axes)
    dh, dcandidates = per_center[:, :-1].astype(h.dtype), per_candidate[:, :-1].astype(candidates.dtype)
    return (n @ own, (per_center[:, -1], per_candidate[:, -1])), (dh, dcandidates, own)


def _weighted_backward(block_size: int, axes: tuple[str, ...], saved: Any, cotangent: Any) -> tuple[Any, ...]:
    dh, dcandidates, own = saved
    scale = cotangent[0]
    return scale.astype(dh.dtype) * dh, scale.astype(dcandidates.dtype) * dcandidates, scale * own, None


weighted_log_normalizers.defvjp(_weighted_forward, _weighted_backward)


def _log_normalizers(
    block_size: int, h: Float[Array, "B D"], candidates: Float[Array, "V D"], limit: Int[Array, ""] | None = None
) -> Float[Array, " B"]:
    """Merge the (max, sum) pairs of the blocks; only the first `limit` candidates are words."""
    block_size = min(block_size, len(candidates))

    def merge(carry: tuple[Array, Array], start: Array, is_new: Array) -> tuple[Array, Array]:
        largest, total = carry
        block = _block_scores(h, candidates, start, is_new)
        new = jnp.maximum(largest, block.max(1))
        return new, total * jnp.exp(largest - new) + jnp.exp(block - new[:, None]).sum(1)

    dtype = accumulation_dtype(h, candidates)
    init = jnp.full(len(h), -jnp.inf, dtype), jnp.zeros(len(h), dtype)
    largest, total = fold_tiles(merge, init, len(candidates), block_size, limit)
    return largest + jnp.log(total)


def expectations(
    block_size: int,
    h: Float[Array, "B D"],
    candidates: Float[Array, "V D"],
    log_normalizer: Float[Array, " B"],
    candidate_values: Float[Array, "V E"],
    center_values: Float[Array, "B F"],
    limit: Int[Array, ""] | None = None,
) -> tuple[Float[Array, "B E"], Float[Array, "V F"]]:
    """Return (ŷ · candidate_values, ŷᵀ · center_values), with ŷ [B, V] computed block by block.

    With the candidates and the h as values, they are Equation 8 with ŷ as the residual.
    """
    block_size = min(block_size, len(candidates))

    def add(carry: tuple[Array, Array], start: Array, is_new: Array) -> tuple[Array, Array]:
        per_center, per_candidate = carry
        y_hat = jnp.exp(_block_scores(h, candidates, start, is_new) - log_normalizer[:, None])
        block = jax.lax.dynamic_slice_in_dim(candidate_values, start, block_size)
        from_block, of_block = scores_vjp(y_hat, center_values, block)
        # The last block overlaps the one before, whose sums stay.
        of_block += jax.lax.dynamic_slice_in_dim(per_candidate, start, block_size)
        return per_center + from_block, jax.lax.dynamic_update_slice_in_dim(per_candidate, of_block, start, 0)

    dtype = log_normalizer.dtype
    zeros = lambda rows, values: jnp.zeros((len(rows), values.shape[1]), dtype)
    init = zeros(h, candidate_values), zeros(candidates, center_values)
    return fold_tiles(add, init, len(candidates), block_size, limit)


def _block_scores(h: Array, candidates: Array, start: Array, is_new: Array) -> Float[Array, "B block_size"]:
    block = jax.lax.dynamic_slice_in_dim(candidates, start, len(is_new))
    return jnp.where(is_new[None], scores(h, block), -jnp.inf)
