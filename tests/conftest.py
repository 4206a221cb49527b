"""Strictness, set once: 8 devices on the CPU, no silent promotion, the arrays' shapes checked at every call."""

import contextlib
import gc
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

# Most of the suite's time is XLA's and LLVM's, for programs that run once. They end the process at a flag that they do
# not know, and the later ones need not last.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
if version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jaxtyping
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

gc.set_threshold(100_000, 50, 100)  # what JAX traced is much, and stays
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is started with it ignored
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# A program is compiled once for all tests of a run, but not for processes that they start: one that is killed as it
# writes would spoil the cache.
if "PYTEST_XDIST_WORKER" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory()
    os.environ["COMPILED_BY_TESTS"] = COMPILED.name  # for xdist's workers
jax.config.update("jax_compilation_cache_dir", os.environ["COMPILED_BY_TESTS"])
jax.config.update("jax_compilation_cache_max_size", 1 << 30)  # with any bound it is locked while it is written
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)

if TYPE_CHECKING:
    from w2v_jax.text.corpus import Corpus

CHECKED = [
    "counts.coarse_to_fine",
    "counts.ppmi_svd",
    "counts.preconditioned_lbfgs",
    "counts.softmax",
    "counts.train",
    "distributed",
    "models",
    "objectives",
    "params",
    "sampling",
    "training",
    "vectors.evaluation",
    "vectors.keyed_vectors",
    "vectors.search",
    "vectors.plots",
]
jaxtyping.install_import_hook([f"w2v_jax.{room}" for room in CHECKED], "beartype.beartype")

SLOW = (
    "counts/", "distributed/", "experiments/", "models/test_contract.py", "objectives/test_blockwise_softmax.py",
    "objectives/test_gradients.py", "objectives/test_scores.py", "test_cli.py", "test_docs.py",
    "training/test_checkpoints.py", "training/test_evaluate_every.py", "training/test_loop.py",
    "training/test_own_model.py", "training/test_row_sparse.py", "training/test_warm_start.py",
    "vectors/plots/test_layout.py", "vectors/plots/test_pictures.py", "vectors/test_analogies.py",
    "vectors/test_evaluation.py", "vectors/test_keyed_vectors.py", "vectors/test_search.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what compiles or trains for long, or starts processes: the quick tier, -m 'not slow', leaves it out."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of corpora and evaluation sets beside the checkout."""
    if not DATA.is_dir():
        pytest.skip(f"the data folder {DATA} is not on this machine")
    return DATA


@pytest.fixture
def room_for() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """On a disk where no file grows longer: the write that would make it so stops there, and the next one fails."""

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            keep_programs(False)  # the cache writes, too, when it reads
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            keep_programs(True)

    def keep_programs(kept: bool) -> None:
        jax.config.update("jax_enable_compilation_cache", kept)
        compilation_cache.reset_cache()

    return limited


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both precisions, float64 with JAX's switch for it on."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture(scope="session")
def groups() -> tuple[list[str], ...]:
    """Animals, and metals."""
    return ["cat", "dog", "horse", "cow", "pig"], ["iron", "gold", "tin", "lead", "zinc"]


@pytest.fixture(scope="session")
def corpus(groups: tuple[list[str], ...]) -> "Corpus":
    """Return sentences about animals and sentences about metals: words that occur together are alike."""
    from w2v_jax.text.corpus import Corpus

    rng = np.random.default_rng(0)
    words = [[*group, "the", "a"] for group in groups]
    return Corpus.from_sentences([list(rng.choice(words[i % 2], 8)) for i in range(4_000)])


@pytest.fixture
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words make several blocks, the last one ragged: of counts, and of the vocabulary that softmax scores."""
    from w2v_jax.counts import softmax
    from w2v_jax.models import blockwise_softmax

    make = blockwise_softmax.blockwise_softmax
    small = lambda *arguments, **named: make(*arguments, **{"block_size": 16, **named})
    monkeypatch.setattr(blockwise_softmax, "blockwise_softmax", small)
    monkeypatch.setattr(softmax, "BLOCK_ROWS", 3)
