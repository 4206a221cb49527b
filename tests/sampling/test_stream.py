"""Subsampling, and the stream of blocks: every token once an epoch, windows whole, draws that a position decides."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.config import TILE, StreamConfig, TextConfig
from w2v_jax.params import PAD_ID
from w2v_jax.sampling import stream as stream_module
from w2v_jax.sampling.stream import Dispatch, expected_steps, stream
from w2v_jax.sampling.subsampling import keep_probabilities
from w2v_jax.sampling.windows import context_weights
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.vocabulary import Vocabulary


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few thousand tokens fill many chunks and spans, none of them evenly."""
    monkeypatch.setattr(stream_module, "CHUNK", 256)
    monkeypatch.setattr(stream_module, "HELD_OUT_SPAN", 64)


def corpus_of(lines: int, longest: int) -> Corpus:
    rng = np.random.default_rng(0)
    sentences = [[f"w{i}" for i in rng.zipf(1.4, rng.integers(1, longest)) if i < 200] for _ in range(lines)]
    return Corpus.from_sentences(sentences, TextConfig(min_count=1))


CORPORA = {"lines": corpus_of(300, 20), "one endless line": corpus_of(2, 3000), "shorter than a tile": corpus_of(2, 9)}
DISTINCT = Corpus.from_sentences([[f"{i:04d}" for i in range(3000)]], TextConfig(min_count=1))
every_corpus = pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)


def pairs(dispatches: Iterable[Dispatch], window: int) -> Iterator[tuple[int, int]]:
    """Yield every (center, outside) pair of a stream."""
    for dispatch in dispatches:
        tiles = (part.reshape(-1, TILE + 2 * window) for part in dispatch.blocks)
        for tokens, lines in zip(*tiles, strict=True):
            for i in range(window, window + TILE):
                for j in range(i - window, i + window + 1):
                    if i != j and lines[i] == lines[j] >= 0:
                        yield int(tokens[i]), int(tokens[j])


def centers(dispatches: Iterable[Dispatch], window: int = 5) -> list[int]:
    slots = [[part[..., window : window + TILE] for part in dispatch.blocks] for dispatch in dispatches]
    return [int(token) for tokens, lines in slots for token in tokens[lines >= 0]]


@every_corpus
@pytest.mark.parametrize("window", [1, 5])
def test_every_token_and_every_pair_occurs_once_an_epoch(corpus: Corpus, window: int) -> None:
    config = StreamConfig(sample=0.0, epochs=2, window=window, batch_tokens=64)
    tokens = Counter(corpus.ids.tolist())
    assert Counter(centers(stream(corpus, config, blocks=3), window)) == Counter({w: 2 * n for w, n in tokens.items()})
    expected: Counter[tuple[int, int]] = Counter()
    for line in np.split(corpus.ids, corpus.line_ends[:-1]):
        for i in range(len(line)):
            for j in range(max(0, i - window), min(len(line), i + window + 1)):
                expected[int(line[i]), int(line[j])] += 2 * (i != j)
    assert Counter(pairs(stream(corpus, config, blocks=3), window)) == +expected


@every_corpus
def test_words_read_end_at_the_total_and_padding_holds_no_center(corpus: Corpus) -> None:
    dispatches = list(stream(corpus, StreamConfig(sample=0.0, epochs=3, batch_tokens=64), blocks=4))
    words = [dispatch.words for dispatch in dispatches]
    assert words == sorted(words)
    assert words[-1] == 3 * len(corpus.ids)
    assert {dispatch.filled for dispatch in dispatches[:-1]} <= {4}
    last = dispatches[-1]
    has_center = (last.blocks.lines >= 0).any((1, 2))
    assert has_center[: last.filled].all()
    assert not has_center[last.filled :].any()
    np.testing.assert_array_equal(last.blocks.tokens == PAD_ID, last.blocks.lines == -1)


def test_keep_probabilities_are_those_of_word2vec() -> None:
    counts = np.array([60_000, 3_000, 100, 1])
    threshold = 1e-3 * counts.sum()
    expected = np.minimum((np.sqrt(counts / threshold) + 1) * threshold / counts, 1)  # as word2vec.c writes it
    np.testing.assert_allclose(keep_probabilities(counts, 1e-3), expected, rtol=1e-12)
    assert expected[0] < 0.05
    assert expected[-1] == 1
    np.testing.assert_array_equal(keep_probabilities(np.array([10**9, 1]), 0.0), 1)


def test_subsampling_keeps_tokens_as_often_as_the_formula_says() -> None:
    corpus = CORPORA["one endless line"]
    config = StreamConfig(sample=0.01, epochs=40, batch_tokens=64)
    kept = np.bincount(centers(stream(corpus, config, blocks=4)), minlength=len(corpus.vocabulary))
    keep = keep_probabilities(corpus.vocabulary.counts, 0.01)
    expected = 40 * corpus.vocabulary.counts * keep
    assert keep[0] < 0.3
    np.testing.assert_array_less(np.abs(kept - expected), 5 * np.sqrt(expected) + 1)
    steps = sum(dispatch.filled for dispatch in stream(corpus, config, blocks=4))
    assert abs(steps / expected_steps(corpus, config) - 1) < 0.05


