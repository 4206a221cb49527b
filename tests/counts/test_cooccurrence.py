"""Counts equal a loop over all pairs; cached folders are complete and belong to their corpus."""

import contextlib
import dataclasses
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.cache import MANIFEST, checksum
from w2v_jax.config import TextConfig
from w2v_jax.counts import cooccurrence
from w2v_jax.counts.config import CountsConfig
from w2v_jax.counts.cooccurrence import COLUMNS, ROW_ENDS, VALUES, Cooccurrence, smooth_counts
from w2v_jax.errors import InputError
from w2v_jax.sampling.subsampling import keep_probabilities
from w2v_jax.text.corpus import Corpus
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


def count_in_loop(corpus: Corpus, config: CountsConfig, keep: np.ndarray | None = None) -> np.ndarray:
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample) if keep is None else keep
    counts, start = np.zeros((len(keep), len(keep))), 0
    for end in corpus.line_ends:
        line = corpus.ids[start:end]
        for i, center in enumerate(line):
            for j in range(max(0, i - config.window), min(len(line), i + config.window + 1)):
                if i != j:
                    weight = WEIGHTS[config.distance](abs(i - j), config.window)
                    counts[center, line[j]] += keep[center] * keep[line[j]] * weight
        start = end
    return counts


def count(corpus: Corpus, config: CountsConfig | None = None) -> Any:
    return Cooccurrence.from_corpus(corpus, config).matrix


@pytest.mark.parametrize("distance", list(WEIGHTS))
@pytest.mark.parametrize(("tokens", "merge_size"), [(1 << 20, 1 << 24), (64, 100), (7, 1)])
def test_counts_equal_a_loop(distance: str, tokens: int, merge_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "CHUNK_SIZE", 4 * tokens)
    monkeypatch.setattr(cooccurrence, "MERGE_SIZE", merge_size)
    corpus, config = corpus_of(20), CountsConfig(window=4, sample=0.02, distance=distance)
    matrix = count(corpus, config)
    np.testing.assert_allclose(matrix.toarray(), count_in_loop(corpus, config), rtol=1e-6)
    assert (matrix.data > 0).all()
    assert matrix.has_canonical_format
    narrower = count_in_loop(corpus, dataclasses.replace(config, window=3))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(matrix.toarray(), narrower, rtol=1e-6)


@pytest.mark.parametrize("words", [[str(i) for i in corpus_of(10).ids], ["to", "be", "or", "not"] * 6])
@pytest.mark.parametrize("size", [36, 48])  # with the second text, a chunk ends with it
def test_one_long_line_is_counted_across_chunks(words: list[str], size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "CHUNK_SIZE", size)
    corpus, config = Corpus.from_sentences([words], TextConfig(min_count=1)), CountsConfig(window=3, sample=0.0)
    counts = count(corpus, config).toarray()
    np.testing.assert_allclose(counts, count_in_loop(corpus, config), rtol=1e-6)
    np.testing.assert_array_equal(counts, counts.T)


def test_subsampling_rounds_bring_kept_words_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "CHUNK_SIZE", 300)
    corpus, config = corpus_of(30), CountsConfig(window=2, sample=0.02, seed=3, subsample_rounds=200)
    subsampled = count(corpus, config).toarray()
    # The same by a loop, with other random draws.
    rng, keep = np.random.default_rng(0), keep_probabilities(corpus.vocabulary.counts, config.sample)
    mean, rounds = np.zeros_like(subsampled), 300
    line_of = np.searchsorted(corpus.line_ends, np.arange(len(corpus.ids)), "right")
    for _ in range(rounds):
        kept = rng.random(len(corpus.ids)) < keep[corpus.ids]
        ends = np.cumsum(np.bincount(line_of[kept], minlength=len(corpus.line_ends)))
        mean += count_in_loop(Corpus(corpus.ids[kept], ends, corpus.vocabulary, 0), config, np.ones(len(keep))) / rounds
    assert abs(subsampled.sum() / mean.sum() - 1) < 0.02
    assert count_in_loop(corpus, config).sum() < 0.95 * mean.sum()  # the expectation at original distances
    np.testing.assert_allclose(subsampled[:5, :5], mean[:5, :5], rtol=0.15)
    np.testing.assert_array_equal(subsampled, count(corpus, config).toarray())


