"""The corpus as a stream of blocks: subsampled, held-out text set aside, every token in its turn.

All of it follows from (seed, epoch, position): a token is kept or dropped by a counter-based draw
for its place in the corpus, and blocks are consecutive runs of the tokens kept.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..config import TrainConfig
from ..frequency import keep_probabilities
from ..text.corpus import Corpus
from ..windows import Block

CHUNK = 1 << 18  # tokens drawn for in one go
STRETCH = 1 << 10  # tokens held out, or not, together
HELD_OUT_STREAM, KEEP_STREAM = 0, 1  # which of the seed's streams a draw is from


class Blocks(NamedTuple):
    """Some blocks for one dispatch, in numpy."""

    blocks: Block
    """[M, T + 2·window]; the last ones of the stream may be empty."""
    words: int
    """Tokens of the corpus read so far, epoch upon epoch, dropped ones too."""


def expected_steps(corpus: Corpus, config: TrainConfig) -> int:
    """How many blocks the training stream is expected to fill; its true number differs by chance, and little."""
    counts = corpus.vocabulary.counts
    kept = (counts * keep_probabilities(counts, config.sample)).sum()
    return max(1, round(config.epochs * (1 - config.held_out) * float(kept) / config.block))


def stream(corpus: Corpus, config: TrainConfig, *, blocks: int, held_out: bool = False) -> Iterator[Blocks]:
    """Every training token of every epoch, `blocks` blocks at a time; or, once, every held-out token.

    Blocks follow on across epochs, so that only the last dispatch of all is partly empty.
    """
    size, window = config.block, config.window
    beyond = np.full(window, len(corpus.vocabulary), np.int32), np.full(window, -1, np.int32)
    waiting = [np.stack(beyond)]
    words = 0
    for epoch in range(1 if held_out else config.epochs):
        for kept, read in _kept(corpus, config, epoch, held_out):
            words += read
            waiting.append(kept)
            if sum(part.shape[1] for part in waiting) < blocks * size + 2 * window:
                continue
            ready = np.concatenate(waiting, axis=1)
            while ready.shape[1] >= blocks * size + 2 * window:
                yield Blocks(_cut(ready, blocks, size, window), words)
                ready = ready[:, blocks * size :]
            waiting = [ready]
    ready = np.concatenate([*waiting, np.stack(beyond)], axis=1)
    while ready.shape[1] > 2 * window:
        missing = max(0, blocks * size + 2 * window - ready.shape[1])
        padded = np.pad(ready, ((0, 0), (0, missing)))
        padded[:, padded.shape[1] - missing :] = np.array([[len(corpus.vocabulary)], [-1]])
        yield Blocks(_cut(padded, blocks, size, window), words)
        ready = ready[:, blocks * size :]


def _cut(ready: Int[np.ndarray, "2 n"], blocks: int, size: int, window: int) -> Block:
    views = np.lib.stride_tricks.sliding_window_view(ready, size + 2 * window, axis=1)
    tokens, lines = np.ascontiguousarray(views[:, : blocks * size : size])
    return Block(tokens, lines)


def _kept(
    corpus: Corpus, config: TrainConfig, epoch: int, held_out: bool
) -> Iterator[tuple[Int[np.ndarray, "2 n"], int]]:
    """The tokens kept of each chunk, each above the number of its line, and how many were read."""
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample).astype(np.float32)
    last_line = np.iinfo(np.int32).max // 2 * (epoch % 2)  # no line goes on into the next epoch
    for chunk, start in enumerate(range(0, len(corpus.ids), CHUNK)):
        ids = np.asarray(corpus.ids[start : start + CHUNK])
        stays = _draws(config.seed, KEEP_STREAM + epoch, chunk, len(ids)) < keep[ids]
        starts_line = np.zeros(len(ids), bool)
        first, last = np.searchsorted(corpus.line_ends, [start, start + len(ids)])
        starts_line[corpus.line_ends[first:last] - start] = True
        if config.held_out:
            stretches = _draws(config.seed, HELD_OUT_STREAM, chunk, CHUNK // STRETCH) < config.held_out
            is_held_out = np.repeat(stretches, STRETCH)[: len(ids)]
            starts_line[::STRETCH] = True  # for what was held out lies between
            stays &= is_held_out == held_out
        lines = last_line + np.cumsum(starts_line, dtype=np.int32)
        last_line = int(lines[-1]) % (1 << 30)
        yield np.stack([ids[stays], lines[stays]]), len(ids)


def _draws(seed: int, which: int, chunk: int, count: int) -> Float[np.ndarray, " count"]:
    """Uniform draws in [0, 1) that depend on nothing but their place."""
    bits = np.random.Philox(key=[seed, which], counter=[0, 0, 0, chunk])
    return np.random.Generator(bits).random(count, np.float32)
