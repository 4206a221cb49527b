"""Tables for a changed vocabulary: every known word keeps its rows, every new one gets fresh ones."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..errors import InputError
from ..params import Params, init_params
from ..text.vocabulary import Vocabulary
from .rows import RowSparse, row_sparse
from .state import TrainState


def grow(params: Params, old: Vocabulary, new: Vocabulary, key: PRNGKeyArray) -> Params:
    """Tables for the vocabulary `new` from those for `old`, float32: rows follow their words, others are fresh.

    Words of `old` that `new` leaves out are dropped. New words get rows as `init_params` gives them:
    outside vectors of zero, so that at first they say nothing, and move nothing that is known.

    Raises:
      InputError: the tables are not of `old`'s words.

    >>> import jax
    >>> old, new = Vocabulary(("the", "of"), counts=(7, 3)), Vocabulary(("the", "cat", "of"), counts=(9, 5, 4))
    >>> params = Params(jnp.array([[1.0], [2.0]]), jnp.array([[3.0], [4.0]]))
    >>> grow(params, old, new, jax.random.key(0)).outside.ravel().tolist()
    [3.0, 0.0, 4.0]
    """
    _check(params, old)
    fresh = init_params(key, len(new), params.center.shape[-1])
    follow = _follower(old, new)
    return Params(*map(follow, params, fresh))


def grow_state(
    state: TrainState, old: Vocabulary, new: Vocabulary, optimizer: optax.GradientTransformation, key: PRNGKeyArray
) -> TrainState:
    """The same for a state: an optimizer's rows follow their words too, and its step counts go on.

    Args:
      optimizer: the one that the state is of; a new word's rows in its state are as it starts them.

    Raises:
      InputError: the tables are not of `old`'s words, or the optimizer's state does not follow them row by row.

    >>> import jax
    >>> old, new = Vocabulary(("the", "of"), counts=(7, 3)), Vocabulary(("of", "the", "cat"), counts=(9, 8, 5))
    >>> params, adagrad = Params(jnp.ones((2, 1)), jnp.ones((2, 1))), optax.adagrad(0.1)
    >>> state = TrainState(params, adagrad.init(params), jnp.int32(5))
    >>> grown = grow_state(state, old, new, adagrad, jax.random.key(0))
    >>> grown.opt_state[0].sum_of_squares.center.shape, int(grown.step)
    ((3, 1), 5)
    """
    sparse = optimizer if isinstance(optimizer, RowSparse) else row_sparse(optimizer)
    params = grow(state.params, old, new, key)
    follow, table = _follower(old, new), state.params.center
    # What an optimizer keeps for each parameter has the tables' shape; row_sparse has seen to it.
    opt_state = jax.tree.map(
        lambda leaf, fresh: follow(leaf, fresh) if leaf.shape == table.shape else leaf,
        state.opt_state, sparse.init(params),
    )  # fmt: skip
    return TrainState(params, opt_state, state.step)


def places(old: Vocabulary, new: Vocabulary) -> Int[np.ndarray, " V"]:
    """Where each word of `new` stands in `old`; −1 where it does not.

    >>> places(Vocabulary(("a", "b"), (2, 1)), Vocabulary(("b", "c"), (2, 1))).tolist()
    [1, -1]
    """
    return np.array([old.index.get(word, -1) for word in new.words], np.int32)


def _follower(
    old: Vocabulary, new: Vocabulary
) -> Callable[[Float[Array, "V D"], Float[Array, "W D"]], Float[Array, "W D"]]:
    """(old table, fresh table) → the fresh one with the old rows where their words now stand."""
    place = places(old, new)
    known = jnp.asarray(place >= 0)[:, None]
    return lambda table, fresh: jnp.where(known, jnp.asarray(table).astype(fresh.dtype)[place], fresh)


def _check(params: Params, old: Vocabulary) -> None:
    for name, table in zip(params._fields, params, strict=True):
        if table.shape != (len(old), params.center.shape[-1]):
            raise InputError(f"the {name} table has the shape {table.shape}, and there are {len(old)} words; "
                             "give a vocabulary and tables that belong together")  # fmt: skip
