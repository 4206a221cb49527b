"""The tables that training moves, and the letters that name most axes.

    V  words in the vocabulary
    D  numbers in a word vector
    B  centers in a batch
    T  tokens in a block, in G tiles of S consecutive ones
    C  context slots of a tile, S + 2·window
    K  noise words of a pair, or of a tile
    N  candidates that one center is scored against

The equations keep word vectors as the columns of D×V matrices; the code keeps them as the rows of
[V, D] arrays, so that one word's vector is contiguous: `params.outside[w]` is column w of U.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

PAD_ID = 2**31 - 1  # the id of no row
Tables = Any  # a NamedTuple or dict of [rows, D] arrays: everything that a model learns


class Params(NamedTuple):
    """Both vectors of every word, the tables of skip-gram.

    `center[w]` is v_w, used where w predicts; `outside[w]` is u_w, used where w is predicted.
    """

    center: Float[Array, "V D"]
    outside: Float[Array, "V D"]


def init_params(key: PRNGKeyArray, vocab_size: int, dim: int) -> Params:
    """Draw center vectors uniformly from ±1/(2D), and set outside vectors to zero, both float32 (word2vec.c, 2013).

    With every u_w = 0 the model starts as the uniform distribution, whatever the center vectors are.

    >>> params = init_params(jax.random.key(0), vocab_size=3, dim=2)
    >>> params.center.shape, float(abs(params.center).max()) <= 0.25, float(params.outside.sum())
    ((3, 2), True, 0.0)
    """
    center = jax.random.uniform(key, (vocab_size, dim), jnp.float32, minval=-0.5 / dim, maxval=0.5 / dim)
    return Params(center, jnp.zeros_like(center))


def named_tables(tables: Tables) -> dict[str, Any]:
    """Return the tables by name, in the order of `jax.tree.leaves`."""
    return dict(sorted(tables.items())) if isinstance(tables, dict) else tables._asdict()


def tables_like(example: Tables, tables: dict[str, Any]) -> Tables:
    """Return named tables in the NamedTuple or dict that the example is."""
    return jax.tree.unflatten(jax.tree.structure(example), [tables[name] for name in named_tables(example)])


def tables_from_names(tables: dict[str, Any]) -> Tables:
    """Return `Params` where the names are those of its tables, and the dict itself elsewhere."""
    return Params(**tables) if set(tables) == set(Params._fields) else tables
