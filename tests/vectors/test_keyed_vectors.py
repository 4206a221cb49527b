"""Queries, with gensim as the witness."""

from collections.abc import Callable

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim
from gensim.models import Word2Vec

from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.queries import normalize

Both = tuple[KeyedVectors, Gensim]


A_VECTOR = np.arange(20, dtype=np.float32) / 10 - 1


def assert_same(got: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [word for word, _ in got] == [word for word, _ in expected]
    np.testing.assert_allclose([c for _, c in got], [c for _, c in expected], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        ("w3", ()),
        (["w3"], []),
        (["w1", "w2"], ["w7"]),
        (["w1"], ["w2", "w3", "w4"]),
        (["w5", "w5"], []),
        ([], ["w9"]),
        ([("w1", 2.5), "w2"], [("w7", -0.5), "w8"]),
        ([("w1", -1.0)], [("w2", 3.0)]),
        (A_VECTOR, ()),
        (["w1", A_VECTOR, (A_VECTOR, 0.5)], ["w2"]),
    ],
)
def test_most_similar_is_gensims(positive: list[str], negative: list[str], plain: Both) -> None:
    ours, theirs = plain
    assert_same(
        ours.most_similar(positive, negative, topn=7),
        theirs.most_similar(positive, negative if isinstance(negative, str) else list(negative), topn=7),
    )


