"""The stream of blocks: every token once an epoch, windows whole, all of it a function of its place."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from w2v_jax.config import TILE, TextConfig, TrainConfig
from w2v_jax.frequency import keep_probabilities
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.vocabulary import Vocabulary
from w2v_jax.training import stream as stream_module
from w2v_jax.training.stream import Blocks, expected_steps, stream


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that a few thousand tokens fill many chunks and stretches, none evenly."""
    monkeypatch.setattr(stream_module, "CHUNK", 256)
    monkeypatch.setattr(stream_module, "STRETCH", 64)


def corpus_of(lines: int, longest: int) -> Corpus:
    rng = np.random.default_rng(0)
    sentences = [[f"w{i}" for i in rng.zipf(1.4, rng.integers(1, longest)) if i < 200] for _ in range(lines)]
    return Corpus.from_sentences(sentences, TextConfig(min_count=1))


CORPORA = {
    "lines": corpus_of(300, 20),
    "one endless line": corpus_of(2, 3000),
    "shorter than a tile": corpus_of(2, 9),
}
every_corpus = pytest.mark.parametrize("corpus", CORPORA.values(), ids=CORPORA)


def pairs(dispatches: Iterable[Blocks], window: int) -> Iterator[tuple[int, int]]:
    """Every (center, outside) pair of a stream at full reach."""
    for blocks, _, _ in dispatches:
        for tokens, lines in zip(
            blocks.tokens.reshape(-1, TILE + 2 * window), blocks.lines.reshape(-1, TILE + 2 * window), strict=True
        ):
            for i in range(window, window + TILE):
                for j in range(i - window, i + window + 1):
                    if i != j and lines[i] == lines[j] >= 0:
                        yield int(tokens[i]), int(tokens[j])


def centers(dispatches: Iterable[Blocks], window: int) -> Iterator[int]:
    for blocks, _, _ in dispatches:
        middle = slice(window, window + TILE)
        yield from blocks.tokens[..., middle][blocks.lines[..., middle] >= 0].tolist()


@every_corpus
@pytest.mark.parametrize("window", [1, 5])
def test_every_token_and_every_pair_once_an_epoch(corpus: Corpus, window: int) -> None:
    config = TrainConfig(sample=0.0, epochs=2, window=window, block=64)
    tokens = Counter(corpus.ids.tolist())
    assert Counter(centers(stream(corpus, config, blocks=3), window)) == Counter({w: 2 * n for w, n in tokens.items()})
    expected: Counter[tuple[int, int]] = Counter()
    for line in np.split(corpus.ids, corpus.line_ends[:-1]):
        for i in range(len(line)):
            for j in range(max(0, i - window), min(len(line), i + window + 1)):
                expected[int(line[i]), int(line[j])] += 2 * (i != j)
    assert Counter(pairs(stream(corpus, config, blocks=3), window)) == +expected


@every_corpus
def test_progress_and_padding(corpus: Corpus) -> None:
    config = TrainConfig(sample=0.0, epochs=3, block=64)
    dispatches = list(stream(corpus, config, blocks=4))
    words = [some.words for some in dispatches]
    assert words == sorted(words)
    assert words[-1] == 3 * len(corpus.ids)
    assert {some.filled for some in dispatches[:-1]} <= {4}
    last = dispatches[-1]
    has_center = (last.blocks.lines >= 0).any((1, 2))
    assert has_center[: last.filled].all()
    assert not has_center[last.filled :].any()
    assert (last.blocks.tokens[last.blocks.lines < 0] == len(corpus.vocabulary)).all()


def test_subsampling_keeps_what_the_formula_says() -> None:
    corpus = CORPORA["one endless line"]
    config = TrainConfig(sample=0.01, epochs=40, block=64)
    kept = np.bincount(list(centers(stream(corpus, config, blocks=4), 5)), minlength=len(corpus.vocabulary))
    counts = corpus.vocabulary.counts
    expected = 40 * counts * keep_probabilities(counts, 0.01)
    assert keep_probabilities(counts, 0.01)[0] < 0.3
    np.testing.assert_array_less(np.abs(kept - expected), 5 * np.sqrt(expected) + 1)
    steps = sum(some.filled for some in stream(corpus, config, blocks=4))
    assert abs(steps / expected_steps(corpus, config) - 1) < 0.05


