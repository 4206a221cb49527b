"""Counts: what a loop over all pairs counts; bounded, kept whole, and never another corpus's."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from w2v_jax.cache import checksum
from w2v_jax.config import CountsConfig, TextConfig, TrainConfig
from w2v_jax.errors import InputError
from w2v_jax.frequency import keep_probabilities
from w2v_jax.text import cooccurrence, counting
from w2v_jax.text.cooccurrence import Cooccurrence
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.counting import COLUMNS, ROW_ENDS, VALUES
from w2v_jax.text.vocabulary import Vocabulary

WEIGHTS = {
    "linear": lambda d, window: (window + 1 - d) / window,
    "flat": lambda d, _: 1.0,
    "harmonic": lambda d, _: 1 / d,
}


def corpus_of(lines: int, seed: int = 0) -> Corpus:
    rng = np.random.default_rng(seed)
    sentences = [[f"w{i}" for i in rng.zipf(1.4, rng.integers(1, 40)) if i < 60] for _ in range(lines)]
    return Corpus.from_sentences(sentences, TextConfig(min_count=1))


def by_loop(corpus: Corpus, config: TrainConfig, distance: str, keep: np.ndarray | None = None) -> np.ndarray:
    """A pair at a time."""
    vocab_size = len(corpus.vocabulary)
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample) if keep is None else keep
    found, start = np.zeros((vocab_size, vocab_size)), 0
    for end in corpus.line_ends:
        line = corpus.ids[start:end]
        for i, center in enumerate(line):
            for j in range(max(0, i - config.window), min(len(line), i + config.window + 1)):
                if i != j:
                    share = WEIGHTS[distance](abs(i - j), config.window)
                    found[center, line[j]] += keep[center] * keep[line[j]] * share
        start = end
    return found


@pytest.mark.parametrize("distance", list(WEIGHTS))
@pytest.mark.parametrize(("stretch", "merge"), [(1 << 20, 1 << 24), (64, 100), (7, 1)])
def test_counts_are_what_a_loop_says(distance: str, stretch: int, merge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "STRETCH", 4 * stretch)
    monkeypatch.setattr(counting, "MERGE", merge)
    corpus, config = corpus_of(20), TrainConfig(window=4, sample=0.02)
    found = Cooccurrence.from_corpus(corpus, config, CountsConfig(distance=distance))  # type: ignore[arg-type]
    expected = by_loop(corpus, config, distance)
    np.testing.assert_allclose(found.matrix.toarray(), expected, rtol=1e-6)
    assert (found.values > 0).all()
    assert found.matrix.has_canonical_format
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found.matrix.toarray(), by_loop(corpus, TrainConfig(window=3), distance), rtol=1e-6)


def test_one_endless_line_is_counted_across_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "STRETCH", 48)
    words = corpus_of(10)
    corpus = Corpus.from_sentences([[str(i) for i in words.ids]], TextConfig(min_count=1))
    config = TrainConfig(window=3, sample=0.0)
    found = Cooccurrence.from_corpus(corpus, config).matrix.toarray()
    np.testing.assert_allclose(found, by_loop(corpus, config, "linear"), rtol=1e-6)
    np.testing.assert_array_equal(found, found.T)


def test_thinnings_draw_the_words_that_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "STRETCH", 300)
    corpus = corpus_of(30)
    config = TrainConfig(window=2, sample=0.02, seed=3)
    thinned = Cooccurrence.from_corpus(corpus, config, CountsConfig(thinnings=200)).matrix.toarray()
    # The same by a loop, with draws of its own.
    rng, keep = np.random.default_rng(0), keep_probabilities(corpus.vocabulary.counts, config.sample)
    mean, rounds, line_of = (
        np.zeros_like(thinned),
        300,
        np.searchsorted(corpus.line_ends, np.arange(len(corpus.ids)), "right"),
    )
    for _ in range(rounds):
        stays = rng.random(len(corpus.ids)) < keep[corpus.ids]
        ends = np.cumsum(np.bincount(line_of[stays], minlength=len(corpus.line_ends)))
        thin = Corpus(corpus.ids[stays], ends, corpus.vocabulary, 0)
        mean += by_loop(thin, config, "linear", keep=np.ones(len(keep))) / rounds
    expectation = by_loop(corpus, config, "linear")
    assert abs(thinned.sum() / mean.sum() - 1) < 0.02
    assert expectation.sum() < 0.95 * mean.sum()  # which does not draw them nearer
    np.testing.assert_allclose(thinned[:5, :5], mean[:5, :5], rtol=0.15)
    again = Cooccurrence.from_corpus(corpus, config, CountsConfig(thinnings=200)).matrix.toarray()
    np.testing.assert_array_equal(thinned, again)


def test_thinnings_draw_anew_for_each_seed_round_and_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text of one stretch over and over: were the draws those of the first, all would lose the same words."""
    monkeypatch.setattr(counting, "STRETCH", 400)
    corpus = Corpus.from_sentences([["a", "b", "c", "d"] * 25] * 40)
    config = TrainConfig(window=4, sample=0.02)
    thinned = lambda seed, rounds: (
        Cooccurrence.from_corpus(corpus, dataclasses.replace(config, seed=seed), CountsConfig(thinnings=rounds)).values
    )
    assert (thinned(0, 1) != thinned(1, 1)).any()
    assert (thinned(0, 1) != thinned(0, 2)).any()
    # 40 stretches that lose the same words scatter the sums by .12 of their mean, and 40 that differ by .02.
    sums = np.array([thinned(seed, 1).sum() for seed in range(12)])
    assert sums.std() < 0.04 * sums.mean()


