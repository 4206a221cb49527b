"""Similarity sets: the protocol is gensim's, so the same vectors get the same numbers."""

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from gensim.models import KeyedVectors as Gensim

from w2v_jax.errors import InputError
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.similarity import _ranks, evaluate_similarity, spearman_interval

Both = tuple[KeyedVectors, Gensim]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    lines = ["# a comment\ta\t1", "no score here", "king1\tqueen1\tnot a number", "king1\tunknown\t3"]
    lines += [f"KING{i}\tqueen{j}\t{10 * rng.uniform():.2f}" for i, j in rng.integers(0, 60, (80, 2))]
    path = tmp_path / "pairs.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def assert_same(ours: KeyedVectors, theirs: Gensim, path: Path, top: int, wrong: bool) -> None:
    pearson, spearman, oov = theirs.evaluate_word_pairs(str(path), restrict_vocab=top, dummy4unknown=wrong)
    result = evaluate_similarity(ours, path, top=top, unknown="wrong" if wrong else "skip")
    assert result.spearman == pytest.approx(spearman.statistic, abs=1e-14)
    assert result.pearson == pytest.approx(pearson.statistic, abs=1e-14)
    assert 100 * (1 - result.coverage) == pytest.approx(oov)
    assert result.low < result.spearman < result.high


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("top", [300_000, 100])
def test_the_numbers_are_gensims(top: int, wrong: bool, cased: Both, pairs: Path) -> None:
    assert_same(*cased, pairs, top, wrong)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_numbers_are_gensims_on_real_sets(wrong: bool, fasttexts: Both, data: Path) -> None:
    for name in ("EN-WS-353-ALL", "EN-SIMLEX-999", "EN-MEN-TR-3k"):
        assert_same(*fasttexts, data / "eval" / "similarity" / f"{name}.txt", 300_000, wrong)


def test_the_mean_stands_for_unknown_words(tmp_path: Path) -> None:
    vectors = KeyedVectors(["a", "b", "c", "late"], np.array([[1, 0], [1, 1], [0, 1], [9, 9]], np.float32))
    (tmp_path / "pairs.txt").write_text("a\tb\t3\na\tnobody\t2\nc\tc\t9\nlate\tb\t8\n")
    result = evaluate_similarity(vectors, tmp_path / "pairs.txt", top=3, unknown="mean")
    half = np.sqrt(0.5)  # the mean of the three first is b's direction
    assert result.pearson == pytest.approx(scipy.stats.pearsonr([3, 2, 9, 8], [half, half, 1, 1]).statistic, abs=1e-6)
    assert (result.pairs, result.known) == (4, 2)
    assert evaluate_similarity(vectors, tmp_path / "pairs.txt", top=3).known == 2


def test_ranks_in_a_resample_are_those_of_the_pairs_drawn() -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9, 40).astype(float)  # with equals
    drawn = rng.integers(40, size=(25, 40))
    counts = np.stack([np.bincount(row, minlength=40) for row in drawn])
    expected = scipy.stats.rankdata(values[drawn], axis=1)
    np.testing.assert_array_equal(np.take_along_axis(_ranks(values, counts), drawn, 1), expected)


def test_the_interval_is_the_bootstraps() -> None:
    rng = np.random.default_rng(4)
    one = rng.normal(size=60).round(1)
    other = (one + rng.normal(size=60)).round(1)
    draws = np.random.default_rng(0).integers(60, size=(1000, 60))
    each = [scipy.stats.spearmanr(one[row], other[row]).statistic for row in draws]
    assert spearman_interval(one, other) == pytest.approx(np.quantile(each, [0.025, 0.975]), abs=1e-12)


def test_the_interval_does_not_depend_on_what_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = np.random.default_rng(5).normal(size=(2, 30))
    whole = spearman_interval(one, other)
    monkeypatch.setattr("w2v_jax.vectors.similarity.AT_ONCE", 217)
    assert spearman_interval(one, other) == whole


def test_few_pairs_have_a_wide_interval(cased: Both, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("king1\tqueen1\t1\nking2\tking3\t2\n")
    result = evaluate_similarity(cased[0], tmp_path / "pairs.txt")
    assert (result.low, result.high) == pytest.approx((result.spearman, result.spearman))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "under two of its pairs"),
        (b"king1\tqueen1\t1\nking1\tnobody\t2\n", "under two of its pairs"),
        (b"king1\tqueen1\t1\nking1\tqueen2\t1\n", "all its scores are 1.0"),
        (b"king1\tqueen1\t1\nking1\tqueen1\t2\n", "all its cosines are"),
        (b"caf\xe9\tbar\t3\n", "line 1 is not UTF-8"),
    ],
)
def test_files_that_cannot_be_followed(content: bytes, message: str, cased: Both, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_bytes(content)
    with pytest.raises(InputError, match=f"pairs.txt: {message}"):
        evaluate_similarity(cased[0], tmp_path / "pairs.txt")
