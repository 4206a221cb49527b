"""The start of a training on counts: PPMI's scores, and lower the more it has learned from frequent words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.config import TextConfig, TrainConfig
from w2v_jax.text.cooccurrence import Cooccurrence
from w2v_jax.text.corpus import Corpus
from w2v_jax.training import coarse_to_fine as module
from w2v_jax.training.coarse_to_fine import among_first, coarse_to_fine, extended, start_from_ppmi
from w2v_jax.training.counts_problem import loss_and_gradient

pytestmark = pytest.mark.usefixtures("several_blocks")


def test_the_start_scores_a_word_by_its_pmi_and_its_frequency(corpus: Corpus) -> None:
    """With as many numbers as words, the start is PPMI itself, and log P(o) beside it."""
    counts = Cooccurrence.from_corpus(corpus, TrainConfig(window=3, sample=0.0))
    params = start_from_ppmi(counts, len(corpus.vocabulary) + 1, seed=0)
    dense = counts.matrix.toarray().astype(np.float64)
    share = dense.sum(0) / dense.sum()
    pmi = np.log(np.maximum(dense, 1e-30) * dense.sum() / np.outer(dense.sum(1), dense.sum(0)))
    expected = pmi.clip(0) + np.log(share) - np.log(share).mean()
    np.testing.assert_allclose(params.center @ params.outside.T, expected, atol=1e-3)


@pytest.fixture(scope="module")
def topics() -> Cooccurrence:
    """Counts of a text of some hundred words, frequent and rare, of a few topics."""
    rng = np.random.default_rng(0)
    words = np.arange(240)
    chance = (1 / (words + 5.0)) * np.where(words % 6 == np.arange(6)[:, None], 8.0, 1.0)
    lines = [[f"w{w}" for w in rng.choice(words, 30, p=chance[i % 6] / chance[i % 6].sum())] for i in range(1_500)]
    return Cooccurrence.from_corpus(Corpus.from_sentences(lines, TextConfig(min_count=1)), TrainConfig(sample=0.0))


def test_frequent_words_first_starts_lower_than_ppmi(topics: Cooccurrence, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    see = lambda counts, words: (sizes.append(words), among_first(counts, words))[1]
    monkeypatch.setattr(module, "among_first", see)
    monkeypatch.setattr(module, "WORDS_A_NUMBER", 3)
    params, problem = coarse_to_fine(topics, 5, 0)
    ppmi = start_from_ppmi(topics, 5, 0)
    found, alone = (float(loss_and_gradient(start, problem)[0][0]) for start in (params, ppmi))
    assert sizes == [15, 60]
    share = np.asarray(problem.outside_share)
    unigram = -(share * np.log(share)).sum()
    assert unigram - found > 1.2 * (unigram - alone)
    assert not np.allclose(params.center[60:], ppmi.center[60:], atol=0.01)


def test_few_words_start_from_ppmi_itself(topics: Cooccurrence) -> None:
    (found, _), expected = coarse_to_fine(topics, 7, 1), start_from_ppmi(topics, 7, 1)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_counts_among_the_first_words_are_a_corner(topics: Cooccurrence) -> None:
    found = among_first(topics, 50)
    assert len(found) == 50
    np.testing.assert_array_equal(found.matrix.toarray(), topics.matrix.toarray()[:50, :50])
    assert found.matrix.has_canonical_format


def test_words_that_were_not_trained_go_where_the_others_map_them() -> None:
    rng = np.random.default_rng(0)
    table, mixing = rng.normal(size=(9, 3)).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)
    share = jnp.asarray([0.3, 0.3, 0.2, 0.1, 0.1], jnp.float32)
    extend = lambda trained: extended(jnp.asarray(table), jnp.asarray(trained), share)
    np.testing.assert_allclose(extend(table[:5] @ mixing), table @ mixing, atol=1e-5)
    trained = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(extend(trained)[:5], trained)
    weighted = np.where(np.arange(5)[:, None] == 1, trained + 9, table[:5] @ mixing)
    np.testing.assert_allclose(
        extended(jnp.asarray(table), jnp.asarray(weighted), share.at[1].set(0))[5:], table[5:] @ mixing, atol=1e-4
    )


@pytest.mark.parametrize("pairs", [0, 3])
def test_frequent_words_that_are_seldom_beside_one_another_start_from_ppmi(
    pairs: int,
) -> None:
    rng = np.random.default_rng(0)
    lines = [[f"hub{rng.integers(50)}", f"leaf{rng.integers(150)}"] for _ in range(3_000)] + [["hub0", "hub1"]] * pairs
    counts = Cooccurrence.from_corpus(Corpus.from_sentences(lines, TextConfig(min_count=1)), TrainConfig(sample=0.0))
    params, problem = coarse_to_fine(counts, 4, 0)
    nats, of_ppmi = (loss_and_gradient(start, problem)[0][0] for start in (params, start_from_ppmi(counts, 4, 0)))
    assert float(nats) < float(of_ppmi) + 0.05
