"""Initial tables of training on counts: the factors of PPMI, trained on the most frequent words first.

Levels are trained in turn, each with four times the words of the one before. A pass over a quarter of the words
costs a sixteenth of a full pass, and teaches the scale of each direction and the vectors of frequent words.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..params import Params
from ..progress import progress
from .cooccurrence import Cooccurrence
from .ppmi_svd import ppmi_svd
from .preconditioned_lbfgs import preconditioned_lbfgs
from .softmax import Problem, make_pass, make_problem, sampled_loss

GROWTH = 4  # words of a level over those of the level before
PASSES = 8  # over the counts of each level but the last
MIN_WORDS_PER_DIM = 10  # fewer words do not determine the linear map


def coarse_to_fine(counts: Cooccurrence, dim: int, seed: int) -> tuple[Params, Problem]:
    """Return (initial tables, problem of all counts), for words sorted by falling frequency.

    A level starts from the vectors of the level before, extrapolated to its other words, or from PPMI's factors
    if their loss is lower, as it is where frequent words seldom co-occur.
    """
    sizes = [len(counts)]
    while sizes[0] >= GROWTH * MIN_WORDS_PER_DIM * dim:
        sizes.insert(0, sizes[0] // GROWTH)
    ppmi = init_from_ppmi(counts, dim, seed)
    trained: tuple[Any, ...] = ()  # tables of the level before, and shares of targets
    for size in sizes:
        level = Cooccurrence(counts.matrix[:size, :size])
        if not level.matrix.nnz:
            continue
        problem = make_problem(level)
        params = Params(*(table[:size] for table in ppmi))
        if trained:
            mapped = Params(*map(extrapolate_rows, params, *trained))
            params = mapped if sampled_loss(mapped, problem) < sampled_loss(params, problem) else params
        if size < len(counts):
            optimizer = preconditioned_lbfgs(problem.share, ridge=float(problem.ridge))
            state, run = optimizer.init(params), jax.jit(make_pass(optimizer), donate_argnums=1)
            with progress(PASSES, "passes", description=f"the first {size:,} words") as bar:
                for _ in range(PASSES):
                    _, params, state = run(params, state, problem)
                    bar.update()
        trained = params, problem.share
    return params, problem


def init_from_ppmi(counts: Cooccurrence, dim: int, seed: int) -> Params:
    """Return PPMI's factors in D − 1 columns, and log P(o), by which u_o·v_c differs from PMI, in another."""
    center, outside = ppmi_svd(counts, dim - 1, seed)
    totals = np.asarray(counts.matrix.sum(0), np.float64)
    log_share = np.log(np.maximum(totals, 1e-12 * totals.sum()))
    log_share -= log_share.mean()
    length = max(float(np.sqrt(log_share.std())), 1e-3)  # gives both tables' columns the same scale
    prepend = lambda table, column: jnp.asarray(np.column_stack([column, table]), jnp.float32)
    return Params(prepend(center, np.full(len(counts), length)), prepend(outside, log_share / length))


def extrapolate_rows(
    table: Float[Array, "V D"], trained: Float[Array, "less D"], share: Float[Array, " less"]
) -> Float[Array, "V D"]:
    """Return the trained rows, and the others by the least-squares map from `table` to trained rows with targets."""
    size, has_targets = len(trained), (share[:, None] > 0).astype(table.dtype)
    mapping, *_ = jnp.linalg.lstsq(table[:size] * has_targets, trained * has_targets)
    return jnp.matmul(table, mapping, precision=jax.lax.Precision.HIGHEST).at[:size].set(trained)
