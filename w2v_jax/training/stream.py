"""The corpus as a stream of blocks: subsampled, held-out text set aside, every token in its turn.

All of it is a function of (seed, epoch, position): whether a token stays is a counter-based draw
for its place in the corpus. Text keeps its order: shuffled over 10⁶ tokens, the tiles of Wikipedia
gave vectors that solve a point more analogies but follow SimLex-999 .015 less.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Int64

from ..config import TILE, TrainConfig
from ..frequency import keep_probabilities
from ..text.corpus import Corpus
from ..windows import Block

CHUNK = 1 << 18  # tokens drawn for in one go
STRETCH = 1 << 10  # tokens held out, or not, together
HELD_OUT, KEEP = 0, 1  # which of the seed's sequences a draw is from


class Blocks(NamedTuple):
    """Some blocks for one dispatch, in numpy."""

    blocks: Block
    """[M, G, S + 2·window]; the last ones of the stream may be empty."""
    filled: int
    """How many of the blocks hold a center."""
    words: int
    """Tokens of the corpus read by their end, epoch upon epoch, dropped ones too."""


def expected_steps(corpus: Corpus, config: TrainConfig) -> int:
    """How many blocks the training stream is expected to fill; its true number differs by chance, and little."""
    counts = corpus.vocabulary.counts
    kept = (counts * keep_probabilities(counts, config.sample)).sum()
    return max(1, round(config.epochs * (1 - config.held_out) * float(kept) / config.block))


def stream(corpus: Corpus, config: TrainConfig, *, blocks: int, held_out: bool = False) -> Iterator[Blocks]:
    """Every training token of every epoch, `blocks` blocks at a time; or, once, every held-out token.

    Blocks follow on across epochs, so that only the last dispatch of all is partly empty.
    """
    size = blocks * config.block // TILE
    tiles, words = np.zeros((2, 0, TILE + 2 * config.window), np.int32), np.zeros(0, np.int64)
    for epoch in range(1 if held_out else config.epochs):
        for more_tiles, more_words in _tiles(corpus, config, epoch, held_out):
            tiles, words = np.concatenate([tiles, more_tiles], 1), np.concatenate([words, more_words])
            while tiles.shape[1] >= size:
                yield _blocks(tiles[:, :size], blocks, blocks, int(words[size - 1]))
                tiles, words = tiles[:, size:], words[size:]
    if left := tiles.shape[1]:
        empty = np.broadcast_to(_beyond(corpus, size - left)[..., None], (2, size - left, tiles.shape[2]))
        filled = -(-left * TILE // config.block)
        yield _blocks(np.concatenate([tiles, empty], 1), blocks, filled, int(words[-1]))


def _blocks(tiles: Int32[np.ndarray, "2 n C"], blocks: int, filled: int, words: int) -> Blocks:
    tokens, lines = tiles.reshape(2, blocks, -1, tiles.shape[2])
    return Blocks(Block(tokens, lines), filled, words)  # type: ignore[arg-type]  # numpy's, until JAX takes them


def _tiles(
    corpus: Corpus, config: TrainConfig, epoch: int, held_out: bool
) -> Iterator[tuple[Int32[np.ndarray, "2 n C"], Int64[np.ndarray, " n"]]]:
    """An epoch's tiles, a chunk's at a time, and how many tokens have been read by the end of each."""
    margin = _beyond(corpus, config.window)
    waiting, read, total = margin, 0, len(corpus.ids)
    for chunk in range(-(-total // CHUNK)):
        waiting = np.concatenate([waiting, _kept(corpus, config, epoch, chunk, held_out)], 1)
        reached = min((chunk + 1) * CHUNK, total)
        if reached == total:
            unfilled = -(waiting.shape[1] - config.window) % TILE
            waiting = np.concatenate([waiting, _beyond(corpus, unfilled), margin], 1)
        count = (waiting.shape[1] - 2 * config.window) // TILE
        if count < 1:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(waiting, TILE + 2 * config.window, axis=1)
        words = epoch * total + read + (reached - read) * np.arange(1, count + 1) // count
        yield windows[:, : count * TILE : TILE], words
        waiting, read = waiting[:, count * TILE :], reached


def _kept(corpus: Corpus, config: TrainConfig, epoch: int, chunk: int, held_out: bool) -> Int32[np.ndarray, "2 n"]:
    """The tokens of a chunk that stay, above the numbers of their lines."""
    at = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(corpus.ids)))
    ids = np.asarray(corpus.ids[at[0] : at[-1] + 1])
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample).astype(np.float32)
    stays = _draws(config.seed, KEEP, epoch, chunk, len(at)) < keep[ids]
    ended, ending = np.searchsorted(corpus.line_ends, [at[0], at[-1] + 1], "right")
    starts_line = np.bincount(corpus.line_ends[ended:ending] - at[0], minlength=len(at))
    lines = ended + np.cumsum(starts_line[: len(at)])
    if config.held_out:
        stretches = _draws(config.seed, HELD_OUT, 0, chunk, CHUNK // STRETCH) < config.held_out
        stays &= stretches[at % CHUNK // STRETCH] == held_out
        lines += at // STRETCH  # windows end where a stretch does, so that none reaches over what is set aside
    return np.stack([ids, lines & 0x7FFFFFFF])[:, stays].astype(np.int32)


def _beyond(corpus: Corpus, count: int) -> Int32[np.ndarray, "2 n"]:
    return np.repeat(np.array([[len(corpus.vocabulary)], [-1]], np.int32), count, axis=1)


def _draws(seed: int, sequence: int, epoch: int, chunk: int, count: int) -> Float[np.ndarray, " count"]:
    return _generator(seed, sequence, epoch, chunk).random(count, np.float32)


def _generator(seed: int, sequence: int, epoch: int, chunk: int) -> np.random.Generator:
    """Random numbers that depend on nothing but their place."""
    return np.random.Generator(np.random.Philox(key=[seed, sequence], counter=[0, 0, epoch, chunk]))