def test_subsampling_draws_differ_between_seeds_rounds_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text repeats one chunk: with the same draws for all, every chunk would lose the same words."""
    monkeypatch.setattr(cooccurrence, "CHUNK_SIZE", 400)
    corpus = Corpus.from_sentences([["a", "b", "c", "d"] * 25] * 40)
    config = lambda seed, rounds: CountsConfig(window=4, sample=0.02, seed=seed, subsample_rounds=rounds)
    values = lambda seed, rounds: count(corpus, config(seed, rounds)).data
    assert (values(0, 1) != values(1, 1)).any()
    assert (values(0, 1) != values(0, 2)).any()
    # The relative deviation of sums is .12 when 40 chunks lose the same words, and .02 when they do not.
    sums = np.array([values(seed, 1).sum() for seed in range(12)])
    assert sums.std() < 0.04 * sums.mean()


def test_words_that_co_occur_with_none_have_empty_rows() -> None:
    corpus = Corpus.from_sentences([["alone"], ["to", "be"]] * 5)
    assert count(corpus, CountsConfig(sample=0.0)).toarray()[corpus.vocabulary["alone"]].tolist() == [0, 0, 0]
    empty = Cooccurrence.from_corpus(Corpus.from_sentences([["alone"]] * 5))
    assert (len(empty), empty.matrix.nnz) == (1, 0)
    dropped = CountsConfig(sample=1e-9, subsample_rounds=1)
    assert count(Corpus.from_sentences([["to", "be"]] * 5), dropped).nnz == 0


def test_long_sums_are_exact() -> None:
    counts = count(Corpus.from_sentences([["a", "b"] * 300_000]), CountsConfig(sample=0.0)).toarray()
    # The other word is at distances 1, 3 and 5: 2·(1 + .6 + .2) per token, except at the ends.
    np.testing.assert_allclose(counts[0, 1], 300_000 * 3.6, rtol=1e-5)


def test_smoothed_counts_equal_their_formula(corpus: Corpus) -> None:
    counts = Cooccurrence.from_corpus(corpus)
    assert smooth_counts(counts, 1.0, 1.0) is counts
    smoothed = smooth_counts(counts, count_power=0.5, context_smoothing=0.75).matrix.toarray()
    expected = np.sqrt(counts.matrix.toarray().astype(np.float64))
    expected *= expected.sum(0) ** -0.25
    np.testing.assert_allclose(smoothed, expected * counts.matrix.sum() / expected.sum(), rtol=1e-5)


def text_at(path: Path, words: str = "to be or not to be\n") -> Corpus:
    path.write_text(words * 20)
    return Corpus.from_file(path, cache=path.parent / "cache")


def cached_folder(folder: Path) -> Path:
    (path,) = folder.glob("cache/*-counts-*")
    return path


def is_mapped(array: Any) -> bool:
    return isinstance(array, mmap.mmap) or (hasattr(array, "base") and is_mapped(array.base))


def test_counts_are_cached_beside_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = text_at(tmp_path / "text.txt")
    first = count(corpus)
    assert cached_folder(tmp_path).is_dir()
    monkeypatch.setattr(cooccurrence, "write_counts", None)
    again = count(corpus)
    assert is_mapped(again.data)
    assert is_mapped(again.indices)
    np.testing.assert_array_equal(first.data, again.data)


@pytest.mark.parametrize(
    ("stored", "message"),
    [({"window": 3}, "holds counts of window 3, not 5"), ({"sample": 0.5}, "of sample 0.5, not 0.001"),
     ({"distance": "flat"}, "of distance flat, not linear"), ({"subsample_rounds": 2}, "of subsample_rounds 2, not 0")],
)  # fmt: skip
def test_counts_of_another_config_are_refused(stored: dict[str, Any], message: str, tmp_path: Path) -> None:
    corpus, folder = text_at(tmp_path / "text.txt"), tmp_path / "counts"
    count(corpus, CountsConfig(counts_dir=folder, **stored))
    before = (folder / VALUES).read_bytes()
    with pytest.raises(InputError, match=message):
        count(corpus, CountsConfig(counts_dir=folder))
    assert (folder / VALUES).read_bytes() == before


def test_the_seed_matters_only_to_subsampling_rounds(tmp_path: Path) -> None:
    corpus = text_at(tmp_path / "text.txt")
    for rounds in (0, 1):
        config = CountsConfig(counts_dir=tmp_path / str(rounds), subsample_rounds=rounds)
        count(corpus, config)
        with pytest.raises(InputError, match="of seed 0, not 1") if rounds else contextlib.nullcontext():
            count(corpus, dataclasses.replace(config, seed=1))


@pytest.mark.parametrize(
    ("text", "known_counts"),
    [("that is the question", [9, 8, 7, 6]), ("to be\nor not to be", [9, 8, 7, 6]),
     ("to be or not to be", [90, 8, 7, 6])],  # subsampling depends on the counts of an earlier text, too
)  # fmt: skip
def test_counts_of_another_corpus_are_refused(text: str, known_counts: list[int], tmp_path: Path) -> None:
    def corpus(text: str, counts: list[int]) -> Corpus:
        known = Vocabulary(("be", "to", "not", "or"), np.array(counts))
        return Corpus.from_sentences([line.split() for line in text.split("\n")] * 9, known=known)

    config = CountsConfig(counts_dir=tmp_path / "counts")
    count(corpus("to be or not to be", [9, 8, 7, 6]), config)
    with pytest.raises(InputError, match="holds counts of another corpus; name another folder"):
        count(corpus(text, known_counts), config)


@pytest.mark.parametrize("damage", ["short", "other bytes", "no manifest", "a file"])
def test_damaged_counts_are_refused_in_counts_dir_and_replaced_in_the_cache(damage: str, tmp_path: Path) -> None:
    corpus, folder = text_at(tmp_path / "text.txt"), tmp_path / "counts"
    intact = count(corpus, CountsConfig(counts_dir=folder)).data.copy()
    count(corpus)
    for path in (folder, cached_folder(tmp_path)):
        if damage == "short":
            (path / COLUMNS).write_bytes((path / COLUMNS).read_bytes()[:-4])
        elif damage == "other bytes":
            (path / COLUMNS).write_bytes(bytes((path / COLUMNS).stat().st_size))
        else:
            (path / MANIFEST).unlink()
    if damage == "a file":
        folder = tmp_path / "file"
        folder.write_text("text")
    with pytest.raises(InputError, match="not a complete folder of counts; name another"):
        count(corpus, CountsConfig(counts_dir=folder))
    np.testing.assert_array_equal(count(corpus).data, intact)


def repeat_last(part: np.ndarray) -> np.ndarray:
    return np.append(part, part[-1:])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (COLUMNS, lambda x: x + 1000), (COLUMNS, lambda x: x - 1), (COLUMNS, lambda x: x[:-1]),
        (COLUMNS, lambda x: x.view(np.uint8)[:-3]), (ROW_ENDS, lambda x: x[:-1]), (ROW_ENDS, repeat_last),
        (ROW_ENDS, lambda x: x[[1, 0, *range(2, len(x))]]), (ROW_ENDS, lambda x: x * 10**12),
        (VALUES, lambda x: x * np.nan), (VALUES, lambda x: -x), (VALUES, repeat_last), (VALUES, lambda x: x[:0]),
    ],
)  # fmt: skip
def test_forged_counts_are_refused(name: str, change: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    """Whoever writes the files can write matching checksums."""
    corpus, folder = text_at(tmp_path / "text.txt"), tmp_path / "counts"
    count(corpus, CountsConfig(counts_dir=folder))
    path = folder / name
    path.write_bytes(change(np.fromfile(path, path.suffix[1:])).tobytes())
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["checksums"][name] = checksum(path)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="name another folder, and the corpus will be counted again$"):
        count(corpus, CountsConfig(counts_dir=folder))


@pytest.mark.parametrize(
    "fields",
    [{"dim": 0}, {"dim": True}, {"window": 2**31}, {"epochs": 1.5}, {"sample": -1}, {"sample": float("nan")},
     {"seed": -1}, {"seed": 2**32}, {"distance": "near"}, {"count_power": 0}, {"context_smoothing": 1.1},
     {"subsample_rounds": 1001}],
)  # fmt: skip
def test_fields_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(InputError, match=f"^{name} is {fields[name]}; it must be"):
        CountsConfig(**fields)
    CountsConfig(sample=0, subsample_rounds=1000, count_power=1, seed=2**32 - 1)
