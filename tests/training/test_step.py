"""Tiles and steps draw their own negatives."""

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.config import TILE
from w2v_jax.distributed.collectives import ONE_DEVICE
from w2v_jax.sampling.noise import draw_negatives, noise_table
from w2v_jax.sampling.windows import Block
from w2v_jax.training.step import tile_keys


def test_every_tile_of_every_step_draws_other_negatives() -> None:
    slots, table = jnp.zeros((8, TILE + 2), jnp.int32), noise_table(np.ones(10**6, np.int64))
    keys = [
        tile_keys(jax.random.fold_in(jax.random.key(0), step), Block(slots, slots), ONE_DEVICE) for step in range(2)
    ]
    drawn = np.concatenate([draw_negatives(key, table, 32) for key in keys])
    assert len(np.unique(drawn)) > drawn.size - 3
