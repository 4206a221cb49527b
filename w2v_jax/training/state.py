"""What training carries from step to step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from ..config import TrainConfig
from ..params import Params, init_params
from ..text.vocabulary import Vocabulary


class TrainState(NamedTuple):
    """Everything a step reads and writes; with the corpus and the config it determines all that follows."""

    params: Params
    opt_state: optax.OptState
    step: Int[Array, ""]


def init_state(config: TrainConfig, vocabulary: Vocabulary, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step: fresh parameters from `config.seed`, a fresh optimizer.

    Give `make_train_step` the same config, vocabulary and optimizer.

    >>> import optax
    >>> vocabulary = Vocabulary(("a", "b"), counts=(2, 1))
    >>> state = init_state(TrainConfig(dim=3), vocabulary, optax.sgd(0.025))
    >>> state.params.center.shape, int(state.step)
    ((2, 3), 0)
    """
    params = init_params(jax.random.key(config.seed), len(vocabulary), config.dim)
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))
