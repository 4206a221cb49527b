"""What the exact softmax gives for its time: quality and exact NLL against wall-clock, beside negative sampling.

    python -m experiments.softmax_quality TEXT --eval FOLDER [--out out]

Six ways to 100 numbers a word, window 5, sample 1e-3, each in a process of its own with an empty cache and all
cores: the count form on raw and on smoothed counts (both powers .75), after each of four passes; PPMI-SVD; the
streaming softmax, cut off after four minutes, when it has read little of the text; negative sampling, here and
gensim's (`pip install -e .[bench]`), with 1, 2 and 5 epochs, each of which decays its rate to the end. Time is of the
whole process up to there. TEXT and FOLDER are those of `benchmark_training`.

NLL is in nats a target, on X as `w2v_jax.counts.cooccurrence` counts all of TEXT. Tables of negative sampling stand for
P(o|c) ∝ P_n(o) exp(u_o·v_c), P_n the noise (Levy and Goldberg, 2014); smoothed counts have another P in mind.

OUT/softmax_quality.jsonl holds all points, OUT/softmax_quality.png draws them.

Time: 30 minutes for 17 million words on 2 cores. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import contextlib
import dataclasses
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

import w2v_jax as w2v
from w2v_jax.counts.config import CountsConfig
from w2v_jax.counts.cooccurrence import Cooccurrence
from w2v_jax.counts.softmax import loss_and_gradient, make_problem
from w2v_jax.counts.train import fit_ppmi_svd, train_counts
from w2v_jax.files import atomic_write
from w2v_jax.params import Params
from w2v_jax.sampling.noise import noise_distribution

from .benchmark_softmax import save_json_lines, unigram_nats
from .benchmark_training import fit_gensim, fold
from .quality_against_time import MEASURES, panels_against_time, qualities

Row = dict[str, Any]
Keep = Callable[[Any, Any, Params, str], None]  # words, vectors, tables, label


class Enough(Exception):
    """The time is over."""


def encoded(text: str) -> w2v.Corpus:
    """As from an empty cache, which counts are not kept in either."""
    with tempfile.TemporaryDirectory() as cache:
        return dataclasses.replace(w2v.Corpus.from_file(text, cache=cache), folder=None)


def count_form(text: str, keep: Keep, power: float) -> None:
    """Keep a point before each of four passes, and one after the last."""

    def keep_pass(report: w2v.Report, export: Callable[[], w2v.KeyedVectors]) -> None:
        vectors = export()
        assert vectors.params is not None
        keep(vectors.words, vectors.vectors, vectors.params, f"{report.step} passes")

    config = CountsConfig(epochs=4, count_power=power, context_smoothing=power)
    train_counts(encoded(text), config, callbacks=[keep_pass])


def ppmi_svd(text: str, keep: Keep) -> None:
    vectors = train_counts(encoded(text), fit=fit_ppmi_svd)
    assert vectors.params is not None
    keep(vectors.words, vectors.vectors, vectors.params, "")


def streaming(text: str, keep: Keep, seconds: float) -> None:
    """Three points on the way, as far as time reaches."""
    corpus = encoded(text)
    due, began = [seconds / 4, seconds / 2, seconds], time.perf_counter()

    def keep_when_due(report: w2v.Report, export: Callable[[], w2v.KeyedVectors]) -> None:
        if time.perf_counter() - began >= due[0]:
            vectors = export()
            assert vectors.params is not None
            keep(vectors.words, vectors.vectors, vectors.params, f"{report.epoch:.1%} of the text")
            due.pop(0)
            if not due:
                raise Enough

    with contextlib.suppress(Enough):
        w2v.train(corpus, w2v.TrainConfig(objective="softmax", epochs=1), callbacks=[keep_when_due])


def with_noise(params: Params, counts: Any) -> Params:
    """Tables whose scores are negative sampling's plus log P_n."""
    log_noise = np.log(noise_distribution(np.asarray(counts), 0.75))
    column = jnp.asarray(log_noise - log_noise.mean(), jnp.float32)[:, None]
    return Params(jnp.hstack([params.center, jnp.ones_like(column)]), jnp.hstack([params.outside, column]))


def negative_sampling(text: str, keep: Keep, epochs: int) -> None:
    found = w2v.train(encoded(text), w2v.TrainConfig(epochs=epochs))
    assert found.params is not None
    keep(found.words, found.vectors, with_noise(found.params, found.counts), f"{epochs} epochs")


