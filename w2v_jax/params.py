"""The two tables that training moves, and the letters that name every axis.

| axis | length of                                                |
|------|----------------------------------------------------------|
| `V`  | the vocabulary                                           |
| `D`  | a word vector                                            |
| `B`  | a batch of centers                                       |
| `T`  | the tokens of a block, in G tiles of S consecutive ones  |
| `C`  | the context slots of a tile, S + 2·window                |
| `K`  | the noise words that a tile shares                       |
| `N`  | the candidates that one center is scored against         |

The equations keep word vectors as the columns of D×V matrices; the code keeps them as the rows of
[V, D] arrays, so that one word's vector is contiguous: `params.outside[w]` is column w of U.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Params(NamedTuple):
    """Both vectors of every word.

    `center[w]` is v_w, used where w is predicted from; `outside[w]` is u_w, used where w is predicted.
    """

    center: Float[Array, "V D"]
    outside: Float[Array, "V D"]


def init_params(key: PRNGKeyArray, vocab_size: int, dim: int) -> Params:
    """Center vectors uniform in ±1/(2D), outside vectors zero, both float32 (Mikolov et al., word2vec.c, 2013).

    With every u_w = 0 the model starts as the uniform distribution, whatever the centers are.

    >>> import jax
    >>> params = init_params(jax.random.key(0), vocab_size=3, dim=2)
    >>> params.center.shape, float(abs(params.center).max()) <= 0.25, float(params.outside.sum())
    ((3, 2), True, 0.0)
    """
    center = jax.random.uniform(key, (vocab_size, dim), minval=-0.5 / dim, maxval=0.5 / dim)
    return Params(center, jnp.zeros_like(center))
