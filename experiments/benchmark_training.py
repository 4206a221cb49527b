"""Speed and quality beside gensim, fastText and word2vec.c: in turn, in one run, on one text, a process each.

    python -m experiments.benchmark_training TEXT --eval FOLDER [--seeds 1] [--epochs 5] [--out out]

TEXT is a text file, plain or compressed. FOLDER holds `analogy/questions-words.txt` and
`similarity/EN-*.txt`. All train 100 numbers with window 5, 5 negatives, sample 1e-3, min count 5 and
a thread a core, and with their own learning rates, on the same words folded into lines of 1,000: on
one endless line gensim reads 40,000 words and stops. A gensim run that trained fewer than 99 % of
the words is void. The peers (`pip install -e .[bench]`) that are not installed are left out, and
`--systems` names those to run; where it does not, fastText and word2vec.c run with the first seed
alone. `w2v_jax` is the default, one device; `w2v_jax-cores` two, whose replicas merge every 512 blocks. On request:
`recipe`, as in `experiments.recipe`, with as many epochs as it says; and `gensim-15`, with window 15.

Words/s are of the training itself; the process is all of it, with reading, compiling and saving. The
rate at which text is read is that of all before training: ours writes ids, the others count words, and
word2vec.c fills its table of noise words too. Its training time includes the saving.
Prints a table; OUT/training.jsonl holds the same for machines, OUT/training.png shows it.

Time: 45 minutes for 17 million words and 3 seeds on 2 cores. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import dataclasses
import functools
import importlib.util
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import w2v_jax as w2v
from w2v_jax.files import atomic_write, open_input

from . import recipe
from .quality_against_time import MEASURES, panels_against_time, qualities

REPLICAS = w2v.MeshConfig(2, local_steps=256)


def encoded(text: str, vectors: Path) -> tuple[w2v.Corpus, float]:
    """Into an empty cache, and what that took."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=vectors.parent) as cache:
        corpus = dataclasses.replace(w2v.Corpus.from_file(text, cache=cache), folder=None)
    return corpus, time.perf_counter() - started


def train_ours(
    text: str, vectors: Path, seed: int, epochs: int, mesh: w2v.MeshConfig | None = None
) -> dict[str, float]:
    """Encode, train, save, with the defaults; or on these devices."""
    corpus, read = encoded(text, vectors)
    reports: list[w2v.Report] = []
    config = w2v.TrainConfig(epochs=epochs, seed=seed)
    w2v.train(corpus, config, callbacks=[lambda report, export: reports.append(report)], mesh=mesh).save(vectors)
    last = reports[-1]
    times = {"train_seconds": last.seconds, "compile_seconds": last.compile_seconds, "read_seconds": read}
    return {"words": last.words, **times}


def train_recipe(text: str, vectors: Path, seed: int, epochs: int) -> dict[str, float]:
    """As `experiments.recipe` does, with as many epochs as it says."""
    corpus, read = encoded(text, vectors)
    started = time.perf_counter()
    recipe.fit(corpus, seed).save(vectors)
    words = recipe.CONFIG.epochs * len(corpus.ids)
    return {"words": words, "train_seconds": time.perf_counter() - started, "read_seconds": read}


