"""Queries and evaluation beside gensim's, on the same vectors, in turn, in one run.

    python -m experiments.benchmark_queries TEXT_OR_VECTORS --analogies FILE --similarity FILE... [--out OUT] [--runs 3]

TEXT_OR_VECTORS is a word2vec file (.bin, .vec), or a text to train vectors on first. Times saving them and
loading them (`benchmark_formats` has larger files, and other formats), 1,000 neighbour queries, all analogy
questions over the whole vocabulary, the similarity sets one after another, and the bare matrix product that the
analogies cannot do without: a query for each question asked, times all vectors. Both sides are warm: ours
compiled, gensim's norms filled, the files in the page cache. The answers are compared. Prints a table of medians
and writes OUT/queries.jsonl. gensim is in the `test` extra.

Time: 3 minutes on 2 cores, nearly all of it gensim's analogies. Expected on 2 cores of an AMD EPYC, 68,310
vectors of 100 numbers, all of Google's analogies (medians of three): saved 4 and loaded 9 times as fast as
gensim, neighbours 8 times, analogies 16 times and in 1.4 times the bare product's time; seven similarity sets,
each with 1,000 resamples that gensim does not make, .6 times.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from gensim.models import KeyedVectors as Gensim

import w2v_jax as w2v
from w2v_jax.vectors.search import QUERIES_PER_BATCH, SCORES_PER_TILE

NEIGHBORS = 1_000


def products(unit: np.ndarray, query: np.ndarray) -> None:
    """Compute [Q, D] x [D, V], tile by tile as the queries do."""
    tile = SCORES_PER_TILE // len(query)
    for start in range(0, len(unit), tile):
        query @ unit[start : start + tile].T


def timed(run: Callable[[], object]) -> tuple[float, object]:
    """How long a call takes, and what it gives."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def main(
    text_or_vectors: tyro.conf.Positional[Path],
    analogies: Path,
    similarity: tuple[Path, ...] = (),
    out: Path = Path("out"),
    runs: int = 3,
) -> None:
    """Run every task on both sides in turn; print and write the medians."""
    is_text = text_or_vectors.suffix not in (".bin", ".vec")
    ours = w2v.train(w2v.Corpus.from_file(text_or_vectors)) if is_text else w2v.KeyedVectors.load(text_or_vectors)
    theirs = Gensim(ours.vectors.shape[1])
    theirs.add_vectors(list(ours.words), ours.vectors)
    theirs.fill_norms()
    words = [ours.words[i] for i in np.random.default_rng(0).integers(len(ours), size=NEIGHBORS)]
    total = w2v.evaluate_analogies(ours, analogies, top=None)[-1]
    query = np.resize(ours.unit, (QUERIES_PER_BATCH, ours.unit.shape[1]))

    def product() -> None:
        for _ in range(-(-total.asked // QUERIES_PER_BATCH)):
            products(ours.unit, query)

    out.mkdir(parents=True, exist_ok=True)
    ours_file, theirs_file = str(out / "ours.bin"), str(out / "theirs.bin")

    def saved(save: Callable[..., None], path: str, **options: bool) -> int:
        save(path, **options)
        return Path(path).stat().st_size

    tasks: dict[str, tuple[Callable[[], object], Callable[[], object] | None]] = {
        "save .bin": (lambda: saved(ours.save, ours_file),
                      lambda: saved(theirs.save_word2vec_format, theirs_file, binary=True)),
        "load .bin": (lambda: len(w2v.KeyedVectors.load(ours_file)),
                      lambda: len(Gensim.load_word2vec_format(ours_file, binary=True))),
        f"{NEIGHBORS:,} neighbour queries, topn 10": (
            lambda: [near[0][0] for near in ours.most_similar_each(words, topn=10)],
            lambda: [theirs.most_similar(word, topn=10)[0][0] for word in words],
        ),
        f"{total.asked:,} analogies": (
            lambda: w2v.evaluate_analogies(ours, analogies, top=None)[-1].correct,
            lambda: len(theirs.evaluate_word_analogies(str(analogies), restrict_vocab=len(ours))[1][-1]["correct"]),
        ),
        "their bare matrix product": (product, None),
        f"{len(similarity)} similarity sets": (
            lambda: [w2v.evaluate_similarity(ours, path).spearman for path in similarity],
            lambda: [theirs.evaluate_word_pairs(str(path))[1].statistic for path in similarity],
        ),
    }  # fmt: skip
    with (out / "queries.jsonl").open("w") as file:
        print(f"{len(ours):,} vectors of {ours.vectors.shape[1]} numbers\n")
        print("| medians of seconds | w2v_jax | gensim | gensim / w2v_jax |\n|---|---|---|---|")
        for name, (mine, yours) in tasks.items():
            mine()  # compiles
            each = [(timed(mine), timed(yours) if yours else None) for _ in range(runs)]
            here = statistics.median(one[0] for one, _ in each)
            there = statistics.median(other[0] for _, other in each if other) if yours else None
            assert all(other is None or one[1] == other[1] for one, other in each), f"{name}: the answers differ"
            row = {"task": name, "w2v_jax": here, "gensim": there}
            runs_of_each = [[one[0], other and other[0]] for one, other in each]
            file.write(json.dumps({**row, "runs": runs_of_each}) + "\n")
            last = f"{there:.3f} | {there / here:.1f}" if there else "– | –"
            print(f"| {name} | {here:.3f} | {last} |", flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
