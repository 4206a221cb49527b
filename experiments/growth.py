"""Continue training on a text with new words: how far do old words move, and do new words find their neighbours?

    python -m experiments.growth TEXT MORE --eval FOLDER [--megabytes 60] [--epochs 5] [--out out]

Trains on TEXT, then on the first lines of MORE, with its new words: from both tables, at the whole learning
rate or less; with the old rows frozen, and then perhaps with all rows; and from the center vectors alone, which
a word2vec file has. For comparison it trains on TEXT with another seed, and on both texts from scratch with two
seeds.

Old words: the share of a word's 10 nearest old words that it had before, over 5,000 of the 30,000 most frequent.
New words: the share of the 10 nearest old words that training from scratch gives too, and the mean reciprocal
rank of the nearest word that training from scratch gives. FOLDER holds `analogy/questions-words.txt` and
`similarity/EN-*.txt`.

Time: half an hour for 17 and 10 million words on 2 cores of an AMD EPYC. Expected: experiments/GROWTH.md.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import w2v_jax as w2v
from w2v_jax.files import open_input
from w2v_jax.training.warm_start import old_ids

from .quality_against_time import MEASURES, qualities

NEIGHBORS, MAX_RANK = 10, 100  # neighbours compared; length of the list in which a rank is looked up
OLD_WORDS, FREQUENT = 5_000, 30_000  # old words compared, and the most frequent words that they are drawn from
FREQUENT_NEW = 20  # a second table has the new words with at least this count
EXAMPLES = 12
METHODS: dict[str, tuple[bool, float]] = {
    "both tables": (False, 1),
    "a quarter of the rate": (False, 1 / 4),
    "frozen": (True, 0),
    "frozen, then a quarter": (True, 1 / 4),
    "frozen, then a sixteenth": (True, 1 / 16),
    "center vectors alone": (False, 1),
}
"""(whether the old rows are frozen first, the share of the learning rate with which all rows then train)."""


def write_texts(text: str, more: str, megabytes: int, folder: Path) -> tuple[Path, Path]:
    """Write the first lines of MORE, and TEXT followed by them."""
    part, both = folder / "more.txt", folder / "both.txt"
    with open_input(more) as source, open(part, "wb") as target:
        while target.tell() < megabytes * 1_000_000 and (line := source.readline()):
            target.write(line)
    with open_input(text) as first, open(both, "wb") as target:
        shutil.copyfileobj(first, target)
        target.write(b"\n")
        target.write(part.read_bytes())
    return part, both


def continue_training(
    vectors: w2v.KeyedVectors, corpus: w2v.Corpus, config: w2v.TrainConfig, method: str
) -> w2v.KeyedVectors:
    """Train from earlier vectors on a text whose vocabulary contains their words."""
    assert isinstance(vectors.params, w2v.Params)
    config = dataclasses.replace(config, whitening=0.0)  # the earlier tables have been whitened
    known = {"center": vectors.params.center} if method == "center vectors alone" else vectors.params._asdict()
    fresh = w2v.init_params(jax.random.key(config.seed), len(corpus.vocabulary), config.dim)
    tables = w2v.grow(known, vectors.vocabulary, corpus.vocabulary, fresh)
    freezes_first, rate = METHODS[method]
    if freezes_first:
        is_old = jnp.asarray(old_ids(vectors.vocabulary, corpus.vocabulary) >= 0)
        trained = w2v.train(corpus, config, tables=tables, frozen=w2v.Params(is_old, is_old))
        if not rate:
            return trained
        tables = trained.params
    return w2v.train(corpus, dataclasses.replace(config, lr=rate * config.lr), tables=tables)


def nearest(vectors: w2v.KeyedVectors, words: Sequence[str], among: Sequence[str], topn: int) -> list[list[str]]:
    """Return each word's nearest words among others."""
    neighbors = vectors.most_similar_each(words, topn=topn, among=among)
    return [[word for word, _ in row] for row in neighbors]


def overlap(rows: list[list[str]], reference: list[list[str]]) -> float:
    """Return the mean share of the nearest neighbours that both have."""
    shares = [len({*row[:NEIGHBORS]} & {*other[:NEIGHBORS]}) for row, other in zip(rows, reference, strict=True)]
    return float(np.mean(shares)) / NEIGHBORS


