"""Skip-gram with negative sampling (Mikolov et al., 2013b)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from ..config import TrainConfig
from ..objectives.negative_sampling import sigmoid_cross_entropy, sigmoid_curvature
from ..objectives.scores import curvature_bounds, scores
from ..params import PAD_ID, Params, init_params
from ..sampling.noise import AliasTable, draw_negatives, noise_table
from ..sampling.windows import Block, center_slots, context_weights
from ..text.vocabulary import Vocabulary
from .model import Aux, Batch, Model

WHITENING = 0.1


def skipgram(
    noise: AliasTable,
    *,
    dim: int = 100,
    negative: Float[Array, ""] | float | int = 5,
    shared_negatives: int = 32,
    window: int | None = None,
) -> Model:
    """Return the model that scores each center against its outside words and against noise words.

    The centers of a tile share `shared_negatives` draws. Each draw weighs n·negative/shared_negatives for a center
    with outside weight n: in expectation, `negative` draws for each outside word.

    Args:
      noise: the noise distribution (`noise_table`).
      dim: numbers in a word vector, D.
      negative: negatives for each outside word; may be traced.
      shared_negatives: noise words that a tile draws, K.
      window: the largest distance of an outside word, by default the block's halo.
    """

    def init(key: PRNGKeyArray, vocabulary: object) -> Params:
        return init_params(key, len(noise.alias), dim)

    def batch(block: Block, keys: Key[Array, " G"]) -> Batch:
        # A tile beyond the text draws no negatives: momentum would move their rows even with a gradient of zero.
        has_center = (center_slots(block.lines, block.halo) >= 0).any(1, keepdims=True)
        negatives = jnp.where(has_center, draw_negatives(keys, noise, shared_negatives), PAD_ID)
        candidates = jnp.concatenate([block.tokens, negatives], axis=1)
        return Batch(Params(center_slots(block.tokens, block.halo), candidates), block)

    def loss(rows: Params, batch: Batch) -> tuple[Float[Array, ""], Aux]:
        score = jax.vmap(scores)(rows.center, rows.outside)
        block = batch.inputs
        # Negatives are beyond every window. The barrier is faster: XLA's CPU would pad again for each center.
        lines = jax.lax.optimization_barrier(jnp.pad(block.lines, ((0, 0), (0, shared_negatives))))
        outside_weight = context_weights(lines, window=window or block.halo, halo=block.halo, dtype=score.dtype)
        is_noise = jnp.arange(score.shape[2]) >= block.lines.shape[1]
        targets = outside_weight.sum(2, keepdims=True)
        noise_weight = jnp.where(is_noise, negative / shared_negatives, 0).astype(score.dtype)
        weight = outside_weight + targets * noise_weight[None, None]
        observed = jnp.broadcast_to((~is_noise).astype(score.dtype)[None, None], score.shape)
        bound = sigmoid_curvature(score, observed, weight)
        curvature = jax.vmap(curvature_bounds)(bound, rows.center, rows.outside)
        return sigmoid_cross_entropy(score, observed, weight), Aux(targets.sum(), Params(*curvature))

    return Model(init, batch, loss, lambda tables, counts: tables.center, WHITENING)


def from_config(config: TrainConfig, vocabulary: Vocabulary) -> Model:
    """Make the model from a training's config."""
    return skipgram(
        noise_table(vocabulary.counts, config.noise_power), dim=config.dim, negative=config.negative,
        shared_negatives=config.shared_negatives, window=config.window,
    )  # fmt: skip
