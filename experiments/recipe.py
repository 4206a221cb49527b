"""Quality for the time that gensim takes: more numbers, more passes, smaller blocks, both tables.

    python -m experiments.recipe TEXT [--out vectors.bin] [--seed 1]

Twice the dimension, more passes over a text in which frequent words are kept less often, and blocks
of 512 tokens, which learn more from a pass than the default's 1,024 and take longer. The vectors are
the center vectors plus a fifth of the outside vectors, less their mean: a word's outside vector lies
near the words that it stands beside, which helps analogies and relatedness; the mean says nothing of
any word. No subwords.

`experiments.benchmark_training --systems recipe gensim gensim-15` measures it beside gensim.

Time: 4 minutes for 17 million words on 2 cores of an AMD EPYC. Expected: experiments/BENCHMARKS.md.
"""

import dataclasses
from pathlib import Path

import numpy as np

import w2v_jax as w2v

CONFIG = w2v.TrainConfig(dim=200, epochs=10, sample=1e-4, lr=0.05, block=512)
OUTSIDE = 0.2


def both_tables(trained: "w2v.KeyedVectors") -> "w2v.KeyedVectors":
    """The center vectors with a share of the outside vectors, less their mean."""
    assert trained.params is not None
    center, outside = (np.asarray(table) for table in trained.params)
    together = center + OUTSIDE * outside
    return w2v.KeyedVectors(trained.words, together - together.mean(0), trained.counts)


def main(text: str, /, out: Path = Path("vectors.bin"), seed: int = 1) -> None:
    """Train on a text and save the vectors."""
    corpus = w2v.Corpus.from_file(text)
    vectors = both_tables(w2v.train(corpus, dataclasses.replace(CONFIG, seed=seed)))
    vectors.save(out)
    print(f"{len(vectors):,} vectors in {out}")


if __name__ == "__main__":
    import tyro  # not above: `experiments.benchmark_training` measures processes that import this file

    try:
        tyro.cli(main, description=__doc__)
    except w2v.InputError as error:
        raise SystemExit(f"recipe: {error}") from None
