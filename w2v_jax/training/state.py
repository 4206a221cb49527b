"""What training carries from step to step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from ..config import TrainConfig
from ..params import Params, init_params
from ..text.vocabulary import Vocabulary
from .mesh import shardings, table_rows


class TrainState(NamedTuple):
    """Everything a step reads and writes; with the corpus and the config it determines all that follows."""

    params: Params
    opt_state: optax.OptState
    step: Int[Array, ""]


def init_state(
    config: TrainConfig, vocabulary: Vocabulary, optimizer: optax.GradientTransformation, mesh: Mesh | None = None
) -> TrainState:
    """The state before the first step: fresh parameters from `config.seed`, a fresh optimizer.

    Give `make_train_step` the same config, vocabulary, optimizer and mesh. On a mesh each device makes
    its own rows, and no other ever has them; the last may be rows of no word.

    >>> import optax
    >>> vocabulary = Vocabulary(("a", "b"), counts=(2, 1))
    >>> state = init_state(TrainConfig(dim=3), vocabulary, optax.sgd(0.025))
    >>> state.params.center.shape, int(state.step)
    ((2, 3), 0)
    """

    def make() -> TrainState:
        params = init_params(jax.random.key(config.seed), table_rows(len(vocabulary), mesh), config.dim)
        return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32))

    return jax.jit(make, out_shardings=shardings(jax.eval_shape(make), mesh))() if mesh else make()
