"""The exact softmax: what its loss and gradient cost, block by block, and what a pass over the counts costs.

    python -m experiments.benchmark_softmax blockwise [--vocab 10000 100000 1000000] [--dim 100 300] [--out out]
    python -m experiments.benchmark_softmax counts TEXT [--out out]

`blockwise` times the loss of 4,096 centers and its gradient beside the four bare matrix products of the
same shapes, `jax.grad` of the dense loss, and optax's cross-entropy; a process each, whose memory
at its peak, over that of the tables and their gradients, stands beside. A process that asks for
more than `--cap` GB ends there. `counts` times a pass over the counts of TEXT beside its three bare
products, the same with an optimizer's step, and fastText's own exact softmax (`pip install -e .[bench]`) for as long as
`--seconds`.
OUT/softmax_*.jsonl hold all of it for machines. How few passes are needed: `softmax_convergence.py`.

Time: 25 minutes and 4 minutes on 2 cores. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import itertools
import json
import math
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import w2v_jax as w2v
from w2v_jax.counts.coarse_to_fine import init_from_ppmi
from w2v_jax.counts.cooccurrence import Cooccurrence
from w2v_jax.counts.preconditioned_lbfgs import preconditioned_lbfgs
from w2v_jax.counts.softmax import Problem, make_pass, make_problem, softmax_counts_loss
from w2v_jax.files import atomic_write
from w2v_jax.params import Params

BATCH, BLOCK, RUNS = 4096, 1024, 3
HIGHEST = jax.lax.Precision.HIGHEST
Row = dict[str, Any]


def seconds(run: Callable[..., Any], *arguments: Any) -> float:
    """The median of a few calls, after one that warms up."""
    times = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


def four_products(h: jax.Array, outside: jax.Array, indices: jax.Array) -> Any:
    """Scores twice, and a product for either gradient, a block at a time, with nothing between them."""
    blocks = outside[: len(outside) // BLOCK * BLOCK].reshape(-1, BLOCK, outside.shape[1])
    residual = jnp.ones((BLOCK, len(h)))

    def products(dh: jax.Array, block: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        first = jnp.matmul(block, h.T, precision=HIGHEST)
        again = jnp.matmul(block, jax.lax.optimization_barrier(h.T + dh[0, 0]), precision=HIGHEST)
        dh = dh + jnp.matmul(block.T, residual, precision=HIGHEST)
        return dh, (jnp.matmul(residual, h, precision=HIGHEST), first[0], again[0])

    return jax.lax.scan(products, jnp.zeros((h.shape[1], len(h))), blocks)


def blockwise(h: jax.Array, outside: jax.Array, indices: jax.Array) -> Any:
    loss = lambda h, outside: w2v.blockwise_softmax_loss(h, indices, outside, block_size=BLOCK).sum()
    return jax.value_and_grad(loss, (0, 1))(h, outside)


def dense(h: jax.Array, outside: jax.Array, indices: jax.Array) -> Any:
    loss = lambda h, outside: jax.vmap(w2v.naive_softmax_loss, (0, 0, None))(h, indices, outside).sum()
    return jax.value_and_grad(loss, (0, 1))(h, outside)


def with_optax(h: jax.Array, outside: jax.Array, indices: jax.Array) -> Any:
    logits = lambda h, outside: jnp.matmul(h, outside.T, precision=HIGHEST)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    return jax.value_and_grad(lambda h, outside: cross_entropy(logits(h, outside), indices).sum(), (0, 1))(h, outside)


RIVALS = {"four products": four_products, "blockwise": blockwise, "dense": dense, "optax": with_optax}


def memory() -> tuple[float, float]:
    """GB of resident memory, now and at its peak (Linux)."""
    said = Path("/proc/self/status").read_text()
    now, peak = (int(re.findall(rf"{name}:\s*(\d+) kB", said)[0]) / 1e6 for name in ("VmRSS", "VmHWM"))
    return now, peak


def measure_one(name: str, vocab_size: int, dim: int, cap: float) -> Row:
    """One system in this process."""
    resource.setrlimit(resource.RLIMIT_AS, (int(cap * 1e9), int(cap * 1e9)))
    keys = jax.random.split(jax.random.key(0), 3)
    h, outside = 0.3 * jax.random.normal(keys[0], (BATCH, dim)), 0.3 * jax.random.normal(keys[1], (vocab_size, dim))
    indices = jax.random.randint(keys[2], (BATCH,), 0, vocab_size)
    jax.block_until_ready((h, outside, indices))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far was that of making the inputs
    before, _ = memory()
    took = seconds(jax.jit(RIVALS[name]), h, outside, indices)
    gradients = 4e-9 * (BATCH + vocab_size) * dim
    if name == "four products":
        took *= vocab_size / (vocab_size // BLOCK * BLOCK)  # it leaves the last, partly filled block out
    return {"seconds": took, "GFLOP/s": 8 * BATCH * vocab_size * dim / took / 1e9,
            "GB over inputs and gradients": memory()[1] - before - gradients}  # fmt: skip


def measure(name: str, vocab_size: int, dim: int, cap: float) -> Row:
    """One system in a process of its own, which may end for lack of memory."""
    command = [sys.executable, "-m", "experiments.benchmark_softmax", "one", name, str(vocab_size), str(dim)]
    done = subprocess.run([*command, "--cap", str(cap)], capture_output=True, text=True)
    row: Row = {"V": vocab_size, "D": dim, "system": name}
    if done.returncode == 0:
        return row | json.loads(done.stdout.splitlines()[-1])
    said = done.stderr.strip().splitlines() or [f"ended by signal {-done.returncode}"]
    no_room = re.search("RESOURCE_EXHAUSTED|[Oo]ut of memory|bad_alloc|MemoryError|Cannot allocate", done.stderr)
    return row | {"failed": f"over {cap} GB" if no_room else said[-1]}


def run_blockwise(args: argparse.Namespace) -> None:
    rows = []
    print(f"{'V':>10} {'D':>4} {'':14} {'seconds':>8} {'GFLOP/s':>8} {'of bare':>8} {'GB over':>8}")
    for vocab_size, dim in itertools.product(args.vocab, args.dim):
        bare = math.nan
        for name in RIVALS:
            row = measure(name, vocab_size, dim, args.cap)
            rows.append(row)
            found = row.get("failed")
            if not found:
                bare = row["seconds"] if name == "four products" else bare
                found = (f"{row['seconds']:8.2f} {row['GFLOP/s']:8.0f} {bare / row['seconds']:8.2f} "
                         f"{row['GB over inputs and gradients']:8.2f}")  # fmt: skip
            print(f"{vocab_size:10,} {dim:4} {name:14} {found}", flush=True)
    save_json_lines(args.out / "softmax_blockwise.jsonl", rows)


def three_products(params: Params, problem: Problem) -> Any:
    """Those of a pass, in its shapes, with nothing between them."""
    rows = problem.blocks.centers.shape[1]

    def products(total: jax.Array, centers: jax.Array) -> tuple[jax.Array, jax.Array]:
        center = params.center.at[centers].get(mode="fill", fill_value=0)
        tile = jax.lax.optimization_barrier(jnp.matmul(params.outside, center.T, precision=HIGHEST))
        dcenter = jnp.matmul(params.outside.T, tile, precision=HIGHEST)
        return total + jnp.matmul(tile, center, precision=HIGHEST), dcenter[:, :rows].sum()

    return jax.lax.scan(products, jnp.zeros_like(params.outside), problem.blocks.centers)


def fasttext_rate(text: str, limit: float) -> float:
    """Words a second, over all threads, that fastText's exact softmax says it does after a while."""
    program = (
        "import fasttext, sys; fasttext.train_unsupervised(sys.argv[1], model='skipgram', loss='softmax', "
        "dim=100, ws=5, t=1e-3, minCount=5, minn=0, maxn=0, epoch=1, thread=2, verbose=2)"
    )
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen([sys.executable, "-c", program, text], stderr=said)
        try:
            child.wait(limit)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        said.seek(0)
        found = re.findall(rb"words/sec/thread:\s*(\d+)", said.read())
    if not found:
        raise RuntimeError(f"fastText told no rate within {limit:.0f} s; give it more --seconds")
    return 2 * float(found[-1])


