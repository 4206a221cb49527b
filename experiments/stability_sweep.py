"""Train far from the defaults of batch size, negatives, learning rate and dimension; nothing diverges.

    python -m experiments.stability_sweep TEXT [--words 1000000] [--plain] [--out out]

Trains from scratch on the first words of TEXT at every combination of T, K, lr and D. Prints the mean
loss of the last tenth of the steps, and the largest number in either table. --plain takes SGD without the
bound (`optax.sgd`), to show what the bound is for. OUT/stability.png draws the losses.

Time: 4 minutes for 300,000 words, 2 with --plain, on 2 cores of an AMD EPYC. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import itertools
import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from matplotlib import pyplot as plt

import w2v_jax as w2v
from w2v_jax.files import atomic_write, open_input
from w2v_jax.training import loop, reports

SWEEP = {"batch_tokens": (256, 1024, 4096), "shared_negatives": (4, 32), "lr": (0.025, 0.1, 0.5), "dim": (25, 100, 300)}


def first_words(text: str, count: int) -> list[list[str]]:
    """Return the first words of a text, in lines of 1,000."""
    with open_input(text) as file:
        words = file.read(count * 7).decode("utf-8", "ignore").split()[:count]
    return [words[i : i + 1_000] for i in range(0, len(words), 1_000)]


def last_loss(corpus: w2v.Corpus, config: w2v.TrainConfig, plain: bool) -> tuple[float, float]:
    """Train; return the mean loss of the last tenth, and the largest number in the tables."""
    all_reports: list[w2v.Report] = []
    schedule = optax.linear_schedule(config.lr, config.lr * 1e-4, w2v.expected_steps(corpus, config))
    optimizer = optax.sgd(schedule) if plain else None
    loop.BLOCKS_PER_DISPATCH, reports.REPORTS_PER_EPOCH = 4, 100  # so that the last tenth has reports
    try:
        trained = w2v.train(
            corpus, config, optimizer=optimizer, callbacks=[lambda report, export: all_reports.append(report)]
        )
    except FloatingPointError:
        return math.nan, math.nan
    last = [report for report in all_reports if report.words >= 0.9 * all_reports[-1].words]
    loss = sum(report.loss * report.targets for report in last) / sum(report.targets for report in last)
    assert trained.params is not None
    return loss, max(float(jnp.abs(table).max()) for table in trained.params)


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Draw the loss against the learning rate: a panel for each dimension, a line for each (T, K)."""
    figure, panels = plt.subplots(1, len(SWEEP["dim"]), figsize=(12, 3.6), sharey=True, layout="constrained")
    for panel, dim in zip(panels, SWEEP["dim"], strict=True):
        for batch, negatives in itertools.product(SWEEP["batch_tokens"], SWEEP["shared_negatives"]):
            choice = (dim, batch, negatives)
            line = [row for row in rows if (row["dim"], row["batch_tokens"], row["shared_negatives"]) == choice]
            label = f"T {batch}, K {negatives}"
            panel.plot([row["lr"] for row in line], [row["loss"] for row in line], "o-", label=label)
        panel.set(title=f"D {dim}", xlabel="learning rate", xscale="log")
        panel.set_xticks(SWEEP["lr"], list(map(str, SWEEP["lr"])))
        panel.set_xticks([], minor=True)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("loss, nats a target")
    panels[-1].legend(fontsize=8)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def main() -> None:
    """Train every combination."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    corpus = w2v.Corpus.from_sentences(first_words(arguments.text, arguments.words))
    print(f"{len(corpus.ids):,} words, V = {len(corpus.vocabulary):,}")
    rows: list[dict[str, float]] = []
    print("  ".join(f"{name:>6}" for name in ("T", "K", "lr", "D", "loss", "largest")))
    with open(arguments.out / "stability.jsonl", "w", encoding="utf-8") as log:
        for choice in itertools.product(*SWEEP.values()):
            named = dict(zip(SWEEP, choice, strict=True))
            loss, largest = last_loss(corpus, w2v.TrainConfig(epochs=1, whitening=0.0, **named), arguments.plain)  # type: ignore[arg-type]
            rows.append({**named, "loss": loss, "largest": largest})
            print(json.dumps(rows[-1]), file=log, flush=True)
            print("  ".join(f"{value:6g}" for value in choice), f"  {loss:6.3f}  {largest:6.1f}", flush=True)
    losses = np.array([row["loss"] for row in rows])
    print(f"{len(rows)} trainings: {np.isnan(losses).sum()} diverged, losses {np.nanmin(losses):.3f} to "
          f"{np.nanmax(losses):.3f}")  # fmt: skip
    draw(rows, arguments.out / "stability.png")


if __name__ == "__main__":
    main()