def test_expected_steps_count_this_text_and_not_an_earlier_one() -> None:
    known = Vocabulary(tuple(f"w{i}" for i in range(300)), np.full(300, 10**6))
    rng = np.random.default_rng(0)
    corpus = Corpus.from_sentences([[f"w{i}" for i in rng.integers(0, 400, 3_000)]], TextConfig(), known=known)
    config = StreamConfig(sample=1e-3, epochs=3, batch_tokens=64)
    steps = sum(dispatch.filled for dispatch in stream(corpus, config, blocks=4))
    assert abs(steps / expected_steps(corpus, config) - 1) < 0.05


def test_windows_close_over_dropped_words() -> None:
    corpus = Corpus.from_sentences([["often"] * 80 + ["left"] + ["often"] * 20 + ["right"]], TextConfig(min_count=1))
    config = StreamConfig(sample=0.01, window=3, epochs=100, batch_tokens=32)
    left, right = corpus.vocabulary["left"], corpus.vocabulary["right"]
    assert (left, right) in set(pairs(stream(corpus, config, blocks=2), 3))


def test_window_beyond_the_longest_line_costs_no_more_than_the_line() -> None:
    shapes = [
        next(stream(CORPORA["lines"], StreamConfig(sample=0.0, window=window, batch_tokens=64), blocks=2))
        .blocks[0]
        .shape
        for window in (17, 40, 2**31 - 1)
    ]
    assert CORPORA["lines"].longest_line == 18
    assert shapes == [(2, 4, TILE + 2 * 17)] * 3
    weights = context_weights(jnp.zeros(TILE + 2 * 17, jnp.int32), window=2**31 - 1)
    np.testing.assert_array_equal(weights[0], np.arange(TILE + 2 * 17) != 17)


def test_seed_decides_the_stream() -> None:
    configs = [StreamConfig(sample=0.01, epochs=2, batch_tokens=64, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (centers(stream(CORPORA["lines"], config, blocks=2)) for config in configs)
    assert first == again != other


@every_corpus
@pytest.mark.parametrize("window", [1, 5, 40])
@pytest.mark.parametrize("held_out", [0.0, 0.3])
def test_stream_started_at_any_block_continues_the_same(corpus: Corpus, window: int, held_out: float) -> None:
    config = StreamConfig(sample=0.02, epochs=3, window=window, batch_tokens=128, held_out=held_out)
    whole = list(stream(corpus, config, blocks=1))
    for start in range(0, len(whole) + 1, 3):
        rest = list(itertools.islice(stream(corpus, config, blocks=1, start=start), 2))
        assert len(rest) == min(2, len(whole) - start)
        for dispatch, expected in zip(rest, whole[start:], strict=False):
            np.testing.assert_array_equal(dispatch.blocks, expected.blocks)
            assert dispatch.words == expected.words


def test_tiles_of_a_block_come_from_places_evenly_apart() -> None:
    config = StreamConfig(sample=0.0, epochs=1, window=2, batch_tokens=4 * TILE)
    tiles, places = -(-3000 // TILE), 4
    for b, dispatch in enumerate(stream(DISTINCT, config, blocks=1)):
        for place, tile in enumerate(dispatch.blocks.tokens[0]):
            first = (place * -(-tiles // places) + b) * TILE
            assert tile[2] == (first if first < 3000 else PAD_ID)


def test_epochs_drop_different_tokens() -> None:
    corpus, config = CORPORA["one endless line"], StreamConfig(sample=0.01, epochs=2, batch_tokens=32)
    both = centers(stream(corpus, config, blocks=1))
    first = centers(stream(corpus, StreamConfig(sample=0.01, epochs=1, batch_tokens=32), blocks=1))
    assert both[: len(first)] == first
    assert both[len(first) :] != first


def test_held_out_text_is_not_trained_on() -> None:
    corpus = CORPORA["one endless line"]
    config = StreamConfig(sample=0.0, epochs=1, held_out=0.25, batch_tokens=32)
    trained, held_out = (Counter(centers(stream(corpus, config, blocks=2, held_out=part))) for part in (False, True))
    assert trained + held_out == Counter(corpus.ids.tolist())
    assert 0.1 < held_out.total() / len(corpus.ids) < 0.4
    steps = sum(dispatch.filled for dispatch in stream(corpus, config, blocks=2))
    assert abs(expected_steps(corpus, config) / steps - 1) < 0.2
    assert expected_steps(corpus, StreamConfig(sample=0.0, epochs=1, batch_tokens=32)) > 1.2 * steps
    # Neighbours in the stream are neighbours in the text: no window reaches over held-out text.
    assert max(abs(center - outside) for center, outside in pairs(stream(DISTINCT, config, blocks=2), 5)) == 5