@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`")
@pytest.mark.parametrize(
    ("positive", "negative"), [("w3", ()), (["w1", "w2"], ["w7"]), (["w1"], ["w2", "w3"]), (["w1", "w1"], ["w1"])]
)
def test_3cosmul_is_gensims(positive: list[str], negative: list[str], plain: Both) -> None:
    ours, theirs = plain
    expected = theirs.most_similar_cosmul(positive, list(negative), topn=7)
    assert_same(ours.most_similar(positive, negative, topn=7, method="3cosmul"), expected)
    if negative:
        assert expected != ours.most_similar(positive, negative, topn=7)


def test_answers_among_some(plain: Both) -> None:
    ours, theirs = plain
    every = theirs.most_similar(["w1", "w2"], ["w7"], topn=300)
    some = ["w50", "w3", "w1", "w299", "w7", "w3"]
    mask = np.zeros(300, bool)
    mask[100:200] = True
    for among, kept in (
        (some, {"w50", "w3", "w299"}), (mask, {f"w{i}" for i in range(100, 200)}), (["w1", "w7"], set()), ([], set()),
        (["w0"], {"w0"}), (~mask | mask, {word for word, _ in every}),
    ):  # fmt: skip
        expected = [(word, cosine) for word, cosine in every if word in kept][:150]
        assert_same(ours.most_similar(["w1", "w2"], ["w7"], topn=150, among=among), expected[:150])


def test_many_queries_are_as_each_alone(plain: Both) -> None:
    ours, _ = plain
    queries = ["w0", (["w1", "w2"], ["w3"]), "w299"]
    together = ours.most_similar_each(queries, topn=4)
    for query, got in zip(queries, together, strict=True):
        alone = ours.most_similar(query, topn=4) if isinstance(query, str) else ours.most_similar(*query, topn=4)
        assert [word for word, _ in got] == [word for word, _ in alone]


def test_similarity_is_gensims(plain: Both) -> None:
    ours, theirs = plain
    assert ours.similarity("w1", "w2") == pytest.approx(float(theirs.similarity("w1", "w2")), rel=1e-5)
    assert ours.similarity("w1", "w1") == pytest.approx(1)


def test_no_more_words_than_there_are() -> None:
    vectors = KeyedVectors(["a", "b", "zero"], np.array([[1, 0], [1, 1], [0, 0]], np.float32))
    assert [word for word, _ in vectors.most_similar("a", topn=50)] == ["b", "zero"]
    assert vectors.most_similar("zero")[0][1] == 0  # not a number divided by zero


def test_unknown_words_and_no_words(plain: Both) -> None:
    ours, _ = plain
    for ask in (lambda: ours.most_similar("w30x"), lambda: ours.similarity("w1", "w30x"), lambda: ours["w30x"]):
        with pytest.raises(InputError, match="'w30x' is not in the vocabulary; did you mean"):
            ask()
    with pytest.raises(InputError, match="at least one word"):
        ours.most_similar([])
    with pytest.raises(InputError, match="2 words but 1 vectors"):
        KeyedVectors(["a", "b"], np.zeros((1, 2), np.float32))
    with pytest.raises(InputError, match="topn is 0; it must be at least 1"):
        ours.most_similar("w1", topn=0)
    for each in (ours.mean_vector, ours.doesnt_match, lambda words: ours.n_similarity(words, ["w1"])):
        with pytest.raises(InputError, match="a list of words is needed"):
            each([])
        with pytest.raises(InputError, match="'w30x' is not in the vocabulary"):
            each(["w1", "w30x"])
    with pytest.raises(InputError, match="a list of words is needed.*'w1'"):
        ours.mean_vector("w1")
    for weights in ([1.0], [0.0, 0.0]):
        with pytest.raises(InputError, match=r"2 words but . weights; each word needs one, and not all of them 0"):
            ours.mean_vector(["w1", "w2"], weights)


def test_many_ranks_are_those_of_each_pair(plain: Both) -> None:
    ours, theirs = plain
    pairs = [(f"w{i}", f"w{7 * i % 300}") for i in range(70)]
    assert ours.ranks(pairs) == [theirs.rank(*pair) for pair in pairs] == [ours.rank(*pair) for pair in pairs]
    assert ours.ranks([]) == []
    with pytest.raises(InputError, match="'w30x' is not in the vocabulary"):
        ours.ranks([("w1", "w2"), ("w1", "w30x")])


def test_distances_ranks_and_means_are_gensims(plain: Both) -> None:
    ours, theirs = plain
    for word in ("w1", A_VECTOR):
        np.testing.assert_allclose(ours.distances(word), theirs.distances(word), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            ours.distances(word, ["w9", "w2"]), theirs.distances(word, ["w9", "w2"]), rtol=1e-5, atol=1e-6
        )
    for other in ("w2", "w50", "w1", theirs.most_similar("w1")[0][0]):
        assert ours.rank("w1", other) == theirs.rank("w1", other)
        assert ours.closer_than("w1", other) == theirs.closer_than("w1", other)
    for words in (["w1", "w2", "w3"], ["w4"], [f"w{i}" for i in range(40, 60)]):
        assert ours.doesnt_match(words) == theirs.doesnt_match(words)
        weights = np.linspace(-1, 2, len(words), dtype=np.float32)
        np.testing.assert_allclose(ours.mean_vector(words), theirs.get_mean_vector(words), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            ours.mean_vector(words, weights), theirs.get_mean_vector(words, weights), rtol=1e-5, atol=1e-6
        )
        assert ours.n_similarity(words, ["w9", "w2"]) == pytest.approx(theirs.n_similarity(words, ["w9", "w2"]), 1e-5)


def trained(scale: float) -> tuple[KeyedVectors, Word2Vec]:
    """Both tables here, and in a gensim model."""
    theirs = Word2Vec([[f"w{i}" for i in range(30)]], vector_size=6, min_count=1, epochs=1, sg=1)
    center, outside = scale * np.random.default_rng(0).normal(size=(2, 30, 6)).astype(np.float32)
    theirs.wv.vectors, theirs.syn1neg = center, outside
    other_vectors = np.zeros_like(center)  # training may give others than the center table
    return KeyedVectors(
        theirs.wv.index_to_key, other_vectors, None, Params(*map(jnp.asarray, (center, outside)))
    ), theirs


def test_outside_words_are_predicted_as_gensim_does() -> None:
    ours, theirs = trained(1)
    assert_same(ours.predict_outside("w3", 5), theirs.predict_output_word(["w3"], 5))
    assert sum(p for _, p in ours.predict_outside("w3", 99)) == pytest.approx(1)
    np.testing.assert_array_equal(ours.outside["w3"], theirs.syn1neg[theirs.wv.key_to_index["w3"]])


def test_huge_scores_overflow_there_and_not_here() -> None:
    ours, theirs = trained(100)
    with np.errstate(all="ignore"):
        assert not sum(p for _, p in theirs.predict_output_word(["w3"], 30)) > 0.5
    got = ours.predict_outside("w3", 5)
    scores = theirs.syn1neg.astype(np.float64) @ theirs.wv["w3"]
    assert [word for word, _ in got] == [theirs.wv.index_to_key[i] for i in np.argsort(-scores)[:5]]
    assert got[0][1] == pytest.approx(1)
    assert all(np.isfinite(p) for _, p in got)


def test_no_outside_words_without_their_table(plain: Both) -> None:
    with pytest.raises(InputError, match="there is no outside table here"):
        plain[0].predict_outside("w1")
    with pytest.raises(InputError, match="there is no outside table here"):
        _ = plain[0].outside


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_vectors_of_half_precision_are_asked_in_single(dtype: type, plain: Both) -> None:
    half = KeyedVectors(plain[0].words, plain[0].vectors.astype(dtype))
    single = KeyedVectors(half.words, half.vectors.astype(np.float32))
    assert half.unit.dtype == np.float32
    for ask in (
        lambda some: some.most_similar(["w1", "w2"], ["w7"]),
        lambda some: some.most_similar(["w1", "w2"], ["w7"], method="3cosmul"),
        lambda some: some.distances("w1").tolist(),
        lambda some: (some.rank("w1", "w2"), some.doesnt_match(["w1", "w2", "w3"])),
        lambda some: some.mean_vector(["w1", "w2"]).tolist(),
        lambda some: some.n_similarity(["w1", "w2"], ["w3"]),
    ):
        assert ask(half) == ask(single)


ONE = KeyedVectors(["a", "b"], np.eye(2, dtype=np.float32))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: ONE.most_similar("a", method="3CosAdd"), "method is '3CosAdd'; it must be one of 3cosadd, 3cosmul"),
        (lambda: ONE.most_similar("a", among="ab"), "a list of words, or a mask, is needed; here is 'ab'"),
        (lambda: ONE.most_similar_each("ab"), "a list of queries is needed; here is 'ab'"),
        (lambda: ONE.predict_outside("a", topn=0), "topn is 0"),
        (lambda: KeyedVectors(["a", "b", "a"], np.eye(3))["b"], "the word 'a' stands twice"),
        (lambda: KeyedVectors(["a"], np.eye(1), np.array([1, 2])), "1 words but 2 counts"),
        (lambda: KeyedVectors(["a"], np.eye(1), None, Params(jnp.eye(1), jnp.eye(2))), "1 words but 2 outside vectors"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_no_answer_should_hide(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask()


def test_it_holds_its_words() -> None:
    assert ("a" in ONE, "c" in ONE, list(ONE)) == (True, False, ["a", "b"])


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_huge_and_tiny_vectors_have_directions(size: float) -> None:
    vectors = KeyedVectors(["a", "b", "c"], np.array([[3, 4], [4, 3], [0, 0]], np.float32) * np.float32(size))
    assert vectors.similarity("a", "b") == pytest.approx(0.96)
    assert not vectors.unit[2].any()


def test_scaling_by_a_power_of_two_changes_no_bit() -> None:
    rows = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32)
    plain = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(KeyedVectors([str(i) for i in range(500)], rows).unit, plain, rtol=2e-7)
    np.testing.assert_array_equal(normalize(jnp.asarray(rows)), normalize(jnp.asarray(rows * np.float32(2**40))))
