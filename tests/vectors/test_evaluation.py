"""Evaluation sets: how words are looked up, and similarities compared with gensim."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from gensim.models import KeyedVectors as Gensim

from w2v_jax.errors import InputError
from w2v_jax.vectors import evaluation
from w2v_jax.vectors.evaluation import TO_UPPER, Case, WordIndex, evaluate_analogies, evaluate_similarity
from w2v_jax.vectors.keyed_vectors import KeyedVectors

Both = tuple[KeyedVectors, Gensim]
VECTORS = KeyedVectors(["be", "Be", "été", "ÉTÉ", "late"], np.eye(5, 2, dtype=np.float32) + 1)


@pytest.mark.parametrize(("case", "first_ids"), [("unicode", [0, 0, 2, 2]), ("ascii", [0, 0, 2, 3])])
def test_first_word_of_a_spelling_counts(case: Case, first_ids: list[int]) -> None:
    index = WordIndex.build(VECTORS, 4, case)
    assert index.ids(index.spellings) == first_ids
    assert index.ids([*map(TO_UPPER[case], ["bE", "ÉTÉ"]), "LATE"]) == [0, first_ids[3], 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"unknown": "Skip"}, "unknown is 'Skip'; it must be one of skip, wrong, mean"), ({"top": 0}, "top is 0")],
)
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("evaluate", [evaluate_similarity, evaluate_analogies])
def test_invalid_options_are_refused(evaluate: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "set").write_text(": one\nbe late be late\nbe\tlate\t1\nlate\tbe\t2\n")
    with pytest.raises(InputError, match=message):
        evaluate(VECTORS, tmp_path / "set", **options)


def test_endless_line_is_refused() -> None:
    with pytest.raises(InputError, match="/dev/zero: line 1 is over 1,048,576 bytes"):
        evaluate_similarity(VECTORS, "/dev/zero")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    lines = ["# a comment\ta\t1", "no score here", "king1\tqueen1\tnot a number", "king1\tunknown\t3"]
    lines += [f"KING{i}\tqueen{j}\t{10 * rng.uniform():.2f}" for i, j in rng.integers(0, 60, (80, 2))]
    path = tmp_path / "pairs.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def assert_equals_gensim(vectors: KeyedVectors, gensim: Gensim, path: Path, top: int, wrong: bool) -> None:
    pearson, spearman, oov = gensim.evaluate_word_pairs(str(path), restrict_vocab=top, dummy4unknown=wrong)
    result = evaluate_similarity(vectors, path, top=top, unknown="wrong" if wrong else "skip")
    assert result.spearman == pytest.approx(spearman.statistic, abs=1e-14)
    assert result.pearson == pytest.approx(pearson.statistic, abs=1e-14)
    assert 100 * (1 - result.coverage) == pytest.approx(oov)
    assert result.low < result.spearman < result.high


@pytest.mark.parametrize("wrong", [False, True])
def test_correlations_equal_gensim(wrong: bool, cased: Both, pairs: Path, fasttexts: Both, data: Path) -> None:
    for top in (300_000, 100):
        assert_equals_gensim(*cased, pairs, top, wrong)
    for name in ("EN-WS-353-ALL", "EN-SIMLEX-999", "EN-MEN-TR-3k"):
        assert_equals_gensim(*fasttexts, data / "eval" / "similarity" / f"{name}.txt", 300_000, wrong)


def test_unknown_words_can_have_the_mean_vector(tmp_path: Path) -> None:
    vectors = KeyedVectors(["a", "b", "c", "late"], np.array([[1, 0], [1, 1], [0, 1], [9, 9]], np.float32))
    (tmp_path / "pairs.txt").write_text("a\tb\t3\na\tnobody\t2\nc\tc\t9\nlate\tb\t8\n")
    result = evaluate_similarity(vectors, tmp_path / "pairs.txt", top=3, unknown="mean")
    half = np.sqrt(0.5)  # the mean of the three first is b's direction
    assert result.pearson == pytest.approx(scipy.stats.pearsonr([3, 2, 9, 8], [half, half, 1, 1]).statistic, abs=1e-6)
    assert (result.pairs, result.known) == (4, 2)
    assert evaluate_similarity(vectors, tmp_path / "pairs.txt", top=3).known == 2


def test_interval_equals_a_bootstrap() -> None:
    rng = np.random.default_rng(4)
    one = rng.normal(size=60).round(1)
    other = (one + rng.normal(size=60)).round(1)
    draws = np.random.default_rng(0).integers(60, size=(1000, 60))
    each = [scipy.stats.spearmanr(one[row], other[row]).statistic for row in draws]
    assert evaluation.spearman_interval(one, other) == pytest.approx(np.quantile(each, [0.025, 0.975]), abs=1e-12)


def test_two_pairs_have_an_interval(cased: Both, tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("king1\tqueen1\t1\nking2\tking3\t2\n")
    result = evaluate_similarity(cased[0], tmp_path / "pairs.txt")
    assert (result.low, result.high) == pytest.approx((result.spearman, result.spearman))


@pytest.mark.parametrize(
    ("evaluate", "content", "message"),
    [
        (evaluate_similarity, b"", "none of its 0 lines is word<TAB>word<TAB>score$"),
        (evaluate_similarity, b"a,b,score\na,b,1\n", r"none of its 2 lines .* \(line 1 is 'a,b,score'\); other forms"),
        (evaluate_similarity, b"king1\tqueen1\tnan\n", "none of its 1 lines is"),
        (evaluate_similarity, b"king1\tqueen1\t1\nking1\tnobody\t2\n", "under two of its 2 pairs have"),
        (evaluate_similarity, b"king1\tqueen1\t1\nking1\tqueen2\t1\n", "all its scores are 1,"),
        (evaluate_similarity, b"king1\tqueen1\t1\nking1\tqueen1\t2\n", "all its cosines are"),
        (evaluate_similarity, b"caf\xe9\tbar\t3\n", "line 1 is not UTF-8"),
        (evaluate_analogies, b": a\ncaf\xe9 b c d\n", "line 2 is not UTF-8"),
    ],
)
def test_invalid_files_are_refused(evaluate: Any, content: bytes, message: str, cased: Both, tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_bytes(content)
    with pytest.raises(InputError, match=f"set.txt: {message}"):
        evaluate(cased[0], tmp_path / "set.txt")
