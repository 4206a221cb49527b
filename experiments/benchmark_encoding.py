"""Text to ids: this project's whole encoding beside gensim's vocabulary pass, in turn, in one run.

    python -m experiments.benchmark_encoding TEXT [--runs 3]

TEXT is an unpacked text file. gensim's `build_vocab` counts words and stops there; ours also writes
the ids, their line ends and their checksums. gensim is in the `test` extra.

Time: 30 s for 100 MB on 2 cores of an AMD EPYC. Expected there: 2.0 s (51 MB/s) for ours, 4.4 s (23
MB/s) for gensim 4.4's, 2.2 times as fast.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

from gensim.models import Word2Vec

import w2v_jax as w2v


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def ours(path: str) -> int:
    """Encode into an empty cache; the size of the vocabulary."""
    with tempfile.TemporaryDirectory() as cache:
        return len(w2v.Corpus.from_file(path, cache=cache).vocabulary)


def gensims(path: str) -> int:
    """Count words; the size of the vocabulary."""
    model = Word2Vec(min_count=5)
    model.build_vocab(corpus_file=path)
    return len(model.wv)


def main() -> None:
    """Run both in turn and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    assert ours(arguments.text) == gensims(arguments.text), "the vocabularies differ"  # and both are warm now
    times = [
        (seconds(lambda: ours(arguments.text)), seconds(lambda: gensims(arguments.text))) for _ in range(arguments.runs)
    ]
    megabytes = os.path.getsize(arguments.text) / 1e6
    for name, column in zip(("w2v_jax, encoded", "gensim, build_vocab"), zip(*times, strict=True), strict=True):
        median = statistics.median(column)
        print(f"{name:<20} {median:6.2f} s  {megabytes / median:6.1f} MB/s   ({min(column):.2f}-{max(column):.2f})")
    print(f"gensim / w2v_jax, pair by pair: {', '.join(f'{theirs / mine:.2f}' for mine, theirs in times)}")


if __name__ == "__main__":
    main()
