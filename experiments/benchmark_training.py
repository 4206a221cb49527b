"""Speed and quality beside gensim: both in turn, in one run, on one text, each in a process of its own.

    python -m experiments.benchmark_training TEXT --eval FOLDER [--seeds 1] [--epochs 5] [--out out]

TEXT is a text file, plain or compressed. FOLDER holds `analogy/questions-words.txt` and
`similarity/EN-*.txt`. gensim (in the `test` extra) trains from the same words folded into lines of
1,000, for on one endless line it reads 40,000 words and stops; a run of it that trained fewer than
99 % of the words is void. Prints a table; OUT/training.jsonl holds the same for machines.

Time: 7 minutes for 17 million words and 5 epochs on 2 cores of an AMD EPYC. Expected there, with
`--epochs 2`: 691,216 words/s and 51.7 s in all for ours, 367,957 words/s and 98.1 s for gensim 4.4.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import w2v_jax as w2v
from w2v_jax.files import reading


def train_ours(text: str, vectors: Path, seed: int, epochs: int) -> dict[str, float]:
    """Encode into an empty cache, train, save."""
    corpus = w2v.Corpus.from_file(text, cache=vectors.with_suffix(".cache"))
    reports: list[w2v.Report] = []
    config = w2v.TrainConfig(seed=seed, epochs=epochs)
    trained = w2v.train(corpus, config, callbacks=[lambda report, params: reports.append(report)])
    trained.save(vectors)
    return {"train_seconds": reports[-1].seconds, "words": reports[-1].words}


def train_gensim(text: str, vectors: Path, seed: int, epochs: int) -> dict[str, float]:
    """The same with gensim: 100 numbers, window 5, 5 negatives, sample 1e-3, min count 5, a worker a core."""
    from gensim.models import Word2Vec

    model = Word2Vec(vector_size=100, window=5, min_count=5, sample=1e-3, negative=5, sg=1, workers=2, seed=seed)
    model.build_vocab(corpus_file=text)
    started = time.perf_counter()
    total = {"total_words": model.corpus_total_words, "total_examples": model.corpus_count}
    _, trained = model.train(corpus_file=text, epochs=epochs, **total)
    seconds = time.perf_counter() - started
    assert trained >= 0.99 * epochs * model.corpus_total_words, "gensim left words out: the run is void"
    model.wv.save_word2vec_format(str(vectors), binary=True)
    words = epochs * sum(int(model.wv.get_vecattr(word, "count")) for word in model.wv.index_to_key)
    return {"train_seconds": seconds, "words": words}


SYSTEMS = {"w2v_jax": train_ours, "gensim": train_gensim}


def fold(text: str, folded: Path) -> None:
    """Write a text's words in lines of 1,000, a piece at a time."""
    waiting: list[bytes] = []
    with reading(text) as source, open(folded, "wb") as target:
        rest = b""
        while piece := source.read(1 << 24):
            *words, rest = (rest + piece).split(b" ")
            waiting += b" ".join(words).split()
            full = len(waiting) // 1_000 * 1_000
            target.writelines(b" ".join(waiting[i : i + 1_000]) + b"\n" for i in range(0, full, 1_000))
            waiting = waiting[full:]
        target.write(b" ".join([*waiting, rest]) + b"\n")


def peak_megabytes() -> float:
    """The most memory that this process held; Linux's own figure, which unlike getrusage's begins with the process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1e3


def measure(system: str, text: str, vectors: Path, seed: int, epochs: int) -> dict[str, Any]:
    """Train in a process of its own: its times, its peak memory, and what it says of itself."""
    command = [sys.executable, "-m", "experiments.benchmark_training", text, "--epochs", str(epochs)]
    command += ["--train", system, "--vectors", str(vectors), "--seed", str(seed)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = child.stdout.read()
    if child.returncode:
        raise SystemExit(f"{system} failed with status {child.returncode}")
    whole = time.perf_counter() - started
    own = json.loads(said.splitlines()[-1])
    return {"system": system, "seed": seed, **own, "process_seconds": whole}


def qualities(vectors: Path, folder: Path) -> dict[str, float]:
    """Analogies among the 30,000 most frequent words, and Spearman's correlation with each similarity set."""
    loaded = w2v.KeyedVectors.load(vectors)
    total = w2v.evaluate_analogies(loaded, folder / "analogy" / "questions-words.txt", top=30_000)[-1]
    sets = {"WordSim": "WS-353-ALL", "SimLex": "SIMLEX-999", "MEN": "MEN-TR-3k"}
    similarity = {
        name: w2v.evaluate_similarity(loaded, folder / "similarity" / f"EN-{file}.txt").spearman
        for name, file in sets.items()
    }
    return {"analogies": total.accuracy, **similarity}


def main() -> None:
    """Run each system in turn for each seed, then print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out"))
    for internal in ("--train", "--vectors", "--seed"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        done = SYSTEMS[arguments.train](arguments.text, Path(arguments.vectors), int(arguments.seed), arguments.epochs)
        print(json.dumps({**done, "peak_mb": peak_megabytes()}))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    folded = arguments.out / "folded.txt"
    fold(arguments.text, folded)
    print(f"{'':8} {'seed':>4} {'words/s':>9} {'process':>9} {'memory':>9}  analogies  WordSim  SimLex     MEN")
    with open(arguments.out / "training.jsonl", "w", encoding="utf-8") as log:
        for seed in range(1, arguments.seeds + 1):
            for system in SYSTEMS:
                vectors = arguments.out / f"{system}-{seed}.bin"
                row = measure(system, str(folded), vectors, seed, arguments.epochs)
                row |= qualities(vectors, arguments.eval) if arguments.eval else {}
                print(json.dumps(row), file=log, flush=True)
                shown = "".join(
                    f" {row[name]:8.4f}" for name in ("analogies", "WordSim", "SimLex", "MEN") if name in row
                )
                speed = row["words"] / row["train_seconds"]
                times = f"{speed:9,.0f} {row['process_seconds']:7.1f} s {row['peak_mb']:6,.0f} MB"
                print(f"{system:8} {seed:4} {times}  {shown}", flush=True)


if __name__ == "__main__":
    main()
