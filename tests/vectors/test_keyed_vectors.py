"""Queries on word vectors, compared with gensim."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.special
from gensim.models import KeyedVectors as Gensim
from gensim.models import Word2Vec

from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.search import EPSILON, normalize

Both = tuple[KeyedVectors, Gensim]
A_VECTOR = np.arange(20, dtype=np.float32) / 10 - 1


def assert_same(got: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [word for word, _ in got] == [word for word, _ in expected]
    np.testing.assert_allclose([c for _, c in got], [c for _, c in expected], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("positive", "negative"),
    [("w3", ()), (["w3"], []), (["w1", "w2"], ["w7"]), (["w1"], ["w2", "w3", "w4"]), (["w5", "w5"], []), ([], ["w9"]),
     ([("w1", 2.5), "w2"], [("w7", -0.5), "w8"]), ([("w1", -1.0)], [("w2", 3.0)]), (A_VECTOR, ()),
     (["w1", A_VECTOR, (A_VECTOR, 0.5)], ["w2"])],
)  # fmt: skip
def test_most_similar_equals_gensim(positive: list[str], negative: list[str], plain: Both) -> None:
    vectors, gensim = plain
    expected = gensim.most_similar(positive, list(negative), topn=7)
    assert_same(vectors.most_similar(positive, negative, topn=7), expected)


@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`")
@pytest.mark.parametrize(
    ("positive", "negative"), [("w3", ()), (["w1", "w2"], ["w7"]), (["w1"], ["w2", "w3"]), (["w1", "w1"], ["w1"])]
)
def test_3cosmul_equals_gensim(positive: list[str], negative: list[str], plain: Both) -> None:
    vectors, gensim = plain
    expected = gensim.most_similar_cosmul(positive, list(negative), topn=7)
    assert_same(vectors.most_similar(positive, negative, topn=7, method="3cosmul"), expected)
    if negative:
        assert expected != vectors.most_similar(positive, negative, topn=7)


def test_among_restricts_the_answers(plain: Both) -> None:
    vectors, gensim = plain
    every = gensim.most_similar(["w1", "w2"], ["w7"], topn=300)
    subset = ["w50", "w3", "w1", "w299", "w7", "w3"]
    mask = np.zeros(300, bool)
    mask[100:200] = True
    for among, kept in (
        (subset, {"w50", "w3", "w299"}), (mask, {f"w{i}" for i in range(100, 200)}), (["w1", "w7"], set()), ([], set()),
        (["w0"], {"w0"}), (~mask | mask, {word for word, _ in every}),
    ):  # fmt: skip
        expected = [(word, cosine) for word, cosine in every if word in kept][:150]
        assert_same(vectors.most_similar(["w1", "w2"], ["w7"], topn=150, among=among), expected[:150])


def test_batched_queries_equal_single_ones(plain: Both) -> None:
    vectors, gensim = plain
    queries = ["w0", (["w1", "w2"], ["w3"]), "w299", (["w1", ("w2", 0.5)], [A_VECTOR, ("w4", -3.0)]), (A_VECTOR, "w5")]
    together = vectors.most_similar_each(queries, topn=4)
    for query, got in zip(queries, together, strict=True):
        assert_same(got, vectors.most_similar(*((query,) if isinstance(query, str) else query), topn=4))
    pairs = [(f"w{i}", f"w{7 * i % 300}") for i in range(70)]
    assert vectors.ranks(pairs) == [gensim.rank(*pair) for pair in pairs] == [vectors.rank(*pair) for pair in pairs]
    assert vectors.ranks([]) == []


@pytest.mark.usefixtures("unchecked")
def test_cosines_are_at_most_one_and_topn_may_be_of_numpy() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 7)).astype(np.float32)
    vectors = KeyedVectors([*map(str, range(800))], np.concatenate([rows, 3 * rows]))
    unit = vectors.unit
    assert max((unit * unit).sum(1)) > 1  # by rounding
    pairs = [(str(i), str(i + 400)) for i in range(400)]
    assert max(vectors.similarity(*pair) for pair in pairs) == 1
    assert max(vectors.n_similarity([one], [other]) for one, other in pairs) <= 1
    assert min(vectors.distances(one, [other])[0] for one, other in pairs) == 0
    best = vectors.most_similar_each([one for one, _ in pairs], topn=np.int64(1))
    assert max(score for ((_, score),) in best) == 1


def test_topn_beyond_the_vocabulary_returns_all_words() -> None:
    vectors = KeyedVectors(["a", "b", "zero"], np.array([[1, 0], [1, 1], [0, 0]], np.float32))
    assert [word for word, _ in vectors.most_similar("a", topn=50)] == ["b", "zero"]
    assert vectors.most_similar("zero")[0][1] == 0  # not a number divided by zero


def test_distances_ranks_and_means_equal_gensim(plain: Both) -> None:
    vectors, gensim = plain
    for word in ("w1", A_VECTOR):
        np.testing.assert_allclose(vectors.distances(word), gensim.distances(word), rtol=1e-5, atol=1e-6)
        subset, expected = vectors.distances(word, ["w9", "w2"]), gensim.distances(word, ["w9", "w2"])
        np.testing.assert_allclose(subset, expected, rtol=1e-5, atol=1e-6)
    for other in ("w2", "w50", "w1", gensim.most_similar("w1")[0][0]):
        assert vectors.rank("w1", other) == gensim.rank("w1", other)
        assert vectors.closer_than("w1", other) == gensim.closer_than("w1", other)
    for words in (["w1", "w2", "w3"], ["w4"], [f"w{i}" for i in range(40, 60)]):
        assert vectors.doesnt_match(words) == gensim.doesnt_match(words)
        weights = np.linspace(-1, 2, len(words), dtype=np.float32)
        for options in ((words,), (words, weights)):
            expected = gensim.get_mean_vector(*options)
            np.testing.assert_allclose(vectors.mean_vector(*options), expected, rtol=1e-5, atol=1e-6)
        expected = gensim.n_similarity(words, ["w9", "w2"])
        assert vectors.n_similarity(words, ["w9", "w2"]) == pytest.approx(expected, 1e-5)


def trained(scale: float) -> tuple[KeyedVectors, Word2Vec]:
    """Both tables here, and in a gensim model."""
    gensim = Word2Vec([[f"w{i}" for i in range(30)]], vector_size=6, min_count=1, epochs=1, sg=1)
    center, outside = scale * np.random.default_rng(0).normal(size=(2, 30, 6)).astype(np.float32)
    gensim.wv.vectors, gensim.syn1neg = center, outside
    other_vectors = np.zeros_like(center)  # training may give others than the center table
    params = Params(jnp.asarray(center), jnp.asarray(outside))
    return KeyedVectors(gensim.wv.index_to_key, other_vectors, None, params), gensim


def test_predict_outside_equals_gensim() -> None:
    vectors, gensim = trained(1)
    assert_same(vectors.predict_outside("w3", 5), gensim.predict_output_word(["w3"], 5))
    assert sum(p for _, p in vectors.predict_outside("w3", 99)) == pytest.approx(1)
    np.testing.assert_array_equal(vectors.outside["w3"], gensim.syn1neg[gensim.wv.key_to_index["w3"]])


def test_huge_scores_do_not_overflow_as_in_gensim() -> None:
    vectors, gensim = trained(100)
    with np.errstate(all="ignore"):
        assert not sum(p for _, p in gensim.predict_output_word(["w3"], 30)) > 0.5
    got = vectors.predict_outside("w3", 5)
    scores = gensim.syn1neg.astype(np.float64) @ gensim.wv["w3"]
    assert [word for word, _ in got] == [gensim.wv.index_to_key[i] for i in np.argsort(-scores)[:5]]
    assert got[0][1] == pytest.approx(1)
    assert all(np.isfinite(p) for _, p in got)


ONE = KeyedVectors(["a", "b"], np.eye(2, dtype=np.float32))
OF_LISTS = (ONE.mean_vector, ONE.doesnt_match, lambda words: ONE.n_similarity(words, ["a"]))
OF_A_VECTOR = (ONE.most_similar, ONE.distances, lambda vector: ONE.most_similar(["a", (vector, 2.0)], [vector]))
BAD_VECTORS = [
    *[(bad, "a vector holds NaN, an infinity, or zeros only") for bad in ([1, np.nan], [np.inf, 1], [0.0, 0.0])],
    ([1.0], "a vector of 2 numbers, not array"), (["a", "b"], "a vector of 2 numbers, not array"),
]  # fmt: skip
OF_A_WORD = (ONE.most_similar, partial(ONE.similarity, "a"), ONE.__getitem__)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: ONE.most_similar("a", method="3CosAdd"), "method is '3CosAdd'; it must be one of 3cosadd, 3cosmul"),
        (lambda: ONE.most_similar("a", among="ab"), "among must be a list of words or a mask, not 'ab'"),
        (lambda: ONE.most_similar_each("ab"), "queries must be a list, not 'ab'"),
        (lambda: ONE.most_similar("a", among=["x"]), "'x' is not in the vocabulary"),
        (lambda: ONE.most_similar("a", among=np.ones(3, bool)), r"a mask of shape \(3,\) for 2 words"),
        (lambda: ONE.most_similar([np.zeros(3, np.float32)]), "a vector of 2 numbers, not array"),
        (lambda: ONE.most_similar([("a", 2.0)], method="3cosmul"), "3cosmul takes no weights, but 'a' has the weight"),
        (lambda: ONE.most_similar("b", ["x"]), "'x' is not in the vocabulary"),
        (lambda: ONE.predict_outside("a", topn=0), "topn is 0"),
        (lambda: ONE.predict_outside("a"), "there is no .* table of words"),
        (lambda: ONE.outside, "there is no .* table of words"),
        (lambda: ONE.most_similar("a", topn=0), "topn is 0; it must be at least 1"),
        (lambda: ONE.most_similar("a", topn=np.int64(-1)), "topn is -1; it must be at least 1"),
        (lambda: ONE.most_similar("a", topn=1.5), "topn is 1.5; it must be an integer"),
        *[(partial(ask, np.array(bad)), message) for bad, message in BAD_VECTORS for ask in OF_A_VECTOR],
        (lambda: ONE.most_similar([("a", np.nan)]), "a weight is not finite"),
        (lambda: ONE.mean_vector(["a", "b"], [np.nan, 1]), "2 words but 2 weights; each needs a finite one"),
        (lambda: KeyedVectors(["a"], np.zeros(1)), r"vectors are float64\(1,\); they must be words × numbers"),
        (lambda: KeyedVectors(["a"], np.array([["1"]])), "vectors are <U1"),
        (lambda: KeyedVectors(["a", "b"], np.array([[1], [np.nan]])).unit, "the vector of 'b' holds a number"),
        (lambda: ONE.doesnt_match([["a"]]), "is not in the vocabulary"),  # type: ignore[list-item]
        (lambda: ONE.most_similar([]), "at least one word"),
        (lambda: ONE.ranks([("a", "b"), ("a", "c")]), "'c' is not in the vocabulary"),
        *[(partial(query, "c"), "'c' is not in the vocabulary") for query in OF_A_WORD],
        *[(partial(query, ["a", "c"]), "'c' is not in the vocabulary") for query in OF_LISTS],
        *[(partial(query, []), "a list of one or more words is needed") for query in OF_LISTS],
        (lambda: ONE.mean_vector("a"), "a list of one or more words is needed, not 'a'"),
        (lambda: ONE.mean_vector(["a", "b"], [1.0]), "2 words but 1 weights; each needs a finite one"),
        (lambda: ONE.mean_vector(["a", "b"], [0.0, 0.0]), "2 words but 2 weights; .* not all of them 0"),
        (lambda: KeyedVectors(["a", "b"], np.zeros((1, 2))), "2 words but 1 vectors"),
        (lambda: KeyedVectors(["a", "b", "a"], np.eye(3))["b"], "the word 'a' is repeated"),
        (lambda: KeyedVectors(["a"], np.eye(1), np.array([1, 2])), "1 words but 2 counts"),
        (lambda: KeyedVectors(["a"], np.eye(1), None, Params(jnp.eye(1), jnp.eye(2))), "1 words but 2 outside vectors"),
        (lambda: KeyedVectors(["a"], np.eye(1), None, {"x": jnp.ones(2)}), r"table 'x' is float32\(2,\); it must be"),
        (lambda: KeyedVectors(["a"], np.eye(1), None, {"x": np.eye(2, dtype=int)}), "table 'x' is int64"),
        (lambda: KeyedVectors(["a"], np.eye(1), None, {"outside": jnp.eye(2)}).outside, "there is no outside table"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_invalid_vectors_and_queries_are_refused(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask()


def test_container_protocol() -> None:
    assert ("a" in ONE, "c" in ONE, list(ONE)) == (True, False, ["a", "b"])


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_huge_and_tiny_vectors_are_normalised(size: float) -> None:
    vectors = KeyedVectors(["a", "b", "c"], np.array([[3, 4], [4, 3], [0, 0]], np.float32) * np.float32(size))
    assert vectors.similarity("a", "b") == pytest.approx(0.96)
    assert not vectors.unit[2].any()


def test_columns_of_a_table_and_masks_of_any_kind_are_taken() -> None:
    class Column(Sequence[str]):
        """Like a sorted pandas column: [] takes labels, iteration goes by position."""

        def __iter__(self) -> Iterator[str]:
            return iter(["a", "b", "c"])

        def __len__(self) -> int:
            return 3

        def __getitem__(self, label: Any) -> Any:
            return ["c", "b", "a"][label]

    vectors = KeyedVectors(Column(), np.array([[1, 0], [3, 4], [0, 1]], np.float32))
    assert [word for word, _ in vectors.most_similar("a")] == ["b", "c"]
    for mask in ([False, False, True], jnp.array([False, False, True])):
        assert [word for word, _ in vectors.most_similar("a", among=mask)] == ["c"]


def test_scaling_by_a_power_of_two_changes_no_bit() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32)
    plain = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(KeyedVectors([str(i) for i in range(500)], rows).unit, plain, rtol=2e-7)
    np.testing.assert_array_equal(normalize(rows), normalize(rows * np.float32(2**40)))


@pytest.mark.parametrize("vectors_dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_queries_keep_float64(vectors_dtype: Any, dtype: str) -> None:
    """Without JAX's switch for float64 too, and queries may have any precision; trained tables need the switch."""
    double = vectors_dtype == np.float64
    tolerance = 1e-14 if double else 1e-6
    words, (center, outside) = [f"w{i}" for i in range(300)], np.random.default_rng(0).normal(size=(2, 300, 8))
    rows, outside = center.astype(vectors_dtype), outside.astype(vectors_dtype)
    vectors = KeyedVectors(words, rows, None, Params(jnp.asarray(rows), jnp.asarray(outside)))
    exact = rows.astype(np.float64)
    unit = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    cosines = unit @ unit[1]
    for term in ("w1", rows[1], exact[1]):
        distances = vectors.distances(term)
        assert distances.dtype == (np.float64 if double else np.float32)
        np.testing.assert_allclose(distances, 1 - cosines, atol=tolerance)
    assert vectors.similarity("w1", "w2") == pytest.approx(cosines[2], abs=tolerance)
    assert vectors.ranks([("w1", "w2")]) == [vectors.rank("w1", "w2")] == [(cosines > cosines[2]).sum()]
    assert vectors.doesnt_match(words[:9]) == words[(unit[:9] @ unit[:9].mean(0)).argmin()]
    query = unit[1] + unit[2] - 2 * unit[3]
    shifted = (1 + unit @ unit[1:4].T) / 2
    for negative, method, scores in (
        (("w3", -2.0), "3cosadd", unit @ query / np.linalg.norm(query)),
        ("w3", "3cosmul", shifted[:, 0] * shifted[:, 1] / (shifted[:, 2] + EPSILON)),
    ):
        scores[1:4] = -np.inf
        ((word, score),) = vectors.most_similar(["w1", "w2"], [negative], topn=1, method=method, among=scores > -2)
        assert word == words[scores.argmax()]
        assert score == pytest.approx(scores.max(), rel=10 * tolerance)
    (mean, other) = exact[1:3].mean(0), exact[3:5].mean(0)
    cosine = mean @ other / np.linalg.norm(mean) / np.linalg.norm(other)
    assert vectors.n_similarity(["w1", "w2"], ["w3", "w4"]) == pytest.approx(cosine, abs=tolerance)
    y_hat = scipy.special.softmax(outside.astype(np.float64) @ exact[1])
    ((word, probability),) = vectors.predict_outside("w1", topn=1)
    assert word == words[y_hat.argmax()]
    tolerance = 1e-2 if rows.dtype.itemsize == 2 else 1e-13 if double and dtype == "float64" else 1e-5
    assert probability == pytest.approx(y_hat.max(), rel=tolerance)


def test_summary() -> None:
    table = np.array([[0, 1], [0, 2], [0, 5], [0, 4], [0, 3]], np.float16)
    for counts, params in ((None, None), (np.arange(5), Params(jnp.ones((5, 2)), jnp.ones((5, 2))))):
        summary = KeyedVectors(list("abcde"), table, counts, params).summary()
        assert list(summary.values()) == [5, 2, "float16", [1, 2, 3, 4, 5], list("abcde"), *[counts is not None] * 2]
    assert KeyedVectors([], np.zeros((0, 2), np.float32)).summary()["lengths"] == []
