"""The exact softmax of a whole corpus, from its co-occurrence counts X.

Summed over all (center, outside) pairs of a text, Equation 2 depends only on how often each pair occurs:

    J = Σ_c n_c log Σ_w exp(u_w·v_c) − Σ_c Σ_o X_co u_o·v_c          n_c = Σ_o X_co
    R = n_c ŷ_c − X_c                                                 Equation 8, with a row of counts for y
    ∂J/∂v_c = Σ_w R_cw u_w              ∂J/∂u_w = Σ_c R_cw v_c

That takes three V×V×D products, for one block of rows of X at a time; no V×V array is held.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ..objectives.scores import scores_vjp
from ..params import Params
from .cooccurrence import Cooccurrence

BLOCK_ROWS = 256  # centers scored at once: 512 leave the cache and take a fifth longer
RIDGE = 0.1  # in targets: keeps the vectors of words with few targets finite
SAFE_SCORE = 30.0  # exp(±30), summed over any vocabulary or weighted by any share of targets, is a normal float32


Losses = tuple[Float[Array, ""], Float[Array, ""]]
"""The loss in nats per target, and the same plus ridge/2·|params|², which the optimizer minimizes."""


class CountBlocks(NamedTuple):
    """X [V, V] in M blocks of B rows, dealt in turn: all blocks have like shares of frequent words and counts."""

    centers: Int[Array, "M B"]
    """Row ids; V is padding."""
    places: Int[Array, "M n"]
    """Index o·B + b of each count in the tile [V, B] of its block, rising; V·B or more is padding."""
    counts: Float[Array, "M n"]


class Problem(NamedTuple):
    """The exact softmax of counts, in nats per target."""

    blocks: CountBlocks
    share: Float[Array, "2 V"]
    """Share of all targets whose center is each word; and whose outside word is each word."""
    ridge: Float[Array, ""]
    targets: Float[Array, ""]
    """Sum of all counts."""


def count_blocks(matrix: Any, *, rows: int) -> CountBlocks:
    """Deal the rows of a sparse matrix, without duplicate entries, into blocks of at most `rows` rows.

    >>> from scipy import sparse
    >>> blocks = count_blocks(sparse.csr_array([[0.0, 5.0], [6.0, 7.0]]), rows=2)
    >>> blocks.centers.tolist(), blocks.places.tolist(), blocks.counts.tolist()  # a tile of [o0c0 o0c1 o1c0 o1c1]
    ([[0, 1]], [[1, 2, 3]], [[6.0, 5.0, 7.0]])
    """
    vocab_size = matrix.shape[0]
    blocks = -(-vocab_size // max(1, min(rows, 2**30 // vocab_size)))  # places are int32
    rows = -(-vocab_size // blocks)
    centers = np.full((blocks, rows), vocab_size, np.int32)
    centers.T.flat[:vocab_size] = np.arange(vocab_size)
    width = max(int(np.diff(matrix.indptr)[block::blocks].sum()) for block in range(blocks))
    places = np.tile(vocab_size * rows + np.arange(width, dtype=np.int32), (blocks, 1))
    counts = np.zeros((blocks, width), matrix.dtype)
    for block in range(blocks):
        tile = matrix[block::blocks].T.tocsr().tocoo()  # its entries by rising place
        places[block, : tile.nnz], counts[block, : tile.nnz] = tile.row * rows + tile.col, tile.data
    return CountBlocks(*map(jnp.asarray, (centers, places, counts)))


def make_problem(counts: Cooccurrence, ridge: float = RIDGE) -> Problem:
    """Put counts on the device, normalized to sum to 1."""
    total = counts.matrix.data.sum(dtype=np.float64)
    blocks = count_blocks(counts.matrix, rows=BLOCK_ROWS)
    blocks = blocks._replace(counts=blocks.counts / jnp.float32(total))
    share = np.array([counts.matrix.sum(axis) for axis in (1, 0)], np.float64) / total
    return Problem(blocks, jnp.asarray(share, jnp.float32), jnp.float32(ridge / total), jnp.float32(total))


def make_pass(optimizer: optax.GradientTransformation) -> Callable[[Params, Any, Problem], Any]:
    """Return (params, state, problem) → ((losses, gradient norm) before the step, new params, new state)."""
    update = optax.with_extra_args_support(optimizer).update

    def run_pass(params: Params, state: Any, problem: Problem) -> tuple[tuple[Losses, Array], Params, Any]:
        losses, gradient = loss_and_gradient(params, problem)
        value_fn = lambda params: sampled_loss(params, problem)
        updates, state = update(gradient, state, params, value=losses[1], value_fn=value_fn, grad=gradient)
        return (losses, optax.tree.norm(gradient)), optax.apply_updates(params, updates), state

    return run_pass


def loss_and_gradient(params: Params, problem: Problem) -> tuple[Losses, Params]:
    """Return the losses and the gradient of the regularized one."""
    nats, gradient = softmax_counts_loss(params, problem.blocks)
    gradient = jax.tree.map(lambda g, p: g + problem.ridge * p, gradient, params)
    return (nats, nats + problem.ridge / 2 * optax.tree.norm(params, squared=True)), gradient


@jax.jit
def sampled_loss(params: Params, problem: Problem) -> Float[Array, ""]:
    """Estimate the regularized loss from four of the blocks."""
    blocks = jax.tree.map(lambda part: part[:: max(1, len(part) // 4)][:4], problem.blocks)
    blocks = blocks._replace(counts=blocks.counts / blocks.counts.sum())
    return loss_and_gradient(params, problem._replace(blocks=blocks))[0][1]


def softmax_counts_loss(params: Params, blocks: CountBlocks) -> tuple[Float[Array, ""], Params]:
    """Return J and its gradient.

    Costs 6·V²·D FLOP and V² exponentials, and holds 2·V·B numbers. Under jit the loss alone costs a third,
    because XLA removes the gradient.

    >>> from scipy import sparse
    >>> blocks = count_blocks(sparse.csr_array([[0.0, 5.0], [3.0, 0.0]]).astype(np.float32), rows=2)
    >>> loss, gradient = softmax_counts_loss(Params(jnp.ones((2, 1)), jnp.zeros((2, 1))), blocks)
    >>> round(float(loss), 3), gradient.outside.tolist()  # 8 log 2
    (5.545, [[1.0], [-1.0]])
    """

    def add_block(total: tuple[Array, Params], block: CountBlocks) -> tuple[tuple[Array, Params], None]:
        """R = n ŷ − X is n/Z times e − X Z/n, column by column: n/Z multiplies the factors instead of the tile."""
        loss, gradient = total
        center, outside = params.center.at[block.centers].get(mode="fill", fill_value=0), params.outside
        scores = jnp.matmul(outside, center.T, precision=jax.lax.Precision.HIGHEST)
        is_safe = max_norm(center) * max_norm(outside) < SAFE_SCORE  # bounds |score| by Cauchy-Schwarz
        shift = jax.lax.cond(is_safe, lambda: jnp.zeros_like(scores[0]), lambda: scores.max(0))
        e = jnp.exp(scores - shift[None])
        z, column = e.sum(0), block.places % len(center)
        sum_by_center = lambda values: jnp.zeros_like(z).at[column].add(values)
        log_y_hat = scores.ravel().at[block.places].get(mode="fill", fill_value=0) - (shift + jnp.log(z))[column]
        n = sum_by_center(block.counts)
        scale = n / z
        share = block.counts / jnp.where(n > 0, scale, 1)[column]
        tile = e.ravel().at[block.places].add(-share, mode="drop", indices_are_sorted=True, unique_indices=True)
        dcenter, doutside = scores_vjp(tile.reshape(e.shape).T, center * scale[:, None], outside)
        dcenter = gradient.center.at[block.centers].set(dcenter * scale[:, None], mode="drop")
        loss -= sum_by_center(block.counts * log_y_hat).sum()
        return (loss, Params(dcenter, gradient.outside + doutside)), None

    max_norm = lambda rows: jnp.sqrt((rows**2).sum(1).max())
    zeros = jnp.zeros((), params.center.dtype), Params(*map(jnp.zeros_like, params))
    return jax.lax.scan(add_block, zeros, blocks)[0]
