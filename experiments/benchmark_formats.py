"""Vectors files, loaded and saved: this project beside gensim, in turn, in one run.

    python -m experiments.benchmark_formats --out DIR [--words 1000000 --dim 300 --text-words 100000 --text-dim 100]

Makes the files in DIR (1.2 GB at the defaults, thrice), and removes them. Files are in the page cache, and
`read()` of the whole file says how fast that is. gensim's loading also builds what finds a word; ours does
at the first lookup, which stands on its own line. Saving here ends with the file on the disk (fsync),
gensim's with the file in the page cache; "write + fsync" says what the disk takes of that. For gensim,
".safetensors" stands for its own format, pickle and a mapped array, of whose numbers it looks at none.
On a busy machine, compare processor times. gensim is in the `test` extra.

Time: 7 min on 2 cores of an AMD EPYC, 6 GB of memory. Expected there, medians of 3: `.bin` loaded in 1.2 s,
84 % of the speed of `read()` and 7.3 times gensim's, saved 3.1 times as fast; text loaded 12 and saved 4
times as fast; `.safetensors` loaded in 0.46 s with all its numbers looked at (gensim's own format: 0.44 s),
and saved in 1.3 s (gensim's: 0.7 s, without fsync).
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors as Gensim

import w2v_jax as w2v


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """How long a call takes, and its processor time; what it returns is dropped after the clocks stop."""
    started = time.perf_counter(), time.process_time()
    kept = run()
    stopped = time.perf_counter(), time.process_time()
    del kept
    return stopped[0] - started[0], stopped[1] - started[1]


def some_vectors(words: int, dim: int) -> w2v.KeyedVectors:
    """Words of 5 to 11 letters and digits, and normal numbers."""
    rows = np.random.default_rng(0).standard_normal((words, dim), np.float32)
    return w2v.KeyedVectors([f"word{i * 7919 % 10_000_019}" for i in range(words)], rows)


def read(path: Path) -> bytes:
    """The whole file, as bytes."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def write(path: Path, content: bytes) -> None:
    """The whole file, to the disk."""
    with open(path, "wb", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


def load(path: Path) -> w2v.KeyedVectors:
    """Ours."""
    return w2v.KeyedVectors.load(path)


def load_gensim(path: Path) -> Gensim:
    """gensim's; its own format is pickle and a mapped array."""
    if path.suffix == ".safetensors":
        return Gensim.load(f"{path}.kv", mmap="r")
    return Gensim.load_word2vec_format(str(path), binary=path.suffix == ".bin")


def save_gensim(vectors: Gensim, path: Path) -> None:
    """The same."""
    if path.suffix == ".safetensors":
        vectors.save(f"{path}.kv")
    else:
        vectors.save_word2vec_format(str(path), binary=path.suffix == ".bin")


def compare(vectors: w2v.KeyedVectors, folder: Path, ending: str, runs: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each way to load and to save one file, all in turn.

    Each is run once more before its clock runs: in a virtual machine the first touch of a page of memory is dear,
    and whoever came first would pay for all.
    """
    path, again = folder / f"vectors{ending}", folder / f"again{ending}"
    theirs = Gensim(vectors.vectors.shape[1])
    theirs.add_vectors(list(vectors.words), vectors.vectors)
    vectors.save(path)
    save_gensim(theirs, path)
    ways: dict[str, Callable[[], object]] = {
        "read()": lambda: read(path),
        "load, w2v_jax": lambda: load(path),
        "+ first lookup": lambda: loaded["word0"],
        "load, gensim": lambda: load_gensim(path),
        "write + fsync": lambda: write(again, content),
        "save, w2v_jax": lambda: vectors.save(again),
        "save, gensim": lambda: save_gensim(theirs, again),
    }
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(runs):
        for way, run in ways.items():
            content = read(path) if way == "write + fsync" else b""
            loaded = vectors
            run()
            loaded = load(path) if way == "+ first lookup" else vectors
            times[way].append(seconds(run))
    assert same(load(path), load_gensim(path)), "they read different numbers"
    return times


def same(ours: w2v.KeyedVectors, theirs: Gensim) -> bool:
    """Whether both have the same words and numbers, to the bit."""
    return ours.words == theirs.index_to_key and np.array_equal(ours.vectors, theirs.vectors)


def main() -> None:
    """Time each format, print a table and write OUT/formats.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--text-words", type=int, default=100_000)
    parser.add_argument("--text-dim", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "formats.jsonl", "w", encoding="utf-8") as report:
        for ending in (".bin", ".safetensors", ".txt"):
            text = ending == ".txt"
            words = arguments.text_words if text else arguments.words
            dim = arguments.text_dim if text else arguments.dim
            with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
                times = compare(some_vectors(words, dim), Path(folder), ending, arguments.runs)
                size = (Path(folder) / f"vectors{ending}").stat().st_size
            print(f"{ending}, {words:,} words of {dim} numbers, {size / 1e6:,.0f} MB")
            medians: dict[str, tuple[float, float]] = {}
            for way, pairs in times.items():
                wall, processor = map(list, zip(*pairs, strict=True))
                medians[way] = statistics.median(wall), statistics.median(processor)
                print(f"  {way:<14} {medians[way][0]:7.3f} s ({min(wall):.3f}-{max(wall):.3f}), "
                      f"processor {medians[way][1]:7.3f} s, {size / 1e6 / medians[way][0]:6,.0f} MB/s")  # fmt: skip
                line = {"format": ending, "words": words, "dim": dim, "bytes": size, "way": way}
                report.write(json.dumps({**line, "seconds": wall, "processor_seconds": processor}) + "\n")
            for clock, of in (("by the clock", 0), ("of processor time", 1)):
                at = {way: median[of] for way, median in medians.items()}
                print(f"  {clock}: load at {at['read()'] / at['load, w2v_jax']:.0%} of the speed of read(), "
                      f"{at['load, gensim'] / at['load, w2v_jax']:.1f} x gensim's; "
                      f"save {at['save, gensim'] / at['save, w2v_jax']:.1f} x gensim's")  # fmt: skip


if __name__ == "__main__":
    main()
