"""Which tokens are whose context: from a run of tokens to centers, context slots and masks, on the device.

A block is T consecutive tokens with a halo of `window` tokens on either side, each token beside the
number of its line. Blocks are cut into tiles of S centers, because S centers and the S + 2·window
tokens around them meet in one small matrix product; all but a band of it is masked.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

TILE = 32  # S


class Block(NamedTuple):
    """T tokens to train on and `window` more on either side, for context only.

    Tokens may see each other only on the same line. Beyond the text, the token is V and the line −1.
    """

    tokens: Int[Array, " T+2*window"]
    lines: Int[Array, " T+2*window"]


class Tiles(NamedTuple):
    """A block cut into G tiles of S centers."""

    centers: Int[Array, "G S"]
    context: Int[Array, "G C"]
    is_context: Bool[Array, "G S C"]
    """Which of a tile's C = S + 2·window tokens are outside words of which center."""


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
    at = window + jnp.arange(len(reach))[:, None]
    distance = jnp.arange(len(lines)) - at
    center_lines = lines[at]
    near = (distance != 0) & (jnp.abs(distance) <= reach[:, None])
    return near & (lines == center_lines) & (center_lines >= 0)


def tiles(block: Block, reach: Int[Array, " T"], *, window: int) -> Tiles:
    """Cut a block of T = G·S tokens into tiles; a token of the halo of two tiles stands in both."""
    starts = TILE * jnp.arange(len(reach) // TILE)[:, None]
    at = starts + jnp.arange(TILE + 2 * window)
    mask = jax.vmap(lambda lines, reach: context_mask(lines, reach, window=window))
    is_context = mask(block.lines[at], reach.reshape(-1, TILE))
    return Tiles(block.tokens[at[:, window : window + TILE]], block.tokens[at], is_context)