def run_counts(args: argparse.Namespace) -> None:
    corpus = w2v.Corpus.from_file(args.text, cache=args.out / "cache")
    started = time.perf_counter()
    counts = Cooccurrence.from_corpus(corpus)
    counted = time.perf_counter() - started
    params, problem = init_from_ppmi(counts, args.dim, 0), make_problem(counts)
    bare = seconds(jax.jit(three_products), params, problem)
    whole = seconds(jax.jit(softmax_counts_loss), params, problem.blocks)
    optimizer = preconditioned_lbfgs(problem.share, ridge=float(problem.ridge))
    with_step = seconds(jax.jit(make_pass(optimizer)), params, optimizer.init(params), problem)
    flop, words = 6 * len(counts) ** 2 * args.dim, len(corpus.ids)
    row = {"V": len(counts), "counts": counts.matrix.nnz, "counted in": counted, "bare": bare, "pass": whole}
    row |= {"with step": with_step, "words/s": words / with_step}
    print(f"V {len(counts):,}, {counts.matrix.nnz:,} counts, counted (or mapped) in {counted:.1f} s")
    print(f"three bare products {bare:.1f} s, {flop / bare / 1e9:.0f} GFLOP/s; a pass {whole:.1f} s, "
          f"{flop / whole / 1e9:.0f} GFLOP/s, {bare / whole:.2f} of the bare rate")  # fmt: skip
    print(f"with the step of preconditioned_lbfgs {with_step:.1f} s, {words / with_step:,.0f} words/s of the text")
    rate = fasttext_rate(args.text, args.seconds)
    epoch = words / rate
    row |= {"fastText words/s": rate, "fastText epoch": epoch}
    print(f"fastText -loss softmax: {rate:.0f} words/s on 2 threads, {epoch / 3600:.0f} h an epoch: "
          f"a pass with its step is {epoch / with_step:,.0f} × as fast")  # fmt: skip
    save_json_lines(args.out / "softmax_counts.jsonl", [row])


