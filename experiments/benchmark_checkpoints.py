"""Measure what a checkpoint costs the training that writes it.

    python -m experiments.benchmark_checkpoints [--vocabulary 68310] [--dim 100] [--folder FOLDER]

Saves tables of that size as training does. Training waits while they are copied. Orbax then writes in
the background, on a core that training might have used. Prints both times, and the share of the machine
that they take at one checkpoint a minute.

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
    """Save several times; print the medians."""
    blocked_seconds, cpu_seconds, key = [], [], jax.random.key(0)
    state = w2v.TrainState(w2v.init_params(key, vocabulary, dim), (), key, jnp.zeros((), jnp.int32))
    with tempfile.TemporaryDirectory(dir=folder) as checkpoint_dir:
        config = w2v.CheckpointConfig(Path(checkpoint_dir))
        words = w2v.Vocabulary(tuple(map(str, range(vocabulary))), np.ones(vocabulary, np.int64))
        with Checkpoints(config, {}, words) as checkpoints:
            for step in range(1, SAVES + 1):
                started, cpu_started = time.perf_counter(), time.process_time()
                checkpoints.save(state, step, 0)
                blocked_seconds.append(time.perf_counter() - started)
                checkpoints.orbax.wait_until_finished()
                cpu_seconds.append(time.process_time() - cpu_started)
    blocked, cpu = statistics.median(blocked_seconds), statistics.median(cpu_seconds)
    cores = os.cpu_count() or 1
    print(f"two tables of {vocabulary:,} x {dim}, {8 * vocabulary * dim / 1e6:.0f} MB")
    print(f"training waits for {blocked:.3f} s; {cpu:.3f} s of processor time in all")
    print(f"at one a minute: {(blocked + cpu / cores) / 60:.2%} of the machine")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
