"""The naive softmax of a whole corpus, from its co-occurrence counts: exact, whatever the corpus's length.

Summed over all (center, outside) pairs of a text, Equation 2 depends on how often each pair occurs, X:

    J = Σ_c n_c log Σ_w exp(u_w·v_c) − Σ_c Σ_o X_co u_o·v_c          n_c = Σ_o X_co
    R = n_c ŷ_c − X_c                                                 Equation 8, y become a row of counts
    ∂J/∂v_c = Σ_w R_cw u_w              ∂J/∂u_w = Σ_c R_cw v_c

Three V×V×D products in all, made for some rows of X at a time; nothing of V×V is ever held.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer

from ..params import Params

SAFE = 30.0  # exp(±30), summed over any vocabulary, times or by any share of targets, is well inside float32


class CountBlocks(NamedTuple):
    """X [V, V] in M blocks of B rows, all of one shape.

    Rows are dealt to the blocks like cards, so that each gets its share of the frequent words, and
    about as many counts as any other.
    """

    centers: Int[Array, "M B"]
    """Which rows; V for none."""
    places: Int[Array, "M n"]
    """Where in its block's tile [V, B] a count stands, o·B + b, rising; V·B or more for none."""
    counts: Float[Array, "M n"]


def count_blocks(
    row_ends: Integer[np.ndarray, " V"],
    columns: Integer[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    *,
    rows: int,
) -> CountBlocks:
    """Deal the rows of a compressed sparse matrix, each column once in a row, into blocks of at most so many.

    >>> blocks = count_blocks(np.array([1, 3]), np.array([1, 0, 1]), np.array([5.0, 6.0, 7.0]), rows=2)
    >>> blocks.centers.tolist(), blocks.places.tolist(), blocks.counts.tolist()  # a tile of [o0c0 o0c1 o1c0 o1c1]
    ([[0, 1]], [[1, 2, 3]], [[6.0, 5.0, 7.0]])
    """
    vocab_size = len(row_ends)
    blocks = -(-vocab_size // max(1, min(rows, 2**30 // vocab_size)))  # places are int32
    rows = -(-vocab_size // blocks)
    row_starts = np.append(0, row_ends[:-1])
    centers = np.full((blocks, rows), vocab_size, np.int32)
    centers.T.flat[:vocab_size] = np.arange(vocab_size)
    lengths = np.append(row_ends - row_starts, 0)
    width = int(lengths[centers].sum(1).max())
    places = np.tile(vocab_size * rows + np.arange(width, dtype=np.int32), (blocks, 1))
    counts = np.zeros((blocks, width), values.dtype)
    for block, of_block in enumerate(centers):
        mine = of_block[of_block < vocab_size]
        entries = np.concatenate([np.arange(row_starts[c], row_ends[c]) for c in mine])
        place = columns[entries].astype(places.dtype) * rows + np.repeat(np.arange(len(mine)), lengths[mine])
        order = np.argsort(place)
        places[block, : len(place)], counts[block, : len(place)] = place[order], values[entries][order]
    return CountBlocks(*map(jnp.asarray, (centers, places, counts)))


class Scored(NamedTuple):
    """Some centers against the whole vocabulary."""

    e: Float[Array, "V B"]
    """exp(score − shift)."""
    total: Float[Array, " B"]
    n: Float[Array, " B"]
    loss: Float[Array, " B"]


def score_rows(
    center: Float[Array, "B D"], outside: Float[Array, "V D"], places: Int[Array, " n"], counts: Float[Array, " n"]
) -> Scored:
    """The loss of some centers, with what its gradient is made of."""
    size = center.shape[0]
    scores = jnp.matmul(outside, center.T, precision=jax.lax.Precision.HIGHEST)
    column = places % size
    shift = _shift(scores, center, outside)
    e = jnp.exp(scores - shift[None])
    total = e.sum(0)
    log_y_hat = scores.ravel().at[places].get(mode="fill", fill_value=0) - (shift + jnp.log(total))[column]
    per_center = lambda of_counts: jnp.zeros(size, scores.dtype).at[column].add(of_counts)  # where there is none, 0
    return Scored(e, total, per_center(counts), per_center(-counts * log_y_hat))


def rows_gradients(
    center: Float[Array, "B D"],
    outside: Float[Array, "V D"],
    places: Int[Array, " n"],
    counts: Float[Array, " n"],
    scored: Scored,
) -> tuple[Float[Array, "B D"], Float[Array, "V D"]]:
    """Their gradient: R = n ŷ − X times either table.

    The tile that is held is e − X Z/n, of which R is n/Z times each column: so the exponentials are
    written once, and what multiplies a column goes to the [B, D] factors instead.
    """
    highest = jax.lax.Precision.HIGHEST
    scale = scored.n / scored.total
    share = counts / jnp.where(scored.n > 0, scale, 1)[places % center.shape[0]]
    tile = scored.e.ravel().at[places].add(-share, mode="drop", indices_are_sorted=True, unique_indices=True)
    tile = tile.reshape(scored.e.shape)
    dcenter = jnp.matmul(outside.T, tile, precision=highest).T * scale[:, None]
    return dcenter, jnp.matmul(tile, center * scale[:, None], precision=highest)


def _shift(
    scores: Float[Array, "V B"], center: Float[Array, "B D"], outside: Float[Array, "V D"]
) -> Float[Array, " B"]:
    """What to take from each column's scores before exp: nothing where all are small, else the largest."""
    length = lambda rows: jnp.sqrt((rows**2).sum(1).max())
    small = length(center) * length(outside) < SAFE  # Cauchy and Schwarz: no score is larger
    return jax.lax.cond(small, lambda: jnp.zeros(scores.shape[1], scores.dtype), lambda: scores.max(0))


def softmax_counts_loss(params: Params, blocks: CountBlocks) -> tuple[Float[Array, " V"], Params]:
    """J, each center's share of it, and its gradient. Costs 6·V²·D FLOP and V² exponentials, and holds 2·V·B numbers.

    >>> import jax.numpy as jnp
    >>> blocks = count_blocks(np.array([1, 2]), np.array([1, 0]), np.array([5.0, 3.0], np.float32), rows=2)
    >>> loss, gradient = softmax_counts_loss(Params(jnp.ones((2, 1)), jnp.zeros((2, 1))), blocks)
    >>> [round(float(each), 3) for each in loss], gradient.outside.tolist()  # 5 log 2 and 3 log 2
    ([3.466, 2.079], [[1.0], [-1.0]])
    """

    def add(so_far: tuple[Array, Params], block: CountBlocks) -> tuple[tuple[Array, Params], None]:
        loss, gradient = so_far
        center = params.center.at[block.centers].get(mode="fill", fill_value=0)
        rows = center, params.outside, block.places, block.counts
        scored = score_rows(*rows)
        dcenter, doutside = rows_gradients(*rows, scored)
        dcenter = gradient.center.at[block.centers].set(dcenter, mode="drop")
        loss = loss.at[block.centers].set(scored.loss, mode="drop")
        return (loss, Params(dcenter, gradient.outside + doutside)), None

    nothing = jnp.zeros(params.center.shape[0], params.center.dtype), Params(*map(jnp.zeros_like, params))
    return jax.lax.scan(add, nothing, blocks)[0]


def mean_softmax_loss(params: Params, blocks: CountBlocks) -> Float[Array, ""]:
    """Nats a target in all or some of the blocks, for a third of the gradient's FLOP.

    A few tell about what all do, each having frequent and rare words alike.
    """

    def of_block(block: CountBlocks) -> tuple[Array, Array]:
        center = params.center.at[block.centers].get(mode="fill", fill_value=0)
        scored = score_rows(center, params.outside, block.places, block.counts)
        return scored.loss.sum(), scored.n.sum()

    loss, n = jax.lax.map(of_block, blocks)
    return loss.sum() / n.sum()
