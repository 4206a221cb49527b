"""What training carries from step to step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int

from ..config import TrainConfig
from ..errors import InputError
from ..params import Params, init_params
from ..text.vocabulary import Vocabulary


class TrainState(NamedTuple):
    """Everything a step reads and writes; with the corpus and the config it determines all that follows."""

    params: Params
    opt_state: optax.OptState
    step: Int[Array, ""]


def init_state(
    config: TrainConfig,
    vocabulary: Vocabulary,
    optimizer: optax.GradientTransformation,
    params: Params | None = None,
) -> TrainState:
    """The state before the first step: these parameters, or fresh ones from `config.seed`, and a fresh optimizer.

    Give `make_train_step` the same config, vocabulary and optimizer. It takes the state's buffers;
    `params` are copied.

    Raises:
      InputError: the parameters are not of the vocabulary's size and `config.dim`.

    >>> import optax
    >>> vocabulary = Vocabulary(("a", "b"), counts=(2, 1))
    >>> state = init_state(TrainConfig(dim=3), vocabulary, optax.sgd(0.025))
    >>> state.params.center.shape, int(state.step)
    ((2, 3), 0)
    """
    shape = len(vocabulary), config.dim
    if params is None:
        params = init_params(jax.random.key(config.seed), *shape)
    elif {np.shape(table) for table in params} != {shape}:
        shapes = " and ".join(str(np.shape(table)) for table in params)
        raise InputError(f"params have the shapes {shapes}; {shape[0]} words and dim {shape[1]} need {shape} twice")
    else:
        params = Params(*(jnp.array(table, jnp.float32, copy=True) for table in params))
    return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))
