"""Quality for the time that gensim takes: what negative sampling learns beside what counts say.

    python -m experiments.recipe TEXT [--out vectors.bin] [--seed 1]

Each word's vector is two of length 1, one after the other, so that its cosines are the means of theirs.
The first, of 200 numbers, is trained on a text in which frequent words are kept less often, in blocks of 512
tokens, which learn more from a pass than the default's 1,024 and take longer: center vectors plus a fifth of
the outside vectors, for a word's outside vector lies near the words that it stands beside, less the text's
mean, which says nothing of any word. The second, of 300, is PPMI of counts in a window of 10, factored, with
singular values to the power ¼ (Levy, Goldberg, Dagan, 2015), the sum of both tables. One errs where the other
does not. No subwords.

`experiments.benchmark_training --systems recipe gensim gensim-15` measures it beside gensim.

Time: 6 minutes for 17 million words on 2 cores of an AMD EPYC. Expected: experiments/BENCHMARKS.md.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np

import w2v_jax as w2v

CONFIG = w2v.TrainConfig(dim=200, epochs=10, sample=1e-4, lr=0.05, block=512)
OUTSIDE = 0.2
WINDOW, RANK, POWER = 10, 300, 0.25  # of the counts' half


def fit(corpus: "w2v.Corpus", seed: int) -> "w2v.KeyedVectors":
    """Both halves, 500 numbers a word."""
    from w2v_jax.training.ppmi_svd import ppmi, randomized_svd  # as tyro, below

    fresh = w2v.init_params(jax.random.key(seed), len(corpus.vocabulary), CONFIG.dim)
    trained = w2v.train(corpus, dataclasses.replace(CONFIG, seed=seed), params=fresh)  # given, and so not evened
    assert trained.params is not None
    center, outside = (np.asarray(table) for table in trained.params)
    together = center + OUTSIDE * outside
    together -= np.average(together, axis=0, weights=corpus.vocabulary.counts).astype(np.float32)

    counts = w2v.Cooccurrence.from_corpus(corpus, w2v.TrainConfig(window=WINDOW))
    left, values, right = randomized_svd(ppmi(counts.matrix), RANK, seed)
    length = lambda half: np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-12)
    halves = [half / length(half) for half in (together, (left + right) * values**POWER)]
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
