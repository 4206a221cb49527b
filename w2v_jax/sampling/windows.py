"""Which tokens are whose context, and how much each counts, computed on the device.

Text comes in tiles: S consecutive tokens, the centers, with a halo of `window` tokens on either
side. S centers and the S + 2·window tokens around them meet in one small matrix product; all of it
but a band is masked.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ..config import TILE


class Block(NamedTuple):
    """G tiles, T = G·S centers in all, that make one step.

    Tokens are context of each other only on the same line. Beyond the text, the token is `PAD_ID` and the line −1.
    """

    tokens: Int[Array, "*M G S+2*window"]
    lines: Int[Array, "*M G S+2*window"]

    @property
    def window(self) -> int:
        """Tokens of the halo on either side: the largest distance of an outside word from its center."""
        return (self.tokens.shape[-1] - TILE) // 2


def center_slots(slots: Int[Array, "*G C"], window: int) -> Int[Array, "*G S"]:
    """Return the tokens (or lines) of each tile without its halo: the centers."""
    return slots[..., window : window + TILE]


def context_weights(
    lines: Int[Array, "*G C"], *, window: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "*G S C"]:
    """Return how much token j counts as an outside word of center i, which stands at token window + i.

    word2vec draws for each center how far it looks, uniformly from 1 to `window`, so that near words
    count more (word2vec.c, 2013). Here every outside word on the center's line, at distance d, has
    the share of such draws that reach it:

        weight = P(reach ≥ d) = (window + 1 − d) / window

    which is the same loss in expectation, with less noise in its gradient.

    Figure 1's sentence, window 2:

    >>> lines = jnp.zeros(TILE + 4, jnp.int32)  # problems turning into banking crises as ...
    >>> context_weights(lines, window=2)[1, :7].tolist()  # the center at token 3, banking
    [0.0, 0.5, 1.0, 0.0, 1.0, 0.5, 0.0]
    """
    slot = jnp.arange(lines.shape[-1], dtype=lines.dtype)
    distance = jnp.abs(slot[None] - center_slots(slot, window)[:, None])
    share = jnp.where(distance > 0, (window + 1 - distance).astype(dtype) / window, 0)
    center_lines = center_slots(lines, window)[..., :, None]
    same_line = (lines[..., None, :] == center_lines) & (center_lines >= 0)
    return jnp.where(same_line, jnp.broadcast_to(jnp.maximum(share, 0), same_line.shape), 0)
