"""Quality for the time that gensim takes: more numbers, more passes, smaller blocks, both tables.

    python -m experiments.recipe TEXT [--eval FOLDER] [--seed 1] [--out vectors.bin]

Doubles the dimension and the passes, with a learning rate of .05 and blocks of 512 tokens, which
learn more from a pass than the default's 1,024 and take longer. The vectors are the center vectors
plus a fifth of the outside vectors, less their mean: a word's outside vector lies near the words
that it stands beside, which helps analogies and relatedness; the mean says nothing of any word. Both
sorts are printed. No subwords. FOLDER as for `experiments.benchmark_training`.

Time: 4 minutes for 17 million words on 2 cores of an AMD EPYC. Expected: experiments/BENCHMARKS.md.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import w2v_jax as w2v

from .benchmark_training import qualities

OUTSIDE = 0.2


def main() -> None:
    """Train, put the tables together, measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dim", type=int, default=200)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("vectors.bin"))
    arguments = parser.parse_args()
    started = time.perf_counter()
    corpus = w2v.Corpus.from_file(arguments.text)
    config = w2v.TrainConfig(
        dim=arguments.dim, window=arguments.window, epochs=arguments.epochs, lr=0.05, block=512, seed=arguments.seed
    )
    trained = w2v.train(corpus, config)
    assert trained.params is not None
    both = np.asarray(trained.params.center) + OUTSIDE * np.asarray(trained.params.outside)
    vectors = w2v.KeyedVectors(trained.words, both - both.mean(0), trained.counts)
    vectors.save(arguments.out)
    print(f"{len(vectors):,} vectors in {arguments.out}, {time.perf_counter() - started:.0f} s")
    if arguments.eval:
        trained.save(plain := arguments.out.with_stem(arguments.out.stem + "-center"))
        for name, path in (("center", plain), ("center + outside / 5, less the mean", arguments.out)):
            print(json.dumps({"vectors": name, **qualities(path, arguments.eval)}))


if __name__ == "__main__":
    main()
