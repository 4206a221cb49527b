"""Fresh tables, and tables by name."""

import jax
import jax.numpy as jnp
import numpy as np

from w2v_jax.objectives.softmax import log_probs
from w2v_jax.params import Params, init_params, named_tables, tables_from_names


def test_fresh_center_vectors_are_uniform_and_outside_vectors_zero() -> None:
    params = init_params(jax.random.key(0), vocab_size=500, dim=20)
    assert params.center.dtype == params.outside.dtype == jnp.float32
    assert float(jnp.abs(params.center).max()) <= 0.025
    np.testing.assert_allclose(params.center.std(), 0.05 / np.sqrt(12), rtol=0.05)
    assert not params.outside.any()


def test_fresh_tables_predict_the_uniform_distribution() -> None:
    params = init_params(jax.random.key(1), vocab_size=8, dim=4)
    np.testing.assert_allclose(log_probs(params.center[3], params.outside), -np.log(8), rtol=1e-6)


def test_key_decides_fresh_tables() -> None:
    first, again, other = (init_params(jax.random.key(seed), 5, 3).center for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_tables_survive_the_way_over_their_names() -> None:
    params, tables = Params(jnp.ones((2, 1)), jnp.zeros((2, 1))), {"word": jnp.ones((3, 1))}
    assert tables_from_names(named_tables(params)) == params
    assert tables_from_names(named_tables(tables)) == tables