def reciprocal_rank(rows: list[list[str]], reference: list[list[str]]) -> float:
    """Return the mean of 1/rank of the reference's nearest word, 0 where the list lacks it."""
    pairs = [(row, other[0]) for row, other in zip(rows, reference, strict=True)]
    return float(np.mean([1 / (1 + row.index(word)) if word in row else 0.0 for row, word in pairs]))


def main(
    text: tyro.conf.Positional[str],
    more: tyro.conf.Positional[str],
    eval_: Annotated[Path, tyro.conf.arg(name="eval")],
    megabytes: int = 60,
    epochs: int = 5,
    out: Path = Path("out"),
) -> None:
    """Train, continue, compare."""
    out.mkdir(parents=True, exist_ok=True)
    part, both = write_texts(text, more, megabytes, out)
    config = w2v.TrainConfig(epochs=epochs, seed=1)
    other = dataclasses.replace(config, seed=2)
    first = w2v.Corpus.from_file(text)
    old = first.vocabulary
    second = w2v.Corpus.from_file(part, known=old)
    is_new = old_ids(old, second.vocabulary) < 0
    print(
        f"{len(first.ids):,} words, then {len(second.ids):,}; {len(old):,} have vectors, "
        f"then {len(second.vocabulary):,}, {is_new.sum():,} of them new ({is_new.mean():.1%})",
        flush=True,
    )

    sample = np.random.default_rng(0).permutation(min(FREQUENT, len(old)))[:OLD_WORDS]
    sampled_words = [old.words[i] for i in sample]
    neighbors: dict[str, list[list[str]]] = {}

    def print_row(name: str, vectors: w2v.KeyedVectors, reference: str | None) -> w2v.KeyedVectors:
        """Print a row of the first table."""
        present = [word for word in old.words if word in vectors.vocabulary]
        neighbors[name] = nearest(vectors, sampled_words, present, NEIGHBORS)
        same = overlap(neighbors[name], neighbors[reference]) if reference else 1.0
        vectors.save(out / "vectors.bin")
        quality = qualities(out / "vectors.bin", eval_)
        print(f"{name:<28} {same:8.1%} {quality['analogies']:9.1%}"
              + "".join(f" {quality[measure]:8.3f}" for measure in MEASURES), flush=True)  # fmt: skip
        return vectors

    print(f"{'':28} {'old same':>8} analogies" + "".join(f" {measure:>8}" for measure in MEASURES))
    before = print_row("before", w2v.train(first, config), None)
    grown = {}
    for method in METHODS:
        grown[method] = print_row(f"after, {method}", continue_training(before, second, config, method), "before")
    print_row("another seed", w2v.train(first, other), "before")
    whole = w2v.Corpus.from_file(both)
    scratch = print_row("both texts from scratch", w2v.train(whole, config), "before")
    again = print_row("the same, another seed", w2v.train(whole, other), "both texts from scratch")

    new = [
        word
        for word, is_one in zip(second.vocabulary.words, is_new, strict=True)
        if is_one and word in again.vocabulary
    ]
    counts = dict(zip(second.vocabulary.words, second.occurrences.tolist(), strict=True))
    known = [word for word in old.words if word in scratch.vocabulary]
    print(f"\n{'':28} {'new words':>9} {'overlap':>8} {'MRR':>6}")
    for min_count in (0, FREQUENT_NEW):
        words = [word for word in new if counts[word] >= min_count]
        reference = nearest(scratch, words, known, MAX_RANK)
        for name, vectors in (*grown.items(), ("from scratch, another seed", again)):
            rows = nearest(vectors, words, known, MAX_RANK)
            print(
                f"{name:<28} {len(words):9,} {overlap(rows, reference):8.1%} {reciprocal_rank(rows, reference):6.3f}",
                flush=True,
            )
    print()
    words = new[:: max(1, len([word for word in new if counts[word] >= FREQUENT_NEW]) // EXAMPLES)][:EXAMPLES]
    examples = [nearest(vectors, words, known, 5) for vectors in (grown["both tables"], scratch)]
    for word, row, reference_row in zip(words, *examples, strict=True):
        print(f"{word} ({counts[word]:,}): {', '.join(row)} | from scratch: {', '.join(reference_row)}")


if __name__ == "__main__":
    try:
        tyro.cli(main, description=__doc__)
    except w2v.InputError as error:
        raise SystemExit(f"growth: {error}") from None
