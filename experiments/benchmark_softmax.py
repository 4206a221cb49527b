"""The exact softmax: what its loss and gradient cost, what a pass over the counts costs, and how few it needs.

    python -m experiments.benchmark_softmax blockwise [--vocab 10000 100000 1000000] [--dim 100 300] [--out out]
    python -m experiments.benchmark_softmax counts TEXT [--out out]
    python -m experiments.benchmark_softmax convergence TEXT [--max-vocab 20000] [--passes 50] [--out out]

`blockwise` times the loss of 4,096 centers and its gradient beside the four bare matrix products of the
same shapes, `jax.grad` of the dense loss, and optax's cross-entropy; a process each, whose memory
at its peak, over that of the tables and their gradients, stands beside. A process that asks for
more than `--cap` GB ends there. `counts` times a pass over the counts of TEXT beside its three bare
products, and fastText's own exact softmax (`pip install -e .[bench]`) for as long as `--seconds`.
`convergence` shows nats a target after so many passes for each optimizer and start, on the counts of
TEXT's most frequent words: X as `w2v_jax.text.cooccurrence` counts it with the default window 5,
distance weights (6 − d)/5, and sample 1e-3 in expectation; a twentieth of the text is left out of the
counts, and scored beside. OUT/softmax_*.jsonl hold all of it for machines.

Time: 10 minutes, 4 minutes, 40 minutes on 2 cores. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import dataclasses
import json
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
from w2v_jax.files import writing
from w2v_jax.objectives.softmax_counts import softmax_counts_loss
from w2v_jax.params import Params
from w2v_jax.text.cooccurrence import Cooccurrence
from w2v_jax.training.counts import Problem, loss_and_gradient, make_problem, sampled_loss, start_from_ppmi
from w2v_jax.training.shared_newton import shared_newton

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


def run_blockwise(args: argparse.Namespace) -> None:
    rows = []
    print(f"{'V':>10} {'D':>4} {'':14} {'seconds':>8} {'GFLOP/s':>8} {'of bare':>8} {'GB over':>8}")
    for vocab_size in args.vocab:
        for dim in args.dim:
            bare = 0.0
            for name in RIVALS:
                command = [
                    sys.executable,
                    "-m",
                    "experiments.benchmark_softmax",
                    "one",
                    name,
                    str(vocab_size),
                    str(dim),
                ]
                done = subprocess.run([*command, "--cap", str(args.cap)], capture_output=True, text=True)
                row = {"V": vocab_size, "D": dim, "system": name}
                try:
                    row |= json.loads(done.stdout.splitlines()[-1])
                    bare = bare or row["seconds"]
                    print(f"{vocab_size:10,} {dim:4} {name:14} {row['seconds']:8.2f} {row['GFLOP/s']:8.0f} "
                          f"{bare / row['seconds']:8.2f} {row['GB over inputs and gradients']:8.2f}")  # fmt: skip
                except (IndexError, ValueError):
                    row["failed"] = f"over {args.cap} GB"
                    print(f"{vocab_size:10,} {dim:4} {name:14} {row['failed']}")
                rows.append(row)
    save(args.out / "softmax_blockwise.jsonl", rows)


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
    return 2 * float(found[-1])


def run_counts(args: argparse.Namespace) -> None:
    corpus = w2v.Corpus.from_file(args.text, cache=args.out / "cache")
    started = time.perf_counter()
    counts = Cooccurrence.from_corpus(corpus)
    counted = time.perf_counter() - started
    params, problem = start_from_ppmi(counts, args.dim, 0), make_problem(counts)
    bare = seconds(jax.jit(three_products), params, problem)
    whole = seconds(jax.jit(softmax_counts_loss), params, problem.blocks)
    flop = 6 * len(counts) ** 2 * args.dim
    row = {"V": len(counts), "counts": len(counts.values), "counted in": counted, "bare": bare, "pass": whole}
    print(f"V {len(counts):,}, {len(counts.values):,} counts, counted (or mapped) in {counted:.1f} s")
    print(f"three bare products {bare:.1f} s, {flop / bare / 1e9:.0f} GFLOP/s; a pass {whole:.1f} s, "
          f"{flop / whole / 1e9:.0f} GFLOP/s, {bare / whole:.2f} of the bare rate")  # fmt: skip
    rate = fasttext_rate(args.text, args.seconds)
    epoch = len(corpus.ids) / rate
    row |= {"fastText words/s": rate, "fastText epoch": epoch}
    print(f"fastText -loss softmax: {rate:.0f} words/s on 2 threads, {epoch / 3600:.0f} h an epoch: "
          f"a pass is {epoch / whole:,.0f} × as fast")  # fmt: skip
    save(args.out / "softmax_counts.jsonl", [row])


def held_out(corpus: w2v.Corpus) -> tuple[w2v.Corpus, w2v.Corpus]:
    """The first nineteen twentieths of a text, and the last."""
    at = len(corpus.ids) * 19 // 20
    ends = np.asarray(corpus.line_ends)
    parts = ((0, at), (at, len(corpus.ids)))
    return tuple(
        dataclasses.replace(
            corpus, ids=np.array(corpus.ids[a:b]), folder=None,
            line_ends=np.unique(np.append(ends[(ends > a) & (ends < b)], b)) - a,
        )
        for a, b in parts
    )  # type: ignore[return-value]  # fmt: skip


def run_convergence(args: argparse.Namespace) -> None:
    corpus = w2v.Corpus.from_file(args.text, w2v.TextConfig(max_vocab=args.max_vocab), cache=args.out / "cache")
    train, rest = held_out(corpus)
    counts = Cooccurrence.from_corpus(train)
    problem, other = make_problem(counts), make_problem(Cooccurrence.from_corpus(rest))
    share = np.asarray(problem.outside_share, np.float64)
    unigram = -(share * np.log(np.where(share > 0, share, 1))).sum()
    print(f"V {len(counts):,}, {float(problem.targets):,.0f} targets; their unigram NLL {unigram:.4f}")
    keys = jax.random.split(jax.random.key(0))
    ppmi = start_from_ppmi(counts, args.dim, 0)
    noise = (0.1 * jax.random.normal(key, (len(counts), args.dim - 1)) for key in keys)
    # The column of log frequencies is the same, without which a dozen passes learn little else.
    random = Params(*(jnp.concatenate([table[:, :1], rows], 1) for table, rows in zip(ppmi, noise, strict=True)))
    starts = {"ppmi": ppmi, "random": random}
    newton = shared_newton(problem.center_share, problem.outside_share, ridge=float(problem.ridge))
    runs: list[tuple[str, str, Any]] = [("shared_newton", start, newton) for start in ("ppmi", "random")]
    runs += [(f"adam {lr}", "ppmi", optax.adam(lr)) for lr in (0.03, 0.1)]
    runs += [("adam 0.1", "random", optax.adam(0.1)), ("adagrad 0.3", "ppmi", optax.adagrad(0.3))]
    runs += [("sgd 30", "ppmi", optax.sgd(30.0, momentum=0.9)), ("lbfgs", "ppmi", optax.lbfgs(memory_size=5))]
    rows = []
    for name, start, optimizer in runs:
        rows += converge(name, start, optimizer, starts[start], problem, other, args.passes)
        save(args.out / "softmax_convergence.jsonl", rows)
    picture(rows, unigram, args.out / "softmax_convergence.png")


def converge(
    name: str, start: str, optimizer: Any, params: Params, problem: Problem, other: Problem, passes: int
) -> list[Row]:
    """Nats a target after every pass; those of the text left out after some."""
    chosen = optax.with_extra_args_support(optimizer)
    state = chosen.init(params)

    @jax.jit
    def one_pass(params: Params, state: Any) -> tuple[Any, Params, Any]:
        (loss, ridged), gradient = loss_and_gradient(params, problem)
        sampled = lambda params: sampled_loss(params, problem)
        updates, state = chosen.update(gradient, state, params, value=ridged, value_fn=sampled, grad=gradient)
        return (loss, optax.tree.norm(gradient)), optax.apply_updates(params, updates), state

    left_out = jax.jit(lambda params: softmax_counts_loss(params, other.blocks)[0].sum())
    rows, spent = [], 0.0
    for done in range(passes + 1):
        tried, started = params, time.perf_counter()
        (loss, norm), params, state = jax.block_until_ready(one_pass(params, state))
        spent += time.perf_counter() - started if done else 0.0  # the first one compiles
        row: Row = {"optimizer": name, "start": start, "pass": done, "seconds": spent}
        row |= {"nats": float(loss), "norm": float(norm)}
        if done in (0, 1, 2, 4, 8, 20, 50):
            row["held out"] = float(left_out(tried))
            print(f"{name:14} {start:9} pass {done:3} {row['nats']:9.4f} nats, held out {row['held out']:9.4f}, "
                  f"|gradient| {row['norm']:.1e}, {spent:6.1f} s", flush=True)  # fmt: skip
        rows.append(row)
        if not np.isfinite(row["nats"]):
            break
    return rows


def picture(rows: list[Row], unigram: float, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    for name, start in dict.fromkeys((row["optimizer"], row["start"]) for row in rows):
        mine = [row for row in rows if (row["optimizer"], row["start"]) == (name, start)]
        for axis, along in zip(axes, ("pass", "seconds"), strict=True):
            axis.plot([row[along] for row in mine], [row["nats"] for row in mine], label=f"{name}, from {start}")
    best = min(row["nats"] for row in rows if np.isfinite(row["nats"]))
    for axis, label in zip(axes, ("passes over the counts", "seconds"), strict=True):
        axis.axhline(unigram, color="grey", linewidth=0.8, linestyle=":")
        axis.set(xlabel=label, ylim=(best - 0.05, unigram + 0.3))
    axes[0].set_ylabel("nats a target")
    axes[0].annotate(
        "frequencies of words alone", (0.98, unigram), xycoords=("axes fraction", "data"), ha="right", va="bottom"
    )
    axes[1].legend(frameon=False, fontsize=8)
    with writing(path) as file:
        figure.savefig(file, format="png", dpi=150)


def save(path: Path, rows: list[Row]) -> None:
    with writing(path) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    each = {name: commands.add_parser(name) for name in ("blockwise", "counts", "convergence", "one")}
    for name in ("blockwise", "counts", "convergence"):
        each[name].add_argument("--out", type=Path, default=Path("out"))
    for name in ("counts", "convergence"):
        each[name].add_argument("text")
        each[name].add_argument("--dim", type=int, default=100)
    each["blockwise"].add_argument("--vocab", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    each["blockwise"].add_argument("--dim", type=int, nargs="+", default=[100, 300])
    each["one"].add_argument("system", choices=list(RIVALS))
    each["one"].add_argument("vocab", type=int)
    each["one"].add_argument("dim", type=int)
    for name in ("blockwise", "one"):
        each[name].add_argument("--cap", type=float, default=20.0)
    each["counts"].add_argument("--seconds", type=float, default=120.0)
    each["convergence"].add_argument("--max-vocab", type=int, default=20_000)
    each["convergence"].add_argument("--passes", type=int, default=50)
    args = parser.parse_args()
    if args.command == "one":
        print(json.dumps(measure_one(args.system, args.vocab, args.dim, args.cap)))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    {"blockwise": run_blockwise, "counts": run_counts, "convergence": run_convergence}[args.command](args)


if __name__ == "__main__":
    main()
