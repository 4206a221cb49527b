"""What training carries from step to step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from ..config import TrainConfig
from ..errors import InputError
from ..params import Params, init_params
from ..text.vocabulary import Vocabulary
from .mesh import by_rows, shardings, table_rows


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
    mesh: Mesh | None = None,
) -> TrainState:
    """The state before the first step: these parameters, or fresh ones from `config.seed`, and a fresh optimizer.

    Give `make_train_step` the same config, vocabulary, optimizer and mesh. It takes the state's buffers;
    `params` are copied. On a mesh each device makes its own rows, and no other ever has them; the last may be
    rows of no word.

    Raises:
      InputError: the parameters are not of the vocabulary's size and `config.dim`.

    >>> import optax
    >>> vocabulary = Vocabulary(("a", "b"), counts=(2, 1))
    >>> state = init_state(TrainConfig(dim=3), vocabulary, optax.sgd(0.025))
    >>> state.params.center.shape, int(state.step)
    ((2, 3), 0)
    """
    shape, rows = (len(vocabulary), config.dim), table_rows(len(vocabulary), mesh)
    if params is not None:
        if {np.shape(table) for table in params} != {shape}:
            shapes = " and ".join(str(np.shape(table)) for table in params)
            raise InputError(f"params have the shapes {shapes}; {shape[0]} words and dim {shape[1]} need {shape} twice")
        filled = [np.pad(np.asarray(table, np.float32), ((0, rows - shape[0]), (0, 0))) for table in params]
        params = Params(*jax.device_put(filled, by_rows(mesh) if mesh else None))

    def make(params: Params | None) -> TrainState:
        params = params or init_params(jax.random.key(config.seed), rows, config.dim)
        return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))

    return jax.jit(make, out_shardings=shardings(jax.eval_shape(make, params), mesh))(params) if mesh else make(params)
