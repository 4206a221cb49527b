"""How few passes over the counts the exact softmax needs: nats a target after each, by optimizer and start.

    python -m experiments.softmax_convergence TEXT [--max-vocab 20000] [--passes 50] [--out out]

X is what `w2v_jax.counts.cooccurrence` counts in TEXT's most frequent words with the default window 5, distance
weights (6 − d)/5, and sample 1e-3 in expectation. A twentieth of the text is left out of the counts, and scored
beside. From PPMI's factors start preconditioned_lbfgs, scipy's L-BFGS with every evaluation counted as a pass and
the best so far shown, and Adam, Adagrad and SGD at the best of some rates after four passes; the first two also from
where `train_counts` starts, frequent words first, and from random vectors, of standard deviation .1. What a start
cost stands with its seconds. `--starts` names those to run.
OUT/softmax_convergence.jsonl holds every pass, and OUT/softmax_convergence.png draws them.

Time: 30 minutes on 2 cores. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

import w2v_jax as w2v
from w2v_jax.counts.coarse_to_fine import coarse_to_fine, init_from_ppmi
from w2v_jax.counts.cooccurrence import Cooccurrence
from w2v_jax.counts.preconditioned_lbfgs import preconditioned_lbfgs
from w2v_jax.counts.softmax import (
    Problem,
    loss_and_gradient,
    make_pass,
    make_problem,
    softmax_counts_loss,
)
from w2v_jax.files import atomic_write
from w2v_jax.params import Params

from .benchmark_softmax import save_json_lines, unigram_nats

SHOWN = (0, 1, 2, 4, 8, 20, 50)
TRIAL = 4  # passes that choose a rate
# Gradients of a mean over all targets are so small that the optimizers' own floors under them would be all they see.
RATES: dict[str, tuple[Any, tuple[float, ...]]] = {
    "Adam": (lambda rate: optax.adam(rate, eps=1e-20), (0.03, 0.1, 0.3)),
    "Adagrad": (lambda rate: optax.adagrad(rate, 0.0, eps=1e-20), (0.05, 0.1, 0.2)),
    "SGD": (lambda rate: optax.sgd(rate, momentum=0.9), (10.0, 30.0, 100.0)),
}
Row = dict[str, Any]
Point = tuple[float, float, float, Params]  # seconds so far, nats a target, norm of the gradient, where


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


def picture(rows: list[Row], unigram: float, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12.5, 4.5), sharey=True, layout="constrained")
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
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)


def by_optax(
    optimizer: optax.GradientTransformation, params: Params, problem: Problem, spent: float = 0.0
) -> Iterator[Point]:
    """A pass after another, where so many seconds went into the start."""
    state = jax.tree.map(jnp.copy, optimizer.init(params))
    run = jax.jit(make_pass(optimizer), donate_argnums=1).lower(params, state, problem).compile()
    while True:
        tried, started = params, time.perf_counter()
        (here, norm), params, state = jax.block_until_ready(run(params, state, problem))
        before, spent = spent, spent + time.perf_counter() - started
        yield before, float(here[0]), float(norm), tried


def by_lbfgs(params: Params, problem: Problem, passes: int, spent: float = 0.0) -> Iterator[Point]:
    """scipy's, whose line search may call the loss more than once a step: each call is a pass."""
    flat, unravel = ravel_pytree(params)
    evaluate = jax.jit(loss_and_gradient)
    jax.block_until_ready(evaluate(params, problem))
    found: list[Point] = []
    began = time.perf_counter()

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        here = unravel(jnp.asarray(point, jnp.float32))
        started = spent + time.perf_counter() - began
        (nats, regularized), gradient = evaluate(here, problem)
        if not found or nats < found[-1][1]:
            best = started, float(nats), float(optax.tree.norm(gradient)), here
        else:
            best = started, *found[-1][1:]
        found.append(best)
        return float(regularized), np.asarray(ravel_pytree(gradient)[0], np.float64)

    options: Any = {"maxfun": passes, "maxiter": passes, "maxcor": 10, "ftol": 0.0, "gtol": 0.0}
    minimize(loss, np.asarray(flat, np.float64), jac=True, method="L-BFGS-B", options=options)
    yield from found


