"""Skip-gram with the naive softmax, scored for the whole vocabulary at once: Equations 4 and 8."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from ..config import TrainConfig
from ..distributed.gather import WHOLE
from ..objectives.scores import curvature_bounds, scores
from ..objectives.softmax import softmax_cross_entropy, softmax_curvature
from ..params import Params, init_params
from ..sampling.windows import Block, center_slots, context_weights
from ..text.vocabulary import Vocabulary
from .model import Aux, Batch, Model
from .skipgram import WHITENING


def naive_softmax(vocab_size: int, *, dim: int = 100, window: int | None = None) -> Model:
    """Return the model that scores each center against every word of the vocabulary, [T, V] scores at once.

    Args:
      vocab_size: number of words, V.
      dim: numbers in a word vector, D.
      window: the largest distance of an outside word, by default the block's halo.
    """

    def init(key: PRNGKeyArray, vocabulary: object) -> Params:
        return init_params(key, vocab_size, dim)

    def batch(block: Block, keys: Key[Array, " G"]) -> Batch:
        return Batch(Params(center_slots(block.tokens, block.halo), WHOLE), block)  # type: ignore[arg-type]

    def loss(rows: Any, batch: Batch) -> tuple[Float[Array, ""], Aux]:
        whole = rows.outside.whole()
        h, outside = rows.center.reshape(-1, rows.center.shape[-1]), whole[:vocab_size]
        score = scores(h, outside)
        weights = context_weights(batch.inputs.lines, window=window or batch.inputs.halo, dtype=score.dtype)
        no_words = jnp.zeros((weights.shape[1], vocab_size), score.dtype)
        count = lambda ids, weight: no_words.at[:, ids].add(weight, mode="drop")
        observed = jax.vmap(count)(batch.inputs.tokens, weights).reshape(score.shape)
        of_h, of_outside = curvature_bounds(softmax_curvature(score, observed), h, outside)
        curvature = Params(of_h, rows.outside.sum_to_shard(jnp.pad(of_outside, (0, len(whole) - vocab_size))))
        return softmax_cross_entropy(score, observed).sum(), Aux(weights.sum(), curvature)

    return Model(init, batch, loss, lambda tables, counts: tables.center, WHITENING)


def from_config(config: TrainConfig, vocabulary: Vocabulary) -> Model:
    """Make the model from a training's config."""
    return naive_softmax(len(vocabulary), dim=config.dim, window=config.window)
