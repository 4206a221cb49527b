"""What more devices and more processes cost and save, on one machine: seconds, memory and bytes sent a step.

    python -m experiments.benchmark_scaling [--out out]
    python -m experiments.benchmark_scaling --text TEXT [--eval FOLDER] [--out out]

Without a text: random tokens on 1, 2, 4 and 8 forced CPU devices, the tables whole on each (data) or in as many parts
as there are devices (vocabulary). All devices share the machine's cores, so that seconds show what sharing costs, not
what it saves; memory and bytes are the compiled program's for each device, and hold anywhere. With a text: the whole
`train` on it by 1, 2 and 4 processes over gloo, which share the cores too.

Prints a table; OUT/scaling.jsonl holds the same for machines.

Time: 5 minutes on 2 cores, and 5 epochs of the text for each number of processes. Expected: experiments/SCALING.md.
"""

import argparse
import json
import math
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VOCAB = {"negative-sampling": 100_000, "softmax": 20_000}
BLOCK = {"negative-sampling": 1024, "softmax": 256}  # tokens for each device
REPEATS = 5


def sent(program: str) -> dict[str, int]:
    """Return the bytes that a device receives in a compiled step: the results of its collectives, by kind."""
    received: dict[str, int] = {}
    for line in program.splitlines():
        match = re.match(r"\s*(?:ROOT )?%?\S+ = (.*?) (all-gather|all-reduce|reduce-scatter)\(", line)
        if match:
            shapes = re.findall(r"[fsu]32\[([\d,]*)\]", match[1])
            bytes_ = sum(4 * math.prod(map(int, filter(None, dims.split(",")))) for dims in shapes)
            received[match[2]] = received.get(match[2], 0) + bytes_
        assert match or not re.search(r" (all-to-all|collective-permute|all-\w+-start)\(", line), line
    return received


def measure(objective: Any, devices: int, shards: int, blocks: int) -> dict[str, Any]:
    """Measure a step of `BLOCK` tokens a device, in scans of a few blocks, on this process's forced devices."""
    import jax
    import numpy as np
    import optax

    import w2v_jax as w2v
    from w2v_jax.config import TILE
    from w2v_jax.distributed.mesh import make_mesh, shard_blocks, tile_sharding
    from w2v_jax.models.registry import named_model
    from w2v_jax.sampling.windows import Block
    from w2v_jax.training.bounded_sgd import bounded_sgd
    from w2v_jax.training.row_sparse import row_sparse

    size = VOCAB[objective]
    counts = (1e7 / np.arange(1, size + 1)).astype(np.int64) + 1
    vocabulary = w2v.Vocabulary(tuple(f"w{i}" for i in range(size)), counts)
    config = w2v.TrainConfig(objective=objective, batch_tokens=BLOCK[objective] * devices)
    mesh = make_mesh(w2v.MeshConfig(devices, shards))
    rng, shape = np.random.default_rng(0), (blocks, config.batch_tokens // TILE, TILE + 2 * config.window)
    tokens = rng.choice(size, shape, p=counts / counts.sum()).astype(np.int32)
    text: Any = Block(tokens, np.zeros_like(tokens))  # type: ignore[arg-type]
    text = shard_blocks(text, tile_sharding(mesh) if mesh else None)

    optimizer = row_sparse(bounded_sgd(optax.constant_schedule(config.lr)), merge_duplicates=False)
    model = named_model(config, vocabulary)
    step = w2v.make_train_step(model, optimizer, mesh)
    state = w2v.init_state(model, jax.random.key(0), vocabulary, optimizer, mesh=mesh)
    run = jax.jit(lambda state, text: jax.lax.scan(step, state, text), donate_argnums=0).lower(state, text).compile()
    memory, seconds = run.memory_analysis(), []
    assert memory is not None
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        state, metrics = run(state, text)
        jax.block_until_ready(metrics)
        seconds.append((time.perf_counter() - started) / blocks)
    return {
        "tokens": config.batch_tokens, "seconds": sorted(seconds[1:])[REPEATS // 2],
        "tables_mb": memory.argument_size_in_bytes / 1e6, "scratch_mb": memory.temp_size_in_bytes / 1e6,
        "sent_mb": sum(sent(run.as_text() or "").values()) / 1e6,
    }  # fmt: skip


def over_devices(log: Any) -> None:
    """Measure each mesh in a process of its own."""
    print(f"{'':26} {'tokens':>7} {'seconds':>9} {'tables':>10} {'scratch':>10} {'sent':>10}")
    for objective in VOCAB:
        for devices in (1, 2, 4, 8):
            for shards in sorted({1, devices}):
                arguments = [objective, str(devices), str(shards)]
                environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
                environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
                command = [sys.executable, "-m", "experiments.benchmark_scaling", "--one", *arguments]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                row = {"objective": objective, "devices": devices, "shards": shards}
                row |= json.loads(done.stdout.splitlines()[-1])
                print(json.dumps(row), file=log, flush=True)
                name = f"{objective} {devices}" + (", in parts" if shards > 1 else "")
                print(f"{name:26} {row['tokens']:7,} {row['seconds']:7.4f} s {row['tables_mb']:7.1f} MB "
                      f"{row['scratch_mb']:7.1f} MB {row['sent_mb']:7.2f} MB", flush=True)  # fmt: skip


def over_processes(text: str, evaluation: Path | None, log: Any) -> None:
    """Run the whole `train` command by several processes."""
    for count in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("localhost", 0)) as free:
            port, out = free.getsockname()[1], Path(folder) / "vectors.bin"
            free.close()
            command = [sys.executable, "-m", "w2v_jax", "train", text]
            command += ["--out", str(out), "--cache", folder, "--seed", "1"]
            connection = ["--coordinator", f"localhost:{port}", "--processes", str(count)] if count > 1 else []
            started = time.perf_counter()
            jobs = [
                subprocess.Popen([*command, *connection, *(["--process", str(i)] if connection else [])],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                for i in range(count)
            ]  # fmt: skip
            outputs = [job.communicate()[0] for job in jobs]
            row: dict[str, Any] = {"processes": count, "process_seconds": time.perf_counter() - started}
            if any(job.returncode for job in jobs):
                raise SystemExit(f"{count} processes failed: {outputs}")
            row["words_per_second"] = int(re.findall(r"\(([\d,]+) words/s\)", outputs[0])[0].replace(",", ""))
            row["loss"] = float(re.findall(r"loss ([\d.]+) nats", outputs[0])[0])
            if evaluation:
                from .quality_against_time import qualities

                row |= qualities(out, evaluation)
        print(json.dumps(row), file=log, flush=True)
        print("  ".join(f"{key} {value:,.4g}" for key, value in row.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text")
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        objective, devices, shards = arguments.one
        blocks = 16 if objective == "negative-sampling" else 2
        print(json.dumps(measure(objective, int(devices), int(shards), blocks)))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "scaling.jsonl", "a", encoding="utf-8") as log:
        if arguments.text:
            over_processes(arguments.text, arguments.eval, log)
        else:
            over_devices(log)


if __name__ == "__main__":
    main()
