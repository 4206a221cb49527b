"""Initial tables of training on counts: PPMI's factors, improved on frequent words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.config import TextConfig
from w2v_jax.counts import coarse_to_fine as module
from w2v_jax.counts.coarse_to_fine import coarse_to_fine, extrapolate_rows, init_from_ppmi
from w2v_jax.counts.config import CountsConfig
from w2v_jax.counts.cooccurrence import Cooccurrence
from w2v_jax.counts.softmax import loss_and_gradient, make_problem
from w2v_jax.text.corpus import Corpus

pytestmark = pytest.mark.usefixtures("several_blocks")


def test_initial_scores_are_ppmi_plus_log_frequency(corpus: Corpus) -> None:
    """Exactly so with D = V + 1."""
    counts = Cooccurrence.from_corpus(corpus, CountsConfig(window=3, sample=0.0))
    params = init_from_ppmi(counts, len(corpus.vocabulary) + 1, seed=0)
    dense = counts.matrix.toarray().astype(np.float64)
    share = dense.sum(0) / dense.sum()
    pmi = np.log(np.maximum(dense, 1e-30) * dense.sum() / np.outer(dense.sum(1), dense.sum(0)))
    expected = pmi.clip(0) + np.log(share) - np.log(share).mean()
    np.testing.assert_allclose(params.center @ params.outside.T, expected, atol=1e-3)


@pytest.fixture(scope="module")
def topics() -> Cooccurrence:
    """Counts of 240 words, frequent and rare, in six topics."""
    rng = np.random.default_rng(0)
    words = np.arange(240)
    chance = (1 / (words + 5.0)) * np.where(words % 6 == np.arange(6)[:, None], 8.0, 1.0)
    lines = [[f"w{w}" for w in rng.choice(words, 30, p=chance[i % 6] / chance[i % 6].sum())] for i in range(1_500)]
    return Cooccurrence.from_corpus(Corpus.from_sentences(lines, TextConfig(min_count=1)), CountsConfig(sample=0.0))


def test_training_frequent_words_first_beats_ppmi(topics: Cooccurrence, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    spy = lambda counts: (sizes.append(len(counts)), make_problem(counts))[1]
    monkeypatch.setattr(module, "make_problem", spy)
    monkeypatch.setattr(module, "MIN_WORDS_PER_DIM", 3)
    params, problem = coarse_to_fine(topics, 5, 0)
    ppmi = init_from_ppmi(topics, 5, 0)
    nats, ppmi_nats = (float(loss_and_gradient(tables, problem)[0][0]) for tables in (params, ppmi))
    assert sizes == [15, 60, 240]
    share = np.asarray(problem.share[1])
    unigram = -(share * np.log(share)).sum()
    assert unigram - nats > 1.2 * (unigram - ppmi_nats)
    assert not np.allclose(params.center[60:], ppmi.center[60:], atol=0.01)


def test_small_vocabularies_start_from_ppmi(topics: Cooccurrence) -> None:
    (params, _), expected = coarse_to_fine(topics, 7, 1), init_from_ppmi(topics, 7, 1)
    jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_untrained_rows_follow_the_map_of_trained_rows_with_targets() -> None:
    rng = np.random.default_rng(0)
    table, mixing = rng.normal(size=(9, 3)).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)
    share = jnp.asarray([0.3, 0.3, 0.2, 0.1, 0.1], jnp.float32)
    extrapolate = lambda trained: extrapolate_rows(jnp.asarray(table), jnp.asarray(trained), share)
    np.testing.assert_allclose(extrapolate(table[:5] @ mixing), table @ mixing, atol=1e-5)
    trained = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(extrapolate(trained)[:5], trained)
    weighted = np.where(np.arange(5)[:, None] == 1, trained + 9, table[:5] @ mixing)
    rows = extrapolate_rows(jnp.asarray(table), jnp.asarray(weighted), share.at[1].set(0))
    np.testing.assert_allclose(rows[5:], table[5:] @ mixing, atol=1e-4)


@pytest.mark.parametrize("pairs", [0, 3])
def test_frequent_words_that_seldom_co_occur_start_from_ppmi(pairs: int) -> None:
    rng = np.random.default_rng(0)
    lines = [[f"hub{rng.integers(50)}", f"leaf{rng.integers(150)}"] for _ in range(3_000)] + [["hub0", "hub1"]] * pairs
    counts = Cooccurrence.from_corpus(Corpus.from_sentences(lines, TextConfig(min_count=1)), CountsConfig(sample=0.0))
    params, problem = coarse_to_fine(counts, 4, 0)
    nats, ppmi_nats = (loss_and_gradient(x, problem)[0][0] for x in (params, init_from_ppmi(counts, 4, 0)))
    assert float(nats) < float(ppmi_nats) + 0.05
