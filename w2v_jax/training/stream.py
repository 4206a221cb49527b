"""The corpus as a stream of blocks: subsampled, held-out text set aside, every token in its turn.

All of it is a function of (seed, epoch, place): whether a token stays is a counter-based draw for
its place in the corpus, and which tiles make a block follows from how many tokens stay.

The tiles of a block come from as many places, evenly apart, and each place is read on from block to
block. A block's words are then almost all different ones, so that none takes many stale steps at
once, while a word's next uses still come in the order of the text. Both matter: with a block's tiles
from one place, or with tiles in random order, SimLex-999 and the analogies come out lower.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

from ..config import TILE, TrainConfig
from ..frequency import keep_probabilities
from ..text.corpus import Corpus
from ..windows import Block

CHUNK = 1 << 14  # tokens drawn for in one go
STRETCH = 1 << 10  # tokens held out, or not, together
HELD_OUT, KEEP = 0, 1  # which of the seed's sequences a draw is from


class Blocks(NamedTuple):
    """Some blocks for one dispatch, in numpy."""

    blocks: Block
    """[M, G, S + 2·window]; the last ones of the stream may be empty."""
    filled: int
    """How many of the blocks hold a center."""
    words: int
    """Tokens of the corpus read by their end, by all processes, epoch upon epoch, dropped ones too."""


Everyones = Callable[[int], Sequence[int]]
"""A number that this process has → those of all that train together, the same for each of them."""


def expected_steps(corpus: Corpus, config: TrainConfig, everyones: Everyones = lambda mine: [mine]) -> int:
    """How many blocks the training stream is expected to fill; its true number differs by chance, and little."""
    kept = (corpus.occurrences * keep_probabilities(corpus.vocabulary.counts, config.sample)).sum()
    return config.epochs * max(1, *everyones(math.ceil((1 - config.held_out) * float(kept) / config.block)))


def stream(
    corpus: Corpus,
    config: TrainConfig,
    *,
    blocks: int,
    start: int = 0,
    held_out: bool = False,
    everyones: Everyones = lambda mine: [mine],
) -> Iterator[Blocks]:
    """Every training token of every epoch, `blocks` blocks at a time; or, once, every held-out token.

    Of an epoch's n tiles, block b of B = ⌈n/G⌉ holds the tiles b, B + b, 2B + b, … Epochs follow on
    within a dispatch, so that only the last one is partly empty. With `start`, the first so many
    blocks are left out: what they hold is counted, not made. Where processes train together, each on its own
    part of the text, B is the largest of theirs, so that their epochs end together.
    """
    texts = _texts(corpus, config, held_out, everyones)
    words = sum(everyones(len(corpus.ids)))
    yield from (_fill(corpus, config, blocks, parts, words) for parts in _dispatches(texts, blocks, start))


class Text(NamedTuple):
    """The tokens of an epoch that stay."""

    epoch: int
    before: Int64[np.ndarray, " _"]
    """How many of them stand ahead of each chunk, and in all."""
    chunk: Callable[[int], Int32[np.ndarray, "2 n"]]
    """Those of a chunk."""
    blocks: int
    """B."""

    def copy(self, start: int, into: Int32[np.ndarray, "2 n"]) -> None:
        """Its tokens from `start` on, above their lines; what lies beyond it is left as it is."""
        at, end = max(0, start), min(start + into.shape[1], int(self.before[-1]))
        chunk = int(np.searchsorted(self.before, at, "right")) - 1
        while at < end:
            first, last = self.before[chunk : chunk + 2]
            until = min(end, int(last))
            into[:, at - start : until - start] = self.chunk(chunk)[:, at - first : until - first]
            at, chunk = until, chunk + 1


def _texts(corpus: Corpus, config: TrainConfig, held_out: bool, everyones: Everyones) -> Iterator[Text]:
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample).astype(np.float32)
    chunks = range(-(-len(corpus.ids) // CHUNK))

    def text(epoch: int) -> Text:
        stays = functools.partial(_stays, corpus, config, keep, held_out, epoch)
        before = np.cumsum([0, *(np.count_nonzero(stays(chunk)) for chunk in chunks)])
        kept = lambda chunk: np.take(_with_lines(corpus, config, chunk), np.flatnonzero(stays(chunk)), axis=1)
        chunk = functools.lru_cache(3 * config.block // TILE)(kept)  # places move on slowly
        tiles = -(-int(before[-1]) // TILE)
        return Text(epoch, before, chunk, max(everyones(-(-tiles // (config.block // TILE)))))

    yield from map(text, range(1 if held_out else config.epochs))


def _dispatches(texts: Iterable[Text], blocks: int, start: int) -> Iterator[list[tuple[Text, int, int]]]:
    """The blocks of each dispatch: those of a text from one number up to another, then perhaps of the next text."""
    parts, room = [], blocks
    for text in texts:
        at, start = min(start, text.blocks), max(0, start - text.blocks)
        while at < text.blocks:
            end = min(at + room, text.blocks)
            parts.append((text, at, end))
            at, room = end, room - (end - at)
            if not room:
                yield parts
                parts, room = [], blocks
    if parts:
        yield parts


def _fill(corpus: Corpus, config: TrainConfig, blocks: int, parts: list[tuple[Text, int, int]], words: int) -> Blocks:
    places, window, width = config.block // TILE, config.window, TILE + 2 * config.window
    beyond = np.array([[len(corpus.vocabulary)], [-1]], np.int32)[..., None]
    filled, tiles = 0, []
    for text, first, end in parts:
        tokens = np.broadcast_to(beyond, (2, places, (end - first) * TILE + 2 * window)).copy()
        for place in range(places):
            text.copy((place * text.blocks + first) * TILE - window, tokens[:, place])
        tiles.append(np.lib.stride_tricks.sliding_window_view(tokens, width, axis=2)[:, :, ::TILE].swapaxes(1, 2))
        filled += end - first
    empty = np.broadcast_to(beyond[..., None], (2, blocks - filled, places, width))
    read = words * (text.epoch * text.blocks + end) // text.blocks
    return Blocks(Block(*np.concatenate([*tiles, empty], axis=1)), filled, read)


def _with_lines(corpus: Corpus, config: TrainConfig, chunk: int) -> Int32[np.ndarray, "2 n"]:
    """The tokens of a chunk above the numbers of their lines."""
    ids = corpus.ids[chunk * CHUNK : (chunk + 1) * CHUNK]
    at = chunk * CHUNK + np.arange(len(ids))
    ended, ending = np.searchsorted(corpus.line_ends, [at[0], at[-1] + 1], "right")
    starts_line = np.bincount(corpus.line_ends[ended:ending] - at[0], minlength=len(ids))
    lines = ended + np.cumsum(starts_line[: len(ids)])
    if config.held_out:
        lines += at // STRETCH  # windows end where a stretch does, so that none reaches over what is set aside
    return np.stack([ids, (lines & 0x7FFFFFFF).astype(np.int32)])


def _stays(
    corpus: Corpus, config: TrainConfig, keep: Float32[np.ndarray, " V"], held_out: bool, epoch: int, chunk: int
) -> Bool[np.ndarray, " n"]:
    """Which tokens of a chunk subsampling keeps, on this side of what is held out."""
    ids = corpus.ids[chunk * CHUNK : (chunk + 1) * CHUNK]
    stays = _draws(config.seed, KEEP, epoch, chunk, len(ids)) < keep[ids]
    if config.held_out:
        stretches = _draws(config.seed, HELD_OUT, 0, chunk, CHUNK // STRETCH) < config.held_out
        stays &= stretches[np.arange(len(ids)) // STRETCH] == held_out
    return stays


def _draws(seed: int, sequence: int, epoch: int, chunk: int, count: int) -> Float[np.ndarray, " count"]:
    return _generator(seed, sequence, epoch, chunk).random(count, np.float32)


def _generator(seed: int, sequence: int, epoch: int, chunk: int) -> np.random.Generator:
    """Random numbers that depend on nothing but their place."""
    return np.random.Generator(np.random.Philox(key=[seed, sequence], counter=[0, 0, epoch, chunk]))