def fit_gensim(text: str, seed: int, epochs: int, window: int = 5) -> tuple[Any, dict[str, float]]:
    """gensim's model and its times: 100 numbers, 5 negatives, sample 1e-3, min count 5, a worker a core."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=100, window=window, min_count=5, sample=1e-3, negative=5, sg=1, workers=os.cpu_count(), seed=seed
    )
    before = time.perf_counter()
    model.build_vocab(corpus_file=text)
    started = time.perf_counter()
    total = {"total_words": model.corpus_total_words, "total_examples": model.corpus_count}
    _, trained = model.train(corpus_file=text, epochs=epochs, **total)
    seconds = time.perf_counter() - started
    assert trained >= 0.99 * epochs * model.corpus_total_words, "gensim left words out: the run is void"
    return model, {"train_seconds": seconds, "read_seconds": started - before}


def train_gensim(text: str, vectors: Path, seed: int, epochs: int, window: int = 5) -> dict[str, float]:
    """The same with gensim, window 5 or 15."""
    model, times = fit_gensim(text, seed, epochs, window)
    model.wv.save_word2vec_format(str(vectors), binary=True)
    words = epochs * sum(int(model.wv.get_vecattr(word, "count")) for word in model.wv.index_to_key)
    return {"words": words, **times}


def train_fasttext(text: str, vectors: Path, seed: int, epochs: int) -> dict[str, float]:
    """The same with fastText, without n-grams; its seed is fixed, and it says on standard error when it begins."""
    import fasttext

    read, write = os.pipe()
    standard_error = os.dup(2)
    os.dup2(write, 2)
    begun: list[float] = []

    def watch() -> None:
        with open(read, "rb", buffering=0) as said:
            while piece := said.read(1 << 12):
                if b"Progress" in piece and not begun:
                    begun.append(time.perf_counter())

    threading.Thread(target=watch, daemon=True).start()
    started = time.perf_counter()
    try:
        model = fasttext.train_unsupervised(
            text, model="skipgram", dim=100, ws=5, neg=5, t=1e-3, minCount=5, minn=0, maxn=0, epoch=epochs,
            thread=os.cpu_count(), verbose=2,
        )  # fmt: skip
    finally:
        os.dup2(standard_error, 2)
    seconds = time.perf_counter() - begun[0]
    words, counts = model.get_words(include_freq=True)
    keep = [i for i, word in enumerate(words) if word != "</s>"]
    w2v.KeyedVectors([words[i] for i in keep], model.get_input_matrix()[keep]).save(vectors)
    trained = epochs * int(sum(counts[i] for i in keep))
    return {"train_seconds": seconds, "words": trained, "read_seconds": begun[0] - started}


def train_word2vec_c(text: str, vectors: Path, seed: int, epochs: int) -> dict[str, float]:
    """The same with word2vec.c, whose seed is fixed; it says when it has counted its words."""
    before = time.perf_counter()
    options = "-cbow 0 -size 100 -window 5 -negative 5 -hs 0 -sample 1e-3 -min-count 5 -binary 1"
    command = [str(Path(sys.executable).with_name("word2vec")), "-train", text, "-output", str(vectors)]
    command += ["-threads", str(os.cpu_count())]
    with subprocess.Popen([*command, *options.split(), "-iter", str(epochs)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = b""
        while not (counted := re.search(rb"Words in train file: (\d+)", said)):
            said += (piece := os.read(child.stdout.fileno(), 1 << 12))
            assert piece, "word2vec.c ended before it trained"
        started = time.perf_counter()
        while os.read(child.stdout.fileno(), 1 << 12):
            pass
    assert child.returncode == 0, "word2vec.c failed"
    seconds = time.perf_counter() - started
    return {"train_seconds": seconds, "words": epochs * int(counted[1]), "read_seconds": started - before}


OURS = ("w2v_jax", "w2v_jax-cores")
SYSTEMS: dict[str, Callable[..., dict[str, float]]] = {
    "w2v_jax": train_ours,
    "w2v_jax-cores": functools.partial(train_ours, mesh=REPLICAS),
    "gensim": train_gensim, "fastText": train_fasttext, "word2vec.c": train_word2vec_c,
    "recipe": train_recipe,
    "gensim-15": functools.partial(train_gensim, window=15),
}  # fmt: skip
ON_REQUEST = ("recipe", "gensim-15")
ONCE = ("fastText", "word2vec.c")  # slow: with the first seed alone


def installed() -> list[str]:
    """The systems that can run here."""
    has = {"gensim": "gensim", "fastText": "fasttext", "word2vec.c": "word2vec"}
    asked = [
        name for name in SYSTEMS if name not in ON_REQUEST and (name != "w2v_jax-cores" or (os.cpu_count() or 1) > 1)
    ]
    return [name for name in asked if name not in has or importlib.util.find_spec(has[name])]


def fold(text: str, folded: Path) -> None:
    """Write a text's words in lines of 1,000, a piece at a time."""
    waiting: list[bytes] = []
    with open_input(text) as source, open(folded, "wb") as target:
        rest = b""
        while piece := source.read(1 << 24):
            *words, rest = (rest + piece).split(b" ")
            waiting += b" ".join(words).split()
            full = len(waiting) // 1_000 * 1_000
            target.writelines(b" ".join(waiting[i : i + 1_000]) + b"\n" for i in range(0, full, 1_000))
            waiting = waiting[full:]
        target.write(b" ".join([*waiting, rest]) + b"\n")


