"""Which tokens are whose context, and how much each counts, computed on the device.

Text comes in tiles: S consecutive tokens, the centers, with a halo on either side: `window` tokens, or as many
as the longest line needs. S centers and the S + 2·halo tokens around them meet in one small matrix product; all
of it but a band is masked.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ..config import TILE


class Block(NamedTuple):
    """G tiles, T = G·S centers in all, that make one step.

    Tokens are context of each other only on the same line. Beyond the text, the token is `PAD_ID` and the line −1.
    """

    tokens: Int[Array, "*M G S+2*halo"]
    lines: Int[Array, "*M G S+2*halo"]

    @property
    def halo(self) -> int:
        """Tokens on either side of a tile's centers; no outside word is farther from its center."""
        return (self.tokens.shape[-1] - TILE) // 2


def center_slots(slots: Int[Array, "*G C"], halo: int) -> Int[Array, "*G S"]:
    """Return the tokens (or lines) of each tile without its halo: the centers."""
    return slots[..., halo : halo + TILE]


def context_weights(
    lines: Int[Array, "*G C"], *, window: int, halo: int | None = None, dtype: DTypeLike = jnp.float32
) -> Float[Array, "*G S C"]:
    """Return how much token j counts as an outside word of center i, which stands at token halo + i.

    word2vec draws for each center how far it looks, uniformly from 1 to `window`, so that near words
    count more (word2vec.c, 2013). Here every outside word on the center's line, at distance d, has
    the share of such draws that reach it:

        weight = P(reach ≥ d) = (window + 1 − d) / window

    which is the same loss in expectation, with less noise in its gradient.

    Args:
      lines: the line of each token of a tile.
      window: the largest distance of an outside word.
      halo: tokens before the first center; by default (C − S) / 2, as in a block.
      dtype: of the weights.

    Figure 1's sentence, window 2:

    >>> lines = jnp.zeros(TILE + 4, jnp.int32)  # problems turning into banking crises as ...
    >>> context_weights(lines, window=2)[1, :7].tolist()  # the center at token 3, banking
    [0.0, 0.5, 1.0, 0.0, 1.0, 0.5, 0.0]
    """
    halo = (lines.shape[-1] - TILE) // 2 if halo is None else halo
    slot = np.arange(lines.shape[-1])
    distance = np.abs(slot - slot[halo : halo + TILE, None])
    share = jnp.asarray((window + 1 - distance).astype(dtype) / np.asarray(window, dtype))
    share = jnp.where(distance > 0, share, 0)
    center_lines = center_slots(lines, halo)[..., :, None]
    same_line = (lines[..., None, :] == center_lines) & (center_lines >= 0)
    return jnp.where(same_line, jnp.broadcast_to(jnp.maximum(share, 0), same_line.shape), 0)