def converge(name: str, start: str, points: Iterator[Point], other: Problem, passes: int) -> list[Row]:
    """Nats a target after every pass; those of the text left out after some."""
    left_out = jax.jit(lambda params: softmax_counts_loss(params, other.blocks)[0].sum())
    rows: list[Row] = []
    for done, (seconds, nats, norm, params) in zip(range(passes + 1), points, strict=False):
        row: Row = {"optimizer": name, "start": start, "pass": done, "seconds": seconds, "nats": nats, "norm": norm}
        if done in SHOWN:
            row["held out"] = float(left_out(params))
            print(f"{name:14} from {start:6} pass {done:3} {nats:9.4f} nats, held out {row['held out']:9.4f}, "
                  f"|gradient| {norm:.1e}, {seconds:6.1f} s", flush=True)  # fmt: skip
        rows.append(row)
        if not np.isfinite(nats):
            break
    return rows


def best_rate(name: str, params: Params, problem: Problem) -> tuple[str, optax.GradientTransformation]:
    """Of an optimizer's rates, the one that stands lowest after a few passes."""
    make, rates = RATES[name]
    reached = {}
    for rate in rates:
        points = zip(range(TRIAL + 1), by_optax(make(rate), params, problem), strict=False)
        reached[rate] = min(nats if np.isfinite(nats) else np.inf for _, (_, nats, _, _) in points)
        print(f"{name} {rate:g}: {reached[rate]:.4f} nats at best in {TRIAL} passes", flush=True)
    best = min(rates, key=lambda rate: reached[rate])
    return f"{name} {best:g}", make(best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--max-vocab", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--starts", nargs="+", default=["PPMI", "frequent", "random"])
    parser.add_argument("--out", type=Path, default=Path("out"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    corpus = w2v.Corpus.from_file(args.text, w2v.TextConfig(max_vocab=args.max_vocab), cache=args.out / "cache")
    train, rest = held_out(corpus)
    counts = Cooccurrence.from_corpus(train)
    problem, other = make_problem(counts), make_problem(Cooccurrence.from_corpus(rest))
    unigram = unigram_nats(problem)
    print(f"V {len(counts):,}, {float(problem.targets):,.0f} targets; their unigram NLL {unigram:.4f}")
    starts: dict[str, tuple[Params, float]] = {}
    for name, start in (
        ("PPMI", lambda: init_from_ppmi(counts, args.dim, 0)),
        ("frequent", lambda: coarse_to_fine(counts, args.dim, 0)[0]),
    ):
        began = time.perf_counter()
        starts[name] = jax.block_until_ready(start()), time.perf_counter() - began
    keys = jax.random.split(jax.random.key(0))
    starts["random"] = Params(*(0.1 * jax.random.normal(key, (len(counts), args.dim)) for key in keys)), 0.0
    rows: list[Row] = []
    for where, (params, spent) in ((where, starts[where]) for where in args.starts):
        ours = by_optax(preconditioned_lbfgs(problem.share, ridge=float(problem.ridge)), params, problem, spent)
        rows += converge("preconditioned_lbfgs", where, ours, other, args.passes)
        rows += converge("L-BFGS", where, by_lbfgs(params, problem, args.passes + 1, spent), other, args.passes)
        for name in RATES if where == "PPMI" else ():
            rated, optimizer = best_rate(name, params, problem)
            rows += converge(rated, where, by_optax(optimizer, params, problem, spent), other, args.passes)
        save_json_lines(args.out / "softmax_convergence.jsonl", rows)
        picture(rows, unigram, args.out / "softmax_convergence.png")


if __name__ == "__main__":
    main()