def test_a_word_beside_nothing_has_an_empty_row() -> None:
    corpus = Corpus.from_sentences([["alone"], ["to", "be"]] * 5)
    found = Cooccurrence.from_corpus(corpus, TrainConfig(sample=0.0))
    assert found.matrix.toarray()[corpus.vocabulary["alone"]].tolist() == [0, 0, 0]
    nothing = Cooccurrence.from_corpus(Corpus.from_sentences([["alone"]] * 5))
    assert len(nothing) == 1
    assert nothing.matrix.nnz == 0


def text_at(path: Path, words: str) -> Corpus:
    path.write_text(words * 20)
    return Corpus.from_file(path, cache=path.parent / "cache")


def test_counts_are_kept_beside_the_corpus_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = text_at(tmp_path / "text.txt", "to be or not to be\n")
    first = Cooccurrence.from_corpus(corpus)
    monkeypatch.setattr(cooccurrence, "write_counts", None)
    again = Cooccurrence.from_corpus(corpus)
    assert first.folder == again.folder
    assert isinstance(again.values, np.memmap)
    np.testing.assert_array_equal(first.values, again.values)


@pytest.mark.parametrize(
    ("counted", "message"),
    [({"window": 3}, "holds counts of window 3, not 5"), ({"sample": 0.5}, "of sample 0.5, not 0.001"),
     ({"distance": "flat"}, "of distance flat, not linear"), ({"thinnings": 2}, "of thinnings 2, not 0"),
     ({}, "of another corpus")],
)  # fmt: skip
def test_counts_of_something_else_are_refused(counted: dict[str, object], message: str, tmp_path: Path) -> None:
    corpus = text_at(tmp_path / "text.txt", "to be or not to be\n")
    other = corpus if counted else text_at(tmp_path / "other.txt", "that is the question\n")
    how = {name: counted.pop(name) for name in ("distance", "thinnings") if name in counted}
    folder = tmp_path / "counts"
    Cooccurrence.from_corpus(other, TrainConfig(**counted), CountsConfig(folder, **how))  # type: ignore[arg-type]
    before = (folder / VALUES).read_bytes()
    with pytest.raises(InputError, match=message):
        Cooccurrence.from_corpus(corpus, counts=CountsConfig(folder))
    assert (folder / VALUES).read_bytes() == before


