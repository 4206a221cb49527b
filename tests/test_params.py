"""The two tables at the start."""

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.objectives.softmax import log_probs
from w2v_jax.params import init_params


def test_center_is_uniform_and_outside_zero() -> None:
    params = init_params(jax.random.key(0), vocab_size=500, dim=20)
    assert params.center.dtype == params.outside.dtype == jnp.float32
    assert float(jnp.abs(params.center).max()) <= 0.025
    np.testing.assert_allclose(params.center.std(), 0.05 / np.sqrt(12), rtol=0.05)
    assert not params.outside.any()


def test_the_first_prediction_is_uniform() -> None:
    params = init_params(jax.random.key(1), vocab_size=8, dim=4)
    np.testing.assert_allclose(log_probs(params.center[3], params.outside), -np.log(8), rtol=1e-6)


def test_the_key_decides() -> None:
    first, again, other = (init_params(jax.random.key(seed), 5, 3).center for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
