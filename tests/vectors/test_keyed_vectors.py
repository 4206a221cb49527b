"""Queries, with gensim as the witness."""

import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.errors import InputError
from w2v_jax.vectors.keyed_vectors import KeyedVectors


@pytest.fixture(scope="module")
def both() -> tuple[KeyedVectors, Gensim]:
    words = [f"w{i}" for i in range(300)]
    table = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32)
    theirs = Gensim(20)
    theirs.add_vectors(words, table)
    return KeyedVectors(words, table), theirs


@pytest.mark.parametrize(
    ("positive", "negative"),
    [("w3", ()), (["w3"], []), (["w1", "w2"], ["w7"]), (["w1"], ["w2", "w3", "w4"]), (["w5", "w5"], []), ([], ["w9"])],
)
def test_most_similar_is_gensims(positive: list[str], negative: list[str], both: tuple[KeyedVectors, Gensim]) -> None:
    ours, theirs = both
    got = ours.most_similar(positive, negative, topn=7)
    expected = theirs.most_similar(positive, list(negative), topn=7)
    assert [word for word, _ in got] == [word for word, _ in expected]
    np.testing.assert_allclose([c for _, c in got], [c for _, c in expected], rtol=1e-5)


def test_many_queries_are_as_each_alone(both: tuple[KeyedVectors, Gensim]) -> None:
    ours, _ = both
    queries = ["w0", (["w1", "w2"], ["w3"]), "w299"]
    together = ours.most_similar_each(queries, topn=4)
    for query, got in zip(queries, together, strict=True):
        alone = ours.most_similar(query, topn=4) if isinstance(query, str) else ours.most_similar(*query, topn=4)
        assert [word for word, _ in got] == [word for word, _ in alone]


def test_similarity_is_gensims(both: tuple[KeyedVectors, Gensim]) -> None:
    ours, theirs = both
    assert ours.similarity("w1", "w2") == pytest.approx(float(theirs.similarity("w1", "w2")), rel=1e-5)
    assert ours.similarity("w1", "w1") == pytest.approx(1)


def test_no_more_words_than_there_are() -> None:
    vectors = KeyedVectors(["a", "b", "zero"], np.array([[1, 0], [1, 1], [0, 0]], np.float32))
    assert [word for word, _ in vectors.most_similar("a", topn=50)] == ["b", "zero"]
    assert vectors.most_similar("zero")[0][1] == 0  # not a number divided by zero


def test_unknown_words_and_no_words(both: tuple[KeyedVectors, Gensim]) -> None:
    ours, _ = both
    for ask in (lambda: ours.most_similar("w30x"), lambda: ours.similarity("w1", "w30x"), lambda: ours["w30x"]):
        with pytest.raises(InputError, match="'w30x' is not in the vocabulary; did you mean"):
            ask()
    with pytest.raises(InputError, match="at least one word"):
        ours.most_similar([])
    with pytest.raises(InputError, match="2 words but 1 vectors"):
        KeyedVectors(["a", "b"], np.zeros((1, 2), np.float32))