def unigram_nats(problem: Problem) -> float:
    """Nats a target of a model that knows the frequencies of outside words and nothing else."""
    share = np.asarray(problem.share[1], np.float64)
    return float(-(share * np.log(np.where(share > 0, share, 1))).sum())


def save_json_lines(path: Path, rows: list[Row]) -> None:
    with atomic_write(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    each = {name: commands.add_parser(name) for name in ("blockwise", "counts", "one")}
    for name in ("blockwise", "counts"):
        each[name].add_argument("--out", type=Path, default=Path("out"))
    each["counts"].add_argument("text")
    each["counts"].add_argument("--dim", type=int, default=100)
    each["blockwise"].add_argument("--vocab", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    each["blockwise"].add_argument("--dim", type=int, nargs="+", default=[100, 300])
    each["one"].add_argument("system", choices=list(RIVALS))
    each["one"].add_argument("vocab", type=int)
    each["one"].add_argument("dim", type=int)
    for name in ("blockwise", "one"):
        each[name].add_argument("--cap", type=float, default=20.0)
    each["counts"].add_argument("--seconds", type=float, default=120.0)
    args = parser.parse_args()
    if args.command == "one":
        print(json.dumps(measure_one(args.system, args.vocab, args.dim, args.cap)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    {"blockwise": run_blockwise, "counts": run_counts}[args.command](args)


if __name__ == "__main__":
    main()
