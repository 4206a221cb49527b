"""Where training on counts starts: PPMI's factors, trained on the most frequent words first.

A pass over a quarter of the words costs a sixteenth, and what it teaches is much of what a pass over all
of them would: how far each direction of PPMI's should reach, and where frequent words stand. So levels
are trained in turn, each of four times the words of the one before, and started from it: its words have
their vectors, and the others theirs by the linear map that comes nearest to taking the trained words
from PPMI's to where they are. Where that starts no lower than PPMI itself, PPMI it is: in some data
frequent words are seldom beside one another.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import trange

from ..params import Params
from ..text.cooccurrence import Cooccurrence
from .counts_problem import Problem, make_pass, make_problem, newton_for, sampled_loss
from .ppmi_svd import ppmi_svd

SHARE = 4  # of a level's words, one in so many is in the level before
PASSES = 8  # over the counts of each level before the last, which is all words
WORDS_A_NUMBER = 10  # words for each of the D numbers, below which a level would not tell what the map is


def coarse_to_fine(counts: Cooccurrence, dim: int, seed: int) -> tuple[Params, Problem]:
    """(tables to start from, the problem of all the counts), for words that stand by falling frequency."""
    sizes = [len(counts)]
    while sizes[0] >= SHARE * WORDS_A_NUMBER * dim:
        sizes.insert(0, sizes[0] // SHARE)
    ppmi = start_from_ppmi(counts, dim, seed)
    trained: tuple[Any, ...] = ()  # the tables of the level before, and its words' shares of the targets
    for size in sizes:
        corner = among_first(counts, size) if size < len(counts) else counts
        if not len(corner.values):
            continue
        problem = make_problem(corner)
        params = Params(*(table[:size] for table in ppmi))
        if trained:
            mapped = Params(*map(extended, params, *trained))
            params = mapped if sampled_loss(mapped, problem) < sampled_loss(params, problem) else params
        if size < len(counts):
            optimizer = newton_for(problem)
            state, run = optimizer.init(params), jax.jit(make_pass(optimizer), donate_argnums=1)
            for _ in trange(PASSES, desc=f"the first {size:,} words", unit="passes", disable=None):
                _, params, state = run(params, state, problem)
        trained = params, (problem.center_share, problem.outside_share)
    return params, problem


def start_from_ppmi(counts: Cooccurrence, dim: int, seed: int) -> Params:
    """PPMI's factors, with one of the D numbers for what PMI leaves out: log P(o), by which u_o·v_c differs from it."""
    center, outside = ppmi_svd(counts, dim - 1, seed)
    totals = np.asarray(counts.matrix.sum(0), np.float64)
    log_share = np.log(np.maximum(totals, 1e-12 * totals.sum()))
    log_share -= log_share.mean()
    length = max(float(np.sqrt(log_share.std())), 1e-3)  # as long in one table as in the other
    first = lambda table, column: jnp.asarray(np.column_stack([column, table]), jnp.float32)
    return Params(first(center, np.full(len(counts), length)), first(outside, log_share / length))


def among_first(counts: Cooccurrence, words: int) -> Cooccurrence:
    """The counts of the most frequent words beside one another."""
    matrix = counts.matrix[:words, :words]
    return Cooccurrence(matrix.indptr[1:].astype(np.int64), matrix.indices, matrix.data)


def extended(
    table: Float[Array, "V D"], trained: Float[Array, "less D"], share: Float[Array, " less"]
) -> Float[Array, "V D"]:
    """The trained rows, and the others mapped as those were that had a share of the targets, in least squares."""
    first, learned = trained.shape[0], (share[:, None] > 0).astype(table.dtype)
    mapping, *_ = jnp.linalg.lstsq(table[:first] * learned, trained * learned)
    return jnp.matmul(table, mapping, precision=jax.lax.Precision.HIGHEST).at[:first].set(trained)