def anonymous_megabytes(pid: int) -> float:
    """Memory that a process and its children made for themselves; mapped files are not counted."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # ended meanwhile
        return 0.0
    own = re.search(r"RssAnon:\s+(\d+) kB", status)
    return (int(own[1]) / 1e3 if own else 0.0) + sum(anonymous_megabytes(int(child)) for child in children)


def measure(system: str, text: str, vectors: Path, seed: int, epochs: int) -> dict[str, Any]:
    """Train in a process of its own: its times, its peak memory, and what it says of itself."""
    command = [sys.executable, "-m", "experiments.benchmark_training", text, "--epochs", str(epochs)]
    command += ["--train", system, "--vectors", str(vectors), "--seed", str(seed)]
    started, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=said)
        while child.poll() is None:
            peak = max(peak, anonymous_megabytes(child.pid))
            time.sleep(0.1)
        whole = time.perf_counter() - started
        if child.returncode:
            raise SystemExit(f"{system} failed with status {child.returncode}")
        said.seek(0)
        own = json.loads(said.read().splitlines()[-1])
    speed = own["words"] / own["train_seconds"]
    reading_rate = os.path.getsize(text) / 1e6 / own["read_seconds"]
    measured = {
        "words_per_second": speed,
        "process_seconds": whole,
        "peak_mb": peak,
        "read_mb_per_second": reading_rate,
    }
    return {"system": system, "seed": seed, **measured, **own}


def line(name: str, row: dict[str, Any]) -> str:
    """A row of the table."""
    quality = "".join(f" {row[measure]:9.4f}" for measure in ("analogies", *MEASURES) if measure in row)
    return (
        f"{name:<16} {row['words_per_second']:9,.0f} {row['process_seconds']:7.1f} s {row['peak_mb']:6,.0f} MB "
        f"{row['read_mb_per_second']:6.1f} MB/s{quality}"
    )


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each system's mean over its seeds."""
    numbers = {system: [row for row in rows if row["system"] == system] for system in {r["system"]: 0 for r in rows}}
    return {
        system: {key: sum(row[key] for row in mine) / len(mine) for key in mine[0] if key not in ("system", "seed")}
        for system, mine in numbers.items()
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Each measure of quality against time, a point a run."""
    figure = panels_against_time(rows, ("analogies", *MEASURES))
    figure.axes[0].legend()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def main() -> None:
    """Run each system in turn for each seed, then print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS))
    parser.add_argument("--out", type=Path, default=Path("out"))
    for internal in ("--train", "--vectors", "--seed"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train = SYSTEMS[arguments.train]
        print(json.dumps(train(arguments.text, Path(arguments.vectors), int(arguments.seed), arguments.epochs)))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    folded = arguments.out / "folded.txt"
    fold(arguments.text, folded)
    print(f"{'':16} {'words/s':>9} {'process':>9} {'memory':>9}   text read analogies   WordSim    SimLex       MEN")
    rows: list[dict[str, Any]] = []
    with open(arguments.out / "training.jsonl", "w", encoding="utf-8") as log:
        once = () if arguments.systems else ONCE
        systems, seeds = arguments.systems or installed(), range(1, arguments.seeds + 1)
        runs = [(seed, system) for seed in seeds for system in systems if system not in once]
        for seed, system in runs + [(1, system) for system in once if system in systems]:
            vectors = arguments.out / f"{system}-{seed}.bin"
            row = measure(system, str(folded), vectors, seed, arguments.epochs)
            row |= qualities(vectors, arguments.eval) if arguments.eval else {}
            rows.append(row)
            print(json.dumps(row), file=log, flush=True)
            print(line(f"{system} {seed}", row), flush=True)
    for system, mean in means(rows).items():
        print(line(f"{system} mean", mean))
    ours = {system: mean for system, mean in means(rows).items() if system in OURS}
    for (system, mean), (name, own) in itertools.product(means(rows).items(), ours.items()):
        if system not in OURS:
            faster = own["words_per_second"] / mean["words_per_second"]
            print(f"{name} / {system}: {faster:.2f} × in training, "
                  f"{mean['process_seconds'] / own['process_seconds']:.2f} × as whole processes")  # fmt: skip
    if arguments.eval:
        draw(rows, arguments.out / "training.png")


if __name__ == "__main__":
    main()
