"""The corpus as a stream of blocks: subsampled, held-out text set aside, every token in its turn.

All of it follows from (seed, epoch, position): a token is kept or dropped by a counter-based draw
for its place in the corpus, and blocks are consecutive runs of the tokens kept.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from ..config import TrainConfig
from ..frequency import keep_probabilities
from ..text.corpus import Corpus
from ..windows import Block

CHUNK = 1 << 18  # tokens drawn for in one go
STRETCH = 1 << 10  # tokens held out, or not, together
HELD_OUT, KEEP = 0, 1  # which of the seed's sequences a draw is from; each epoch keeps by one of its own

Kept = Int64[np.ndarray, "3 n"]
"""Of each token that is kept: its word, its line, and how many tokens have been read with it."""


class Blocks(NamedTuple):
    """Some blocks for one dispatch, in numpy."""

    blocks: Block
    """[M, T + 2·window]; the last ones of the stream may be empty."""
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
    window, size = config.window, blocks * config.block
    epochs = 1 if held_out else config.epochs
    total = epochs * len(corpus.ids)

    def beyond(count: int) -> Kept:
        return np.repeat([[len(corpus.vocabulary)], [-1], [total]], count, axis=1)

    waiting = [beyond(window)]
    for epoch in range(epochs):
        for kept in _kept(corpus, config, epoch, held_out):
            waiting.append(kept)
            if sum(part.shape[1] for part in waiting) < size + 2 * window:
                continue
            ready = np.concatenate(waiting, axis=1)
            while ready.shape[1] >= size + 2 * window:
                yield _cut(ready, config, size)
                ready = ready[:, size:]
            waiting = [ready]
    ready = np.concatenate([*waiting, beyond(window)], axis=1)
    while ready.shape[1] > 2 * window:
        missing = max(0, size + 2 * window - ready.shape[1])
        yield _cut(np.concatenate([ready, beyond(missing)], axis=1), config, size)
        ready = ready[:, size:]


def _cut(ready: Kept, config: TrainConfig, size: int) -> Blocks:
    windows = np.lib.stride_tricks.sliding_window_view(ready[:2], config.block + 2 * config.window, axis=1)
    tokens, lines = windows[:, : size : config.block].astype(np.int32)
    is_center = ready[1, config.window : config.window + size] >= 0
    filled = -(-int(np.count_nonzero(is_center)) // config.block)
    return Blocks(Block(tokens, lines), filled, int(ready[2, config.window + size - 1]))


def _kept(corpus: Corpus, config: TrainConfig, epoch: int, held_out: bool) -> Iterator[Kept]:
    """The tokens that stay, a chunk of the corpus at a time."""
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample).astype(np.float32)
    line = epoch * (len(corpus.line_ends) + len(corpus.ids) // STRETCH + 2)  # more than an epoch has
    for chunk, start in enumerate(range(0, len(corpus.ids), CHUNK)):
        ids = np.asarray(corpus.ids[start : start + CHUNK])
        starts_line = np.zeros(len(ids), bool)
        first, last = np.searchsorted(corpus.line_ends, [start, start + len(ids)])
        starts_line[corpus.line_ends[first:last] - start] = True
        stays = _draws(config.seed, KEEP + epoch, chunk, len(ids)) < keep[ids]
        if config.held_out:
            stretches = _draws(config.seed, HELD_OUT, chunk, CHUNK // STRETCH) < config.held_out
            stays &= np.repeat(stretches, STRETCH)[: len(ids)] == held_out
            starts_line[::STRETCH] = True  # no window reaches over what is set aside
        lines = line + np.cumsum(starts_line)
        line = int(lines[-1])
        read = epoch * len(corpus.ids) + start + np.arange(1, len(ids) + 1)
        yield np.stack([ids, lines & 0x7FFFFFFF, read])[:, stays]


def _draws(seed: int, sequence: int, chunk: int, count: int) -> Float[np.ndarray, " count"]:
    """Uniform draws in [0, 1) that depend on nothing but their place."""
    bits = np.random.Philox(key=[seed, sequence], counter=[0, 0, 0, chunk])
    return np.random.Generator(bits).random(count, np.float32)
