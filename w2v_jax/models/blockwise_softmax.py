"""Skip-gram with the naive softmax, scored a block of the vocabulary at a time: exact, in bounded memory."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from ..config import TrainConfig
from ..distributed.gather import WHOLE
from ..objectives.blockwise_softmax import weighted_log_normalizers
from ..objectives.scores import scores
from ..params import Params, init_params
from ..sampling.windows import Block, center_slots, context_weights
from ..text.vocabulary import Vocabulary
from .model import Aux, Batch, Model
from .skipgram import WHITENING


def blockwise_softmax(vocab_size: int, *, dim: int = 100, block_size: int = 1024, window: int | None = None) -> Model:
    """Return the model that scores each center against every word of the vocabulary, `block_size` words at once.

    Its loss is that of `naive_softmax`. The outside words of a tile meet its centers in one product.

    Args:
      vocab_size: number of words, V.
      dim: numbers in a word vector, D.
      block_size: words scored at once.
      window: the largest distance of an outside word, by default the block's halo.
    """

    def init(key: PRNGKeyArray, vocabulary: object) -> Params:
        return init_params(key, vocab_size, dim)

    def batch(block: Block, keys: Key[Array, " G"]) -> Batch:
        return Batch(Params(center_slots(block.tokens, block.halo), WHOLE), block)  # type: ignore[arg-type]

    def loss(rows: Any, batch: Batch) -> tuple[Float[Array, ""], Aux]:
        h, shard = rows.center.reshape(-1, rows.center.shape[-1]), rows.outside
        seen = jax.vmap(scores)(rows.center, shard.take(batch.inputs.tokens))
        weights = context_weights(batch.inputs.lines, window=window or batch.inputs.halo, dtype=seen.dtype)
        n = weights.sum(2).ravel()
        valid = jnp.clip(vocab_size - shard.offset, 0, len(shard.rows))
        normalizers, curvature = weighted_log_normalizers(block_size, shard.axes, h, shard.rows, n, valid)
        return normalizers - (weights * seen).sum(), Aux(n.sum(), Params(*curvature))

    return Model(init, batch, loss, lambda tables, counts: tables.center, WHITENING)


def from_config(config: TrainConfig, vocabulary: Vocabulary) -> Model:
    """Make the model from a training's config."""
    return blockwise_softmax(len(vocabulary), dim=config.dim, window=config.window)
