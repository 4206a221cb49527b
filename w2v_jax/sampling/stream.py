"""The corpus as a stream of blocks: subsampled, held-out text set aside, every token in its turn.

Everything is a function of (seed, epoch, position): whether a token is kept is a counter-based draw for
its position in the corpus, and which tiles make a block follows from how many tokens are kept.

The tiles of a block come from as many places of the text, evenly apart, and each place is read on from
block to block. So rare words seldom repeat in a block, and take few stale steps at once, while
the next uses of a word still come in the order of the text. Both matter: with all tiles of a block from
one place, or with tiles in random order, SimLex-999 and the analogies are lower.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

from ..config import TILE, StreamConfig
from ..params import PAD_ID
from ..text.corpus import Corpus
from .subsampling import keep_probabilities
from .windows import Block

CHUNK = 1 << 14  # tokens whose draws share one generator
HELD_OUT_SPAN = 1 << 10  # consecutive tokens that are held out, or trained on, together
HELD_OUT, KEEP = 0, 1  # which of the seed's sequences a draw is from
BEYOND = np.array([PAD_ID, -1], np.int32)[:, None, None]  # the token and the line of positions beyond the text


class Dispatch(NamedTuple):
    """The blocks of one call of the compiled step, in numpy."""

    blocks: Block
    """[M, G, S + 2·halo]; the last ones of the stream may be empty."""
    filled: int
    """How many of the blocks are part of the stream; the rest are padding."""
    words: int
    """Tokens of the corpus read by their end, by all processes, over all epochs, dropped ones too."""


AllGather = Callable[[int], Sequence[int]]
"""A number of this process → the numbers of all processes that train together."""


def expected_steps(corpus: Corpus, config: StreamConfig, allgather: AllGather = lambda number: [number]) -> int:
    """Return how many blocks the training stream is expected to fill; the true number differs slightly, by chance."""
    kept = (corpus.occurrences * keep_probabilities(corpus.vocabulary.counts, config.sample)).sum()
    blocks = math.ceil((1 - config.held_out) * float(kept) / config.batch_tokens)
    return config.epochs * max(1, *allgather(blocks))


def context_halo(corpus: Corpus, config: StreamConfig, allgather: AllGather = lambda number: [number]) -> int:
    """Return the tokens on either side of a tile: `window`, or a tile, or as many as the longest line needs."""
    return min(config.window, max(TILE, *allgather(corpus.longest_line - 1)))


def stream(
    corpus: Corpus,
    config: StreamConfig,
    *,
    blocks: int,
    start: int = 0,
    held_out: bool = False,
    allgather: AllGather = lambda number: [number],
) -> Iterator[Dispatch]:
    """Yield the kept training tokens of every epoch, `blocks` blocks at a time; or, once, those held out.

    Of an epoch's n tiles, block b of B = ⌈n/G⌉ holds the tiles b, B + b, 2B + b, … Epochs continue
    within a dispatch, so that only the last one is partly empty. `start` blocks are skipped: counted, not made.
    Where processes each read a shard of the text, B is the largest of theirs, so that their epochs end together.
    """
    total, parts, filled, words = sum(allgather(len(corpus.ids))), [], 0, 0
    halo = context_halo(corpus, config, allgather)
    for epoch in _epochs(corpus, config, held_out, allgather):
        at, start = min(start, epoch.blocks), max(0, start - epoch.blocks)
        while at < epoch.blocks:
            end = min(at + blocks - filled, epoch.blocks)
            parts.append(_tiles(config, halo, epoch, at, end))
            at, filled, words = end, filled + end - at, total * (epoch.number * epoch.blocks + end) // epoch.blocks
            if filled == blocks:
                yield Dispatch(Block(*np.concatenate(parts, axis=1)), filled, words)
                parts, filled = [], 0
    if parts:
        parts.append(np.broadcast_to(BEYOND[..., None], (2, blocks - filled, *parts[0].shape[2:])))
        yield Dispatch(Block(*np.concatenate(parts, axis=1)), filled, words)


class Epoch(NamedTuple):
    """The tokens of an epoch that are kept."""

    number: int
    kept_before: Int64[np.ndarray, " _"]  # tokens kept before each chunk, and in all
    read: Callable[[int], Int32[np.ndarray, "2 n"]]  # chunk → (kept tokens, their line numbers)
    blocks: int  # B

    def copy(self, start: int, out: Int32[np.ndarray, "2 n"]) -> None:
        """Copy (tokens, line numbers) from `start` on; positions beyond the text are left as they are."""
        at, end = max(0, start), min(start + out.shape[1], int(self.kept_before[-1]))
        chunk = int(np.searchsorted(self.kept_before, at, "right")) - 1
        while at < end:
            first, last = self.kept_before[chunk : chunk + 2]
            stop = min(end, int(last))
            out[:, at - start : stop - start] = self.read(chunk)[:, at - first : stop - first]
            at, chunk = stop, chunk + 1


def _epochs(corpus: Corpus, config: StreamConfig, held_out: bool, allgather: AllGather) -> Iterable[Epoch]:
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample).astype(np.float32)
    chunks = range(-(-len(corpus.ids) // CHUNK))

    def make(number: int) -> Epoch:
        kept_mask = functools.partial(_kept_mask, corpus, config, keep, held_out, number)
        kept_before = np.cumsum([0, *(np.count_nonzero(kept_mask(chunk)) for chunk in chunks)])
        kept = lambda chunk: np.take(_with_lines(corpus, config, chunk), np.flatnonzero(kept_mask(chunk)), axis=1)
        read = functools.lru_cache(3 * config.batch_tokens // TILE)(kept)  # chunks of neighbouring blocks repeat
        tiles = -(-int(kept_before[-1]) // TILE)
        return Epoch(number, kept_before, read, max(allgather(-(-tiles // (config.batch_tokens // TILE)))))

    return map(make, range(1 if held_out else config.epochs))


def _tiles(config: StreamConfig, halo: int, epoch: Epoch, first: int, end: int) -> Int32[np.ndarray, "2 M G C"]:
    """Return the tiles of some blocks as (tokens, line numbers)."""
    places = config.batch_tokens // TILE
    tokens = np.broadcast_to(BEYOND, (2, places, (end - first) * TILE + 2 * halo)).copy()
    for place in range(places):
        epoch.copy((place * epoch.blocks + first) * TILE - halo, tokens[:, place])
    return np.lib.stride_tricks.sliding_window_view(tokens, TILE + 2 * halo, axis=2)[:, :, ::TILE].swapaxes(1, 2)


def _with_lines(corpus: Corpus, config: StreamConfig, chunk: int) -> Int32[np.ndarray, "2 n"]:
    """Return the (tokens, line numbers) of a chunk."""
    ids = corpus.ids[chunk * CHUNK : (chunk + 1) * CHUNK]
    at = chunk * CHUNK + np.arange(len(ids))
    first, last = np.searchsorted(corpus.line_ends, [at[0], at[-1]], "right")
    lengths = np.diff(corpus.line_ends[first:last], prepend=at[0], append=at[-1] + 1)
    lines = np.repeat(np.arange(first, last + 1), lengths)
    if config.held_out:
        lines += at // HELD_OUT_SPAN  # windows end where a span does, so that none reaches into held-out text
    return np.stack([ids, (lines & 0x7FFFFFFF).astype(np.int32)])


def _kept_mask(
    corpus: Corpus, config: StreamConfig, keep: Float32[np.ndarray, " V"], held_out: bool, epoch: int, chunk: int
) -> Bool[np.ndarray, " n"]:
    """Return which tokens of a chunk subsampling keeps, in the training text or in the held-out text."""
    ids = corpus.ids[chunk * CHUNK : (chunk + 1) * CHUNK]
    kept = _draws(config.seed, KEEP, epoch, chunk, len(ids)) < keep[ids]
    if config.held_out:
        spans = _draws(config.seed, HELD_OUT, 0, chunk, CHUNK // HELD_OUT_SPAN) < config.held_out
        kept &= spans[np.arange(len(ids)) // HELD_OUT_SPAN] == held_out
    return kept


def _draws(seed: int, sequence: int, epoch: int, chunk: int, count: int) -> Float[np.ndarray, " count"]:
    """Draw uniform numbers, a function of the arguments alone."""
    generator = np.random.Philox(key=[seed, sequence], counter=[0, 0, epoch, chunk])
    return np.random.Generator(generator).random(count, np.float32)
