"""What a checkpoint costs the training that writes it.

    python -m experiments.benchmark_checkpoints [--vocabulary 68310] [--dim 100] [--folder FOLDER]

Saves tables of that size as training does. Training stands still while they are copied; Orbax then
writes in the background, on a core that training might have used. Prints both, and what share of
the machine they take at one checkpoint a minute.

Time: 10 s. Expected on 2 cores of an AMD EPYC: experiments/BENCHMARKS.md.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import w2v_jax as w2v
from w2v_jax.training.checkpoints import Checkpoints

SAVES = 10


def main(vocabulary: int = 68_310, dim: int = 100, folder: Path | None = None) -> None:
    """Save some times; print the medians."""
    blocked, busy = [], []
    state = w2v.TrainState(w2v.init_params(jax.random.key(0), vocabulary, dim), (), jnp.zeros((), jnp.int32))
    with tempfile.TemporaryDirectory(dir=folder) as where:
        config = w2v.CheckpointConfig(Path(where))
        words = w2v.Vocabulary(tuple(map(str, range(vocabulary))), np.ones(vocabulary, np.int64))
        with Checkpoints(config, {}, words) as checkpoints:
            for step in range(1, SAVES + 1):
                started, cpu = time.perf_counter(), time.process_time()
                checkpoints.save(state, step, 0)
                blocked.append(time.perf_counter() - started)
                checkpoints.orbax.wait_until_finished()
                busy.append(time.process_time() - cpu)
    stands, works = statistics.median(blocked), statistics.median(busy)
    cores = os.cpu_count() or 1
    print(f"two tables of {vocabulary:,} x {dim}, {8 * vocabulary * dim / 1e6:.0f} MB")
    print(f"training stands still for {stands:.3f} s; {works:.3f} s of processor time in all")
    print(f"at one a minute: {(stands + works / cores) / 60:.2%} of the machine")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
