"""Devices that train apart from each other for a while, and then meet (local SGD: Stich, 2019).

Devices that share every block wait for each other's rows at every step. Here all start from the same tables, each takes
many steps by itself, on the next blocks of the text, and only then do they put together what they have learnt.

The sum of their changes is what they would have come to one after the other, while the steps are short. But where each
by itself has brought a row near its minimum, n such changes together go n times too far. Along a direction of
curvature κ, device i with steps of size s leaves of the distance to the minimum

    c_i = exp(−Σ s κ)

and all of them one after the other would leave Π c_i. Of the sum of their changes, each 1 − c_i of the distance, the
share that counts is therefore

    share = (1 − Π c_i) / Σ (1 − c_i)

all of it where a row has hardly moved, or one device alone has moved it; an n-th, which makes it their mean, where each
has gone as far as there was to go. What is known of a row's curvature is a bound on its sum over all D directions, and
it is taken to lie in all of them alike. But no share is so large that a direction which has all of it would go further
beyond its minimum than by 1/(n − 1) of the distance: share ≤ n / (n − 1) / Σ (1 − c_i), with that direction's c_i.
(This never binds two. Four and eight devices diverge without it.)
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from ..config import TrainConfig
from ..params import Params
from ..text.vocabulary import Vocabulary
from ..windows import Block
from .mesh import DATA
from .rows import RowSparse, apply_rows, widened
from .state import TrainState
from .step import Metrics, make_gradients

PIECE = 4096  # rows that devices put together at once: tables are long, and memory never used before is slow

Apart = tuple[TrainState, Params]
"""A train state as of the last meeting, and its tables again, `widened`: those that each device moves by itself."""


def set_out(state: TrainState) -> Apart:
    """What all begin with; the tables that they move are in buffers of their own."""
    return state, Params(*(jnp.copy(widened(table)) for table in state.params))


def make_local_steps(
    config: TrainConfig, vocabulary: Vocabulary, optimizer: RowSparse, mesh: Mesh
) -> Callable[[Apart, Block], tuple[Apart, Metrics]]:
    """(Apart, blocks [n·M, ...]) → (Apart, metrics [M]): each of n devices takes M blocks, then all meet.

    The optimizer is `bounded_sgd`, perhaps of frozen rows: its only state is the step, and it says how far rows went.
    """
    gradients = make_gradients(config, vocabulary)

    def train(at_meeting: Apart, blocks: Block) -> tuple[Apart, Metrics]:
        def step(own: tuple[Params, Params], at: tuple[Array, Block]) -> tuple[tuple[Params, Params], Metrics]:
            (params, moved), (number, block) = own, at
            metrics, rows = gradients(params, block, number)
            updates, _ = optimizer.update(rows, optax.ScaleByScheduleState(number), params)
            add = lambda sums, rows: sums.at[rows.ids].add(rows.curvature, mode="drop")
            return (apply_rows(params, updates), Params(*map(add, moved, updates))), metrics

        (state, tables), steps = at_meeting, len(blocks.tokens)
        first = state.step + jax.lax.axis_index(DATA) * steps
        numbers = first + jnp.arange(steps, dtype=first.dtype)
        unmoved = Params(*(jnp.zeros(len(table), table.dtype) for table in tables))
        (params, moved), metrics = jax.lax.scan(step, (tables, unmoved), (numbers, blocks))
        together, after = Params(*map(meet, state.params, params, moved)), state.step + jax.lax.axis_size(DATA) * steps
        state = TrainState(together, optax.ScaleByScheduleState(after), after)
        return (state, Params(*map(widened, together))), jax.lax.psum(metrics, DATA)

    # The mesh's other axis stays out of it: to the step, a device is then alone.
    return jax.shard_map(
        train, mesh=mesh, in_specs=(P(), P(DATA)), out_specs=(P(), P()), axis_names={DATA}, check_vma=False
    )


def meet(met: Float[Array, "V D"], table: Float[Array, "V E"], moved: Float[Array, " V"]) -> Float[Array, "V D"]:
    """What devices have together made of a table that was `met` and is now each one's `table`, perhaps `widened`.

    `moved` is each row's Σ step · curvature, summed over directions.
    """
    size, moved = min(PIECE, len(met)), moved[:, None]
    all_gone = lambda moved: -jnp.expm1(-jax.lax.psum(moved, DATA))
    sum_gone = lambda moved: jax.lax.psum(-jnp.expm1(-moved), DATA)
    in_each = moved / met.shape[1]
    beyond = jax.lax.axis_size(DATA) / max(1, jax.lax.axis_size(DATA) - 1)
    share = jnp.minimum(all_gone(in_each) / sum_gone(in_each), beyond / sum_gone(moved))
    share = jnp.where(sum_gone(in_each) > 0, share, 1)

    def piece(i: Int[Array, ""], met: Array) -> Array:
        start = jnp.minimum(i * size, len(met) - size)
        rows = lambda of: jax.lax.dynamic_slice_in_dim(of, start, size)
        new = i * size - start <= jnp.arange(size, dtype=i.dtype)[:, None]  # the last reaches back into the one before
        change = rows(share) * jax.lax.psum(rows(table)[:, : met.shape[1]] - rows(met), DATA)
        return jax.lax.dynamic_update_slice_in_dim(met, rows(met) + jnp.where(new, change, 0), start, 0)

    return jax.lax.fori_loop(0, -(-len(met) // size), piece, met)
