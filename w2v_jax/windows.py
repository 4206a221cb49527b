"""Which tokens are whose context, and how much each counts, decided on the device.

Text comes in tiles: S consecutive tokens, the centers, with a halo of `window` tokens on either
side. S centers and the S + 2·window tokens around them meet in one small matrix product; of it all
but a band is masked.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .config import TILE


class Block(NamedTuple):
    """G tiles, T = G·S centers in all, that make one step.

    Tokens may see each other only on the same line. Beyond the text, the token is V and the line −1.
    """

    tokens: Int[Array, "*M G S+2*window"]
    lines: Int[Array, "*M G S+2*window"]


def context_weights(lines: Int[Array, " C"], *, window: int) -> Float[Array, "S C"]:
    """How much token j counts as an outside word of center i, which stands at token window + i.

    word2vec draws for each center how far it looks, uniformly from 1 to `window`, so that near words
    count more (word2vec.c, 2013). Here every outside word on the center's line, at distance d, has
    the share of such draws that reach it:

        weight = P(reach ≥ d) = (window + 1 − d) / window

    which is the same loss in expectation, with less noise in its gradient. Tokens past the last
    window may follow; they count nothing.

    Figure 1's sentence, window 2:

    >>> import jax.numpy as jnp
    >>> lines = jnp.zeros(TILE + 4, jnp.int32)  # problems turning into banking crises as ...
    >>> context_weights(lines, window=2)[1, :7].tolist()  # the center at token 3, banking
    [0.0, 0.5, 1.0, 0.0, 1.0, 0.5, 0.0]
    """
    at = window + jnp.arange(TILE, dtype=lines.dtype)
    distance = jnp.abs(jnp.arange(len(lines), dtype=lines.dtype)[None, :] - at[:, None])
    near = (distance > 0) & (distance <= window)
    share = (window + 1 - distance).astype(float) / window
    center_lines = lines[at][:, None]
    return jnp.where(near & (lines[None, :] == center_lines) & (center_lines >= 0), share, 0)
