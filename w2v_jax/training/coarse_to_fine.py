"""Where training on counts starts: PPMI's factors, trained on the most frequent words first.

A pass over a quarter of the words costs a sixteenth, and what it teaches is most of what a pass over all
of them would: how far each direction of PPMI's should reach, and where frequent words stand. So the
vectors of a sixty-fourth of the words, a sixteenth, and a quarter are trained in turn, each started from
the one before: its words have their vectors, and other words theirs by the linear map that comes nearest
to taking the trained words from PPMI's to where they are.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import trange

from ..params import Params
from ..text.cooccurrence import Cooccurrence
from .counts_problem import make_pass, make_problem
from .ppmi_svd import ppmi_svd
from .shared_newton import shared_newton

SHARE = 4  # of a level's words, one in so many is in the level below
PASSES = 8  # over the counts of each level but the last
WORDS_A_NUMBER = 10  # words for each of the D numbers, below which a level would not tell what the map is


def coarse_to_fine(counts: Cooccurrence, dim: int, seed: int) -> Params:
    """Tables to start from, whose words stand by falling frequency."""
    ppmi = start_from_ppmi(counts, dim, seed)
    sizes = [len(counts)]
    while sizes[0] >= SHARE * WORDS_A_NUMBER * dim:
        sizes.insert(0, sizes[0] // SHARE)
    params = Params(*(table[: sizes[0]] for table in ppmi))
    for size, larger in itertools.pairwise(sizes):
        problem = make_problem(among_first(counts, size))
        optimizer = shared_newton(problem.center_share, problem.outside_share, ridge=float(problem.ridge))
        state, run = optimizer.init(params), jax.jit(make_pass(optimizer), donate_argnums=1)
        for _ in trange(PASSES, desc=f"the first {size:,} words", unit="passes", disable=None):
            _, params, state = run(params, state, problem)
        params = Params(*(extended(table[:larger], found) for table, found in zip(ppmi, params, strict=True)))
    return params


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


def extended(table: Float[Array, "V D"], trained: Float[Array, "less D"]) -> Float[Array, "V D"]:
    """The trained rows, and the others mapped as those were, in least squares."""
    first = trained.shape[0]
    mapping, *_ = jnp.linalg.lstsq(table[:first], trained)
    return jnp.matmul(table, mapping, precision=jax.lax.Precision.HIGHEST).at[:first].set(trained)
