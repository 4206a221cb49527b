"""Concatenate vectors of negative sampling and of factored counts: better than gensim in the same time.

    python -m experiments.recipe TEXT [--out vectors.bin] [--seed 1]

Each word's vector concatenates two vectors of length 1, so that a cosine is the mean of their cosines.

The first half has 200 numbers and is trained with negative sampling. Its text keeps frequent words less
often. Its steps take 512 tokens, which learn more in a pass than the default of 1,024, and are slower. It is
the center vector plus a fifth of the outside vector, which lies near the word's neighbours; the mean over the
text is subtracted, because it describes no word.

The second half has 300 numbers: the PPMI matrix of counts in a window of 10, factored, with singular values
raised to the power ¼ (Levy, Goldberg, Dagan, 2015), and both tables summed. The halves make different errors.
There are no subwords.

`experiments.benchmark_training --systems recipe gensim gensim-15` measures it beside gensim.

Time: 6 minutes for 17 million words on 2 cores of an AMD EPYC. Expected: experiments/BENCHMARKS.md.
"""

import dataclasses
from pathlib import Path

import numpy as np

import w2v_jax as w2v

CONFIG = w2v.TrainConfig(dim=200, epochs=10, sample=1e-4, lr=0.05, batch_tokens=512, whitening=0.0)
OUTSIDE = 0.2
WINDOW, RANK, POWER = 10, 300, 0.25  # of the counts' half


def fit(corpus: "w2v.Corpus", seed: int) -> "w2v.KeyedVectors":
    """Return both halves, 500 numbers a word."""
    from w2v_jax.counts.ppmi_svd import ppmi, randomized_svd  # as tyro, below

    trained = w2v.train(corpus, dataclasses.replace(CONFIG, seed=seed))
    assert trained.params is not None
    center, outside = (np.asarray(table) for table in trained.params)
    combined = center + OUTSIDE * outside
    combined -= np.average(combined, axis=0, weights=corpus.vocabulary.counts).astype(np.float32)

    counts = w2v.Cooccurrence.from_corpus(corpus, w2v.CountsConfig(window=WINDOW))
    left, values, right = randomized_svd(ppmi(counts.matrix), RANK, seed)
    length = lambda half: np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-12)
    halves = [half / length(half) for half in (combined, (left + right) * values**POWER)]
    return w2v.KeyedVectors(trained.words, np.hstack(halves), trained.counts)


def main(text: str, /, out: Path = Path("vectors.bin"), seed: int = 1) -> None:
    """Train on a text and save the vectors."""
    vectors = fit(w2v.Corpus.from_file(text), seed)
    vectors.save(out)
    print(f"{len(vectors):,} vectors in {out}")


if __name__ == "__main__":
    import tyro  # not above: `experiments.benchmark_training` measures processes that import this file

    try:
        tyro.cli(main, description=__doc__)
    except w2v.InputError as error:
        raise SystemExit(f"recipe: {error}") from None
