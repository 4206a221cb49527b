"""Strictness, set once: 8 devices on the CPU, no silent promotion, the arrays' shapes checked at every call."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

# Most of the suite's time is LLVM's, for programs that run once.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jaxtyping
import pytest

gc.set_threshold(100_000, 50, 100)  # what JAX traced is much, and stays
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is started with it ignored
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
CHECKED = [
    "frequency",
    "noise",
    "objectives",
    "params",
    "training",
    "vectors.analogies",
    "vectors.evaluation",
    "vectors.keyed_vectors",
    "vectors.queries",
    "vectors.similarity",
    "vectors.terms",
    "vectors.pictures",
    "windows",
]
jaxtyping.install_import_hook([f"w2v_jax.{room}" for room in CHECKED], "beartype.beartype")

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of corpora and evaluation sets beside the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"the data folder {DATA} is not on this machine")
    return DATA


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both precisions, float64 with JAX's switch for it on."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param
