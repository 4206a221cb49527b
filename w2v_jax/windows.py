"""Which tokens are whose context, decided on the device.

Text comes in tiles: S consecutive tokens, the centers, with a halo of `window` tokens on either
side. S centers and the S + 2·window tokens around them meet in one small matrix product; of it all
but a band is masked.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


class Block(NamedTuple):
    """G tiles, T = G·S centers in all, that make one step.

    Tokens may see each other only on the same line. Beyond the text, the token is V and the line −1.
    """

    tokens: Int[Array, "*M G S+2*window"]
    lines: Int[Array, "*M G S+2*window"]


def context_mask(lines: Int[Array, " C"], reach: Int[Array, " S"], *, window: int) -> Bool[Array, "S C"]:
    """Token j is an outside word of center i when it is near enough, on the same line, and not i itself.

    Center i stands at token i + window. Its outside words are the `reach[i]` ≤ window tokens on
    either side of it.

    Figure 1's sentence, window 2:

    >>> import jax.numpy as jnp
    >>> lines = jnp.zeros(9, jnp.int32)        # problems turning into banking crises as ...
    >>> mask = context_mask(lines, jnp.full(5, 2), window=2)
    >>> mask[1].nonzero()[0].tolist()           # the center at token 3, banking: turning into crises as
    [1, 2, 4, 5]
    """
    at = window + jnp.arange(len(reach), dtype=lines.dtype)
    distance = jnp.abs(jnp.arange(len(lines), dtype=lines.dtype)[None, :] - at[:, None])
    near = (distance > 0) & (distance <= reach[:, None])
    center_lines = lines[at][:, None]
    return near & (lines[None, :] == center_lines) & (center_lines >= 0)


def context_masks(block: Block, reach: Int[Array, "G S"], *, window: int) -> Bool[Array, "G S C"]:
    """`context_mask` of every tile in a block."""
    return jax.vmap(lambda lines, reach: context_mask(lines, reach, window=window))(block.lines, reach)
