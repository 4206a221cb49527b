"""Going on into new words: what becomes of the old ones, and where the new ones end.

    python -m experiments.growth TEXT MORE --eval FOLDER [--megabytes 60] [--epochs 5] [--out out]

Trains on TEXT, then goes on with the first lines of MORE, whose new words join: from both tables, at the whole
learning rate or less; with the old rows frozen, and from there with all of them; and from the center vectors
alone, as a word2vec file has them. Beside them, as yardsticks: TEXT with another seed, and both texts from
scratch with two seeds.

Old words: the share of a word's 10 nearest old words that were so before, over 5,000 of the 30,000 most
frequent. New words: the share of the 10 nearest old words that training from scratch gives too, and the mean
reciprocal rank of the nearest one there. FOLDER holds `analogy/questions-words.txt` and `similarity/EN-*.txt`.

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
from w2v_jax.files import reading
from w2v_jax.training.growth import places

from .quality_against_time import MEASURES, qualities

NEAR, FAR = 10, 100  # neighbours compared; how far down the list a rank is looked for
ASKED, FREQUENT = 5_000, 30_000  # old words compared, of so many
OFTEN = 20  # new words seen so often have a line of their own
EXAMPLES = 12
HOW: dict[str, tuple[bool, float]] = {
    "both tables": (False, 1),
    "a quarter of the rate": (False, 1 / 4),
    "frozen": (True, 0),
    "frozen, then a quarter": (True, 1 / 4),
    "frozen, then a sixteenth": (True, 1 / 16),
    "center vectors alone": (False, 1),
}
"""Whether a training with the old rows frozen comes first; what share of the learning rate all rows then have."""


def write_texts(text: str, more: str, megabytes: int, folder: Path) -> tuple[Path, Path]:
    """The first lines of MORE, and TEXT with them after it."""
    some, both = folder / "more.txt", folder / "both.txt"
    with reading(more) as source, open(some, "wb") as target:
        while target.tell() < megabytes * 1_000_000 and (line := source.readline()):
            target.write(line)
    with reading(text) as first, open(both, "wb") as target:
        shutil.copyfileobj(first, target)
        target.write(b"\n")
        target.write(some.read_bytes())
    return some, both


def train_on(vectors: w2v.KeyedVectors, corpus: w2v.Corpus, config: w2v.TrainConfig, how: str) -> w2v.KeyedVectors:
    """Go on from vectors with a text that knew their words."""
    assert vectors.params is not None
    params = vectors.params
    if how == "center vectors alone":
        params = params._replace(outside=jnp.zeros_like(params.outside))
    known = places(vectors.vocabulary, corpus.vocabulary) >= 0
    params = w2v.grow(params, vectors.vocabulary, corpus.vocabulary, jax.random.key(config.seed))
    frozen_first, rate = HOW[how]
    if frozen_first:
        settled = w2v.train(corpus, config, params=params, frozen=w2v.Frozen(known, known))
        if not rate:
            return settled
        assert settled.params is not None
        params = settled.params
    return w2v.train(corpus, dataclasses.replace(config, lr=rate * config.lr), params=params)


def nearest(vectors: w2v.KeyedVectors, words: Sequence[str], among: Sequence[str], topn: int) -> list[list[str]]:
    """The nearest of some words to each."""
    found = vectors.most_similar_each(words, topn=topn, among=among)
    return [[word for word, _ in near] for near in found]


def overlap(here: list[list[str]], there: list[list[str]]) -> float:
    """The share of the nearest that both have, in the mean."""
    return float(np.mean([len({*one[:NEAR]} & {*other[:NEAR]}) / NEAR for one, other in zip(here, there, strict=True)]))


def reciprocal_rank(here: list[list[str]], there: list[list[str]]) -> float:
    """The mean of 1/rank here of the nearest there; 0 where it is beyond the list."""
    ranks = [1 / (1 + one.index(other[0])) if other[0] in one else 0.0 for one, other in zip(here, there, strict=True)]
    return float(np.mean(ranks))


def main(
    text: tyro.conf.Positional[str],
    more: tyro.conf.Positional[str],
    eval_: Annotated[Path, tyro.conf.arg(name="eval")],
    megabytes: int = 60,
    epochs: int = 5,
    out: Path = Path("out"),
) -> None:
    """Train, go on, compare."""
    out.mkdir(parents=True, exist_ok=True)
    some, both = write_texts(text, more, megabytes, out)
    config = w2v.TrainConfig(epochs=epochs, seed=1)
    other = dataclasses.replace(config, seed=2)
    first = w2v.Corpus.from_file(text)
    old = first.vocabulary
    second = w2v.Corpus.from_file(some, known=old)
    is_new = places(old, second.vocabulary) < 0
    print(
        f"{len(first.ids):,} words, then {len(second.ids):,}; {len(old):,} have vectors, "
        f"then {len(second.vocabulary):,}, {is_new.sum():,} of them new ({is_new.mean():.1%})",
        flush=True,
    )

    places_asked = np.random.default_rng(0).permutation(min(FREQUENT, len(old)))[:ASKED]
    asked = [old.words[i] for i in places_asked]
    old_near: dict[str, list[list[str]]] = {}

    def tell(name: str, vectors: w2v.KeyedVectors, beside: str | None) -> w2v.KeyedVectors:
        """A row of the first table."""
        old_near[name] = nearest(vectors, asked, [word for word in old.words if word in vectors.vocabulary], NEAR)
        same = overlap(old_near[name], old_near[beside]) if beside else 1.0
        vectors.save(out / "vectors.bin")
        quality = qualities(out / "vectors.bin", eval_)
        print(f"{name:<28} {same:8.1%} {quality['analogies']:9.1%}"
              + "".join(f" {quality[measure]:8.3f}" for measure in MEASURES), flush=True)  # fmt: skip
        return vectors

    print(f"{'':28} {'old same':>8} analogies" + "".join(f" {measure:>8}" for measure in MEASURES))
    before = tell("before", w2v.train(first, config), None)
    grown = {}
    for how in HOW:
        grown[how] = tell(f"after, {how}", train_on(before, second, config, how), "before")
    tell("another seed", w2v.train(first, other), "before")
    whole = w2v.Corpus.from_file(both)
    scratch = tell("both texts from scratch", w2v.train(whole, config), "before")
    again = tell("the same, another seed", w2v.train(whole, other), "both texts from scratch")

    new = [
        word
        for word, is_one in zip(second.vocabulary.words, is_new, strict=True)
        if is_one and word in again.vocabulary
    ]
    counts = dict(zip(second.vocabulary.words, second.occurrences.tolist(), strict=True))
    known = [word for word in old.words if word in scratch.vocabulary]
    print(f"\n{'':28} {'new words':>9} {'overlap':>8} {'MRR':>6}")
    for least in (0, OFTEN):
        words = [word for word in new if counts[word] >= least]
        there = nearest(scratch, words, known, FAR)
        for name, vectors in (*grown.items(), ("from scratch, another seed", again)):
            here = nearest(vectors, words, known, FAR)
            print(
                f"{name:<28} {len(words):9,} {overlap(here, there):8.1%} {reciprocal_rank(here, there):6.3f}",
                flush=True,
            )
    print()
    words = new[:: max(1, len([word for word in new if counts[word] >= OFTEN]) // EXAMPLES)][:EXAMPLES]
    near = [nearest(vectors, words, known, 5) for vectors in (grown["both tables"], scratch)]
    for word, here, there in zip(words, *near, strict=True):
        print(f"{word} ({counts[word]:,}): {', '.join(here)} | from scratch: {', '.join(there)}")


if __name__ == "__main__":
    try:
        tyro.cli(main, description=__doc__)
    except w2v.InputError as error:
        raise SystemExit(f"growth: {error}") from None
