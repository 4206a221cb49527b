"""Speed of the step on one device: words/s over D, T and K, beside the device's own product and copy rates.

    python -m experiments.benchmark_device [--profile FOLDER] [--out out]

A made-up text of Zipf's frequencies lies on the device beforehand, so that this times the step alone:
TFLOP/s are those of its three products, 6·D·(C + K) a center, and GB/s the rows that its gathers and
scatters move, three times each. The product and copy rates above the table are measured here too. With
--profile, a trace of the fastest setting for TensorBoard or Perfetto. OUT/device.jsonl holds the rows
for machines. On a GPU, first: pip install 'jax[cuda13]'.

Time: 3 minutes on 2 cores of a CPU. It has not run on a GPU yet.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import w2v_jax as w2v
from w2v_jax.config import TILE
from w2v_jax.models.registry import named_model
from w2v_jax.sampling.windows import Block
from w2v_jax.training.bounded_sgd import bounded_sgd
from w2v_jax.training.row_sparse import row_sparse

V, BLOCKS, RUNS = 70_000, 16, 5
CHOICES = {"cpu": ([100], [256, 1024, 4096], [16, 32, 64]), "gpu": ([100, 300], [4096, 16384, 65536], [16, 32, 64])}


def seconds(run: Callable[[], Any]) -> float:
    """The median of a few calls, after one that warms up."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


def product_rate(size: int) -> float:
    """TFLOP/s of one large float32 product."""
    x = jnp.ones((size, size))
    product = jax.jit(lambda x: jnp.matmul(x, x, precision=jax.lax.Precision.HIGHEST))
    return 2 * size**3 / seconds(lambda: product(x)) / 1e12


def copy_rate(size: int) -> float:
    """GB/s read and written by x + 1."""
    x = jnp.ones(size)
    add = jax.jit(lambda x: x + 1)
    return 8 * size / seconds(lambda: add(x)) / 1e9


def measure(dim: int, batch_tokens: int, shared_negatives: int, profile: Path | None = None) -> dict[str, float]:
    """Time a dispatch of blocks whose text is on the device."""
    counts = np.sort(1e8 / np.arange(1, V + 1)).astype(np.int64)[::-1]
    vocabulary = w2v.Vocabulary(tuple(map(str, range(V))), counts)
    config = w2v.TrainConfig(dim=dim, batch_tokens=batch_tokens, shared_negatives=shared_negatives)
    model = named_model(config, vocabulary)
    optimizer = row_sparse(bounded_sgd(optax.constant_schedule(config.lr)), merge_duplicates=False)
    kept = np.sqrt(counts) / np.sqrt(counts).sum()  # about what subsampling leaves
    shape = (BLOCKS, batch_tokens // TILE, TILE + 2 * config.window)
    tokens = np.random.default_rng(0).choice(V, shape, p=kept).astype(np.int32)
    blocks = Block(jnp.asarray(tokens), jnp.zeros(shape, jnp.int32))
    step = w2v.make_train_step(model, optimizer)
    run = jax.jit(lambda state, blocks: jax.lax.scan(step, state, blocks), donate_argnums=0)
    state = w2v.init_state(model, jax.random.key(0), vocabulary, optimizer)

    def dispatch() -> Any:
        nonlocal state
        state, metrics = run(state, blocks)
        return metrics

    per_block = seconds(dispatch) / BLOCKS
    if profile:
        with jax.profiler.trace(str(profile)):
            jax.block_until_ready(dispatch())
    candidates = shape[2] + shared_negatives
    rows = batch_tokens + batch_tokens // TILE * candidates
    return {
        "dim": dim, "batch_tokens": batch_tokens, "shared_negatives": shared_negatives,
        "tokens_per_second": batch_tokens / per_block,
        "tflops": 6 * dim * candidates * batch_tokens / per_block / 1e12,
        "gigabytes": 3 * rows * dim * 4 / per_block / 1e9,
    }  # fmt: skip


def main() -> None:
    """Measure the device, then the step on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    device = jax.devices()[0]
    large = 1 if device.platform == "cpu" else 8
    print(f"{device.device_kind}, jax {jax.__version__}: float32 product {product_rate(1024 * large):.2f} TFLOP/s, "
          f"copy {copy_rate((1 << 25) * large):,.0f} GB/s")  # fmt: skip
    print(f"{'D':>4} {'T':>6} {'K':>3} {'M tokens/s':>11} {'TFLOP/s':>8} {'GB/s':>7}   (tokens after subsampling)")
    rows = []
    with open(arguments.out / "device.jsonl", "w", encoding="utf-8") as log:
        for choice in itertools.product(*CHOICES["cpu" if device.platform == "cpu" else "gpu"]):
            row = measure(*choice)
            rows.append(row)
            print(json.dumps({"device": device.device_kind, **row}), file=log, flush=True)
            speed = f"{row['tokens_per_second'] / 1e6:11.2f} {row['tflops']:8.3f} {row['gigabytes']:7.1f}"
            print("{dim:4} {batch_tokens:6} {shared_negatives:3}".format(**row), speed, flush=True)
    if arguments.profile:
        best = max(rows, key=lambda row: row["tokens_per_second"])
        dim, batch_tokens, shared_negatives = (int(best[name]) for name in ("dim", "batch_tokens", "shared_negatives"))
        measure(dim, batch_tokens, shared_negatives, arguments.profile)
        print(f"a trace of D {dim}, T {batch_tokens}, K {shared_negatives} is in {arguments.profile}")


if __name__ == "__main__":
    main()