@pytest.mark.parametrize("damage", ["short", "other bytes", "no description", "a file"])
def test_damaged_counts_are_refused_by_name_and_made_again_in_the_cache(damage: str, tmp_path: Path) -> None:
    corpus = text_at(tmp_path / "text.txt", "to be or not to be\n")
    folder = tmp_path / "counts"
    right = Cooccurrence.from_corpus(corpus, counts=CountsConfig(folder)).values.copy()
    cached = Cooccurrence.from_corpus(corpus).folder
    assert cached is not None
    for where in (folder, cached):
        if damage == "short":
            (where / COLUMNS).write_bytes((where / COLUMNS).read_bytes()[:-4])
        elif damage == "other bytes":
            (where / COLUMNS).write_bytes(bytes((where / COLUMNS).stat().st_size))
        else:
            (where / "about.json").unlink()
    if damage == "a file":
        folder = tmp_path / "file"
        folder.write_text("mine")
    with pytest.raises(InputError, match="is no whole folder of counts; name another"):
        Cooccurrence.from_corpus(corpus, counts=CountsConfig(folder))
    np.testing.assert_array_equal(Cooccurrence.from_corpus(corpus).values, right)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = text_at(tmp_path / "text.txt", "to be or not to be\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(counting, "_sum", full)
    (tmp_path / "room").mkdir()
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        Cooccurrence.from_corpus(corpus, counts=CountsConfig(tmp_path / "room" / "counts"))
    assert list((tmp_path / "room").iterdir()) == []


def test_long_sums_are_exact() -> None:
    corpus = Corpus.from_sentences([["a", "b"] * 300_000])
    found = Cooccurrence.from_corpus(corpus, TrainConfig(sample=0.0)).matrix.toarray()
    # At distances 1, 3, 5 stands the other word: 2·(1 + .6 + .2) a token, but for the ends.
    np.testing.assert_allclose(found[0, 1], 300_000 * 3.6, rtol=1e-5)


def test_subsampling_that_drops_every_word_leaves_no_counts() -> None:
    corpus = Corpus.from_sentences([["to", "be"]] * 5)
    found = Cooccurrence.from_corpus(corpus, TrainConfig(sample=1e-9), CountsConfig(thinnings=1))
    assert found.matrix.nnz == 0


def one_more(part: np.ndarray) -> np.ndarray:
    return np.append(part, part[-1:])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (COLUMNS, lambda x: x + 1000), (COLUMNS, lambda x: x - 1), (COLUMNS, lambda x: x[:-1]),
        (COLUMNS, lambda x: x.view(np.uint8)[:-3]), (ROW_ENDS, lambda x: x[:-1]), (ROW_ENDS, one_more),
        (ROW_ENDS, lambda x: x[[1, 0, *range(2, len(x))]]), (ROW_ENDS, lambda x: x * 10**12),
        (VALUES, lambda x: x * np.nan),
        (VALUES, lambda x: -x), (VALUES, one_more), (VALUES, lambda x: x[:0]),
    ],
)  # fmt: skip
def test_counts_that_somebody_made_up_are_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    """Their checksums lie beside them, and prove nothing of who wrote them."""
    corpus, folder = text_at(tmp_path / "text.txt", "to be or not to be\n"), tmp_path / "counts"
    Cooccurrence.from_corpus(corpus, counts=CountsConfig(folder))
    path = folder / name
    path.write_bytes(change(np.fromfile(path, path.suffix[1:])).tobytes())
    about = json.loads((folder / "about.json").read_text())
    about["checksums"][name] = checksum(path)
    (folder / "about.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="name another, where they will be counted anew$"):
        Cooccurrence.from_corpus(corpus, counts=CountsConfig(folder))


def test_a_stretch_that_ends_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus.from_sentences([["to", "be", "or", "not"] * 6])
    config = TrainConfig(window=2, sample=0.0)
    whole = Cooccurrence.from_corpus(corpus, config).matrix.toarray()
    monkeypatch.setattr(counting, "STRETCH", 12 * config.window)
    np.testing.assert_allclose(Cooccurrence.from_corpus(corpus, config).matrix.toarray(), whole, rtol=1e-6)


def test_the_same_words_on_other_lines_are_counted_anew(tmp_path: Path) -> None:
    one = text_at(tmp_path / "one.txt", "to be or not to be\n")
    other = text_at(tmp_path / "two.txt", "to be\nor not to be\n")
    folder = tmp_path / "counts"
    Cooccurrence.from_corpus(one, counts=CountsConfig(folder))
    with pytest.raises(InputError, match="of another corpus"):
        Cooccurrence.from_corpus(other, counts=CountsConfig(folder))
    Cooccurrence.from_corpus(one, TrainConfig(seed=1), CountsConfig(folder))  # which has no part in expectations
    thinned = CountsConfig(tmp_path / "thinned", thinnings=1)
    Cooccurrence.from_corpus(one, counts=thinned)
    with pytest.raises(InputError, match="of seed 0, not 1"):
        Cooccurrence.from_corpus(one, TrainConfig(seed=1), thinned)


def test_what_was_counted_before_makes_other_counts(tmp_path: Path) -> None:
    """Subsampling goes by the counts of both texts."""
    sentences, where = [["to", "be", "or", "not", "to", "be"]] * 9, CountsConfig(counts=tmp_path / "counts")
    known = [Vocabulary(("be", "to", "not", "or"), np.array(counts)) for counts in ([9, 8, 7, 6], [90, 8, 7, 6])]
    one, other = (Corpus.from_sentences(sentences, known=words) for words in known)
    np.testing.assert_array_equal(one.ids, other.ids)
    Cooccurrence.from_corpus(one, None, where)
    with pytest.raises(InputError, match="holds counts of another corpus; name another folder"):
        Cooccurrence.from_corpus(other, None, where)