def gensim(text: str, keep: Keep, epochs: int) -> None:
    model, _ = fit_gensim(text, seed=1, epochs=epochs)
    words = model.wv.index_to_key
    params = Params(jnp.asarray(model.wv.vectors), jnp.asarray(model.syn1neg))
    counts = [model.wv.get_vecattr(word, "count") for word in words]
    keep(words, model.wv.vectors, with_noise(params, counts), f"{epochs} epochs")


def train_one(system: str, text: str, started: float, folder: Path) -> None:
    """In this process, leaving a file for each point; the writing of the files is not counted."""
    written = 0.0

    def keep(words: Any, vectors: Any, params: Params, label: str) -> None:
        nonlocal written
        now = time.time()
        np.savez(
            folder / f"{len(list(folder.iterdir())):02}.npz", words=np.array(words), vectors=vectors, label=label,
            seconds=now - started - written, center=np.asarray(params.center), outside=np.asarray(params.outside),
        )  # fmt: skip
        written += time.time() - now

    train, *options = SYSTEMS[system]
    train(text, keep, *options)


SYSTEMS: dict[str, tuple[Any, ...]] = {
    "counts": (count_form, 1.0), "smoothed counts": (count_form, 0.75), "ppmi-svd": (ppmi_svd,),
    "streaming softmax": (streaming, 240.0),
    **{f"negative sampling {epochs}": (negative_sampling, epochs) for epochs in (1, 2, 5)},
    **{f"gensim {epochs}": (gensim, epochs) for epochs in (1, 2, 5)},
}  # fmt: skip


def points(system: str, args: argparse.Namespace, text: Path, corpus: w2v.Corpus, measure: Any) -> list[Row]:
    """Train in a process of its own; what each of its points is worth."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=args.out) as folder:
        command = [sys.executable, "-m", "experiments.softmax_quality", str(text), "--one", system, folder]
        command += ["--started", str(time.time())]
        subprocess.run(command, check=True)
        for path in sorted(Path(folder).iterdir()):
            found = np.load(path)
            words = [str(word) for word in found["words"]]
            order = np.argsort([corpus.vocabulary[word] for word in words])  # gensim breaks ties its own way
            params = Params(*(jnp.asarray(found[name][order], jnp.float32) for name in ("center", "outside")))
            w2v.KeyedVectors([words[i] for i in order], found["vectors"][order]).save(Path(folder) / "vectors.bin")
            family = system.rstrip(" 0123456789")
            row = {"system": family, "label": str(found["label"]), "process_seconds": float(found["seconds"])}
            row |= {"nats": float(measure(params)), **qualities(Path(folder) / "vectors.bin", args.eval)}
            rows.append(row)
            quality = " ".join(f"{row[name]:.4f}" for name in ("analogies", *MEASURES, "nats"))
            print(f"{family:18} {row['label']:18} {row['process_seconds']:6.1f} s  {quality}", flush=True)
    return rows


def draw(rows: list[Row], unigram: float, path: Path) -> None:
    """A panel a measure; streaming softmax, far below, is in the last alone."""
    quality = ("analogies", *MEASURES)
    hidden = {"streaming softmax": quality}
    shown = [{name: row[name] for name in row.keys() - hidden.get(row["system"], ())} for row in rows]
    figure = panels_against_time(shown, (*quality, "nats"), style="o-")
    last = figure.axes[-1]
    last.axhline(unigram, color="grey", linestyle=":", linewidth=0.8)
    last.set(title="nats a target; dotted: frequencies", ylim=(None, unigram + 0.6))
    figure.legend(*last.get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        system, folder = args.one
        train_one(system, args.text, args.started, Path(folder))
        return
    if not args.eval:
        parser.error("name the folder of evaluation sets: --eval FOLDER")
    args.out.mkdir(parents=True, exist_ok=True)
    text = args.out / "folded.txt"
    fold(args.text, text)
    corpus = w2v.Corpus.from_file(text, cache=args.out / "cache")
    problem = make_problem(Cooccurrence.from_corpus(corpus))
    unigram = unigram_nats(problem)
    print(f"V {len(corpus.vocabulary):,}, {float(problem.targets):,.0f} targets; their unigram NLL {unigram:.4f}")
    print(f"{'':47} analogies {' '.join(MEASURES)} nats")
    measure = jax.jit(lambda params: loss_and_gradient(params, problem)[0][0])
    rows: list[Row] = []
    for system in SYSTEMS:
        rows += points(system, args, text, corpus, measure)
        save_json_lines(args.out / "softmax_quality.jsonl", rows)
    draw(rows, unigram, args.out / "softmax_quality.png")


if __name__ == "__main__":
    main()