def test_the_steps_are_of_this_text_whatever_was_counted_before() -> None:
    known = Vocabulary(tuple(f"w{i}" for i in range(300)), np.full(300, 10**6))
    rng = np.random.default_rng(0)
    corpus = Corpus.from_sentences([[f"w{i}" for i in rng.integers(0, 400, 3_000)]], TextConfig(), known=known)
    config = TrainConfig(sample=1e-3, epochs=3, block=64)
    steps = sum(some.filled for some in stream(corpus, config, blocks=4))
    assert abs(steps / expected_steps(corpus, config) - 1) < 0.05


def test_windows_close_over_dropped_words() -> None:
    corpus = Corpus.from_sentences([["often"] * 80 + ["left"] + ["often"] * 20 + ["right"]], TextConfig(min_count=1))
    config = TrainConfig(sample=0.01, window=3, epochs=100, block=32)
    left, right = corpus.vocabulary["left"], corpus.vocabulary["right"]
    assert (left, right) in set(pairs(stream(corpus, config, blocks=2), 3))


@pytest.mark.parametrize("other", [{"seed": 1}, {"epochs": 1}])
def test_the_stream_is_a_function_of_the_seed(other: dict[str, int]) -> None:
    corpus = CORPORA["lines"]
    config = TrainConfig(sample=0.01, epochs=2, block=64, seed=0)

    def tokens(config: TrainConfig) -> list[int]:
        return [int(t) for some in stream(corpus, config, blocks=2) for t in some.blocks.tokens.ravel()]

    assert tokens(config) == tokens(config)
    assert tokens(config) != tokens(TrainConfig(**{"sample": 0.01, "epochs": 2, "block": 64, **other}))


@every_corpus
@pytest.mark.parametrize("window", [1, 5, 40])
@pytest.mark.parametrize("held_out", [0.0, 0.3])
def test_started_anywhere_the_stream_is_the_same(corpus: Corpus, window: int, held_out: float) -> None:
    config = TrainConfig(sample=0.02, epochs=3, window=window, block=128, held_out=held_out)
    whole = list(stream(corpus, config, blocks=1))
    for start in range(0, len(whole) + 1, 3):
        rest = list(itertools.islice(stream(corpus, config, blocks=1, start=start), 2))
        assert len(rest) == min(2, len(whole) - start)
        for some, expected in zip(rest, whole[start:], strict=False):
            np.testing.assert_array_equal(some.blocks, expected.blocks)
            assert some.words == expected.words


def test_each_tile_of_a_block_is_from_another_place() -> None:
    corpus = Corpus.from_sentences([[f"{i:04d}" for i in range(3000)]], TextConfig(min_count=1))
    config = TrainConfig(sample=0.0, epochs=1, window=2, block=4 * TILE)
    n, places = -(-3000 // TILE), 4
    for b, some in enumerate(stream(corpus, config, blocks=1)):
        for place, tile in enumerate(some.blocks.tokens[0]):
            first = (place * -(-n // places) + b) * TILE
            assert tile[2] == (first if first < 3000 else len(corpus.vocabulary))


def test_epochs_drop_other_tokens() -> None:
    corpus = CORPORA["one endless line"]
    config = TrainConfig(sample=0.01, epochs=2, block=32)
    both = list(centers(stream(corpus, config, blocks=1), 5))
    first = list(centers(stream(corpus, TrainConfig(sample=0.01, epochs=1, block=32), blocks=1), 5))
    assert both[: len(first)] == first
    assert both[len(first) :] != first


def test_held_out_text_is_apart() -> None:
    corpus = CORPORA["one endless line"]
    config = TrainConfig(sample=0.0, epochs=1, held_out=0.25, block=32)
    trained, held_out = (Counter(centers(stream(corpus, config, blocks=2, held_out=out), 5)) for out in (False, True))
    assert trained + held_out == Counter(corpus.ids.tolist())
    assert 0.1 < held_out.total() / len(corpus.ids) < 0.4
    steps = sum(some.filled for some in stream(corpus, config, blocks=2))
    assert abs(expected_steps(corpus, config) / steps - 1) < 0.2
    assert expected_steps(corpus, TrainConfig(sample=0.0, epochs=1, block=32)) > 1.2 * steps
    # Neighbours in the stream are neighbours in the text: no window reaches over what was set aside.
    distinct = Corpus.from_sentences([[f"{i:04d}" for i in range(3000)]], TextConfig(min_count=1))
    seen = list(pairs(stream(distinct, config, blocks=2), 5))
    assert max(abs(center - outside) for center, outside in seen) == 5
