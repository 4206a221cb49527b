"""Counting a corpus in bounded memory: Cᵀ W C, a stretch of the text at a time, summed from disk.

C is the [tokens, V] matrix that has a one where a token is a word, W the banded [tokens, tokens] matrix
of a window's weights. Sparse products sum what falls together in linear time. The stretches' counts
lie on disk until they are summed, some rows at a time, so that memory grows neither with the length of
the text nor with the number of counts, save where the counts of a single row in all stretches do.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer
from scipy import sparse
from tqdm import tqdm

from ..config import CountsConfig, TrainConfig
from ..frequency import keep_probabilities
from .corpus import Corpus

ROW_ENDS, COLUMNS, VALUES = "row_ends.int64", "columns.int32", "values.float32"
STRETCH = 5 << 20  # tokens times window counted at once
MERGE = 1 << 24  # counts of stretches, or rows of them, summed at once
THIN = 2  # which of the seed's sequences subsampling draws from


def write_counts(corpus: Corpus, config: TrainConfig, counts: CountsConfig, folder: Path) -> None:
    """Write X [V, V] to a folder, in compressed sparse rows: ends of rows, columns, values."""
    vocab_size = len(corpus.vocabulary)
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample)
    # Rows and columns are both multiplied by it: by 1/thinnings together, or by the share of pairs that stay.
    scale = np.full(vocab_size, counts.thinnings**-0.5) if counts.thinnings else keep
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        open(folder / ROW_ENDS, "wb") as row_ends,
        open(folder / COLUMNS, "wb") as columns,
        open(folder / VALUES, "wb") as values,
    ):
        stretches, entries = [], np.zeros(vocab_size, np.int64)
        for stretch in _stretches(corpus, config, counts, Path(scratch)):
            stretches.append(stretch)
            entries += np.diff(np.append(0, np.fromfile(stretch.row_ends, np.int64)))
        total = 0
        for first, last in _ranges(entries, len(stretches)):
            rows = _sum([stretch.rows(first, last) for stretch in stretches], (last - first, vocab_size))
            rows = sparse.diags_array(scale[first:last]) @ rows @ sparse.diags_array(scale)
            rows.data = rows.data.astype(np.float32)
            rows.eliminate_zeros()  # what is too rare for float32
            rows.sort_indices()
            row_ends.write((total + rows.indptr[1:]).astype(np.int64).data)
            columns.write(rows.indices.astype(np.int32).data)
            values.write(rows.data.data)
            total += rows.nnz


class Stretch(NamedTuple):
    """The counts of a stretch of text, in files, before subsampling's share."""

    row_ends: Path
    columns: Path
    values: Path
    vocab_size: int

    def rows(self, first: int, last: int) -> Any:
        """Some of its rows, in float64, for long sums."""
        before = max(first - 1, 0)
        ends = np.fromfile(self.row_ends, np.int64, last - before, offset=8 * before)
        ends = ends if first else np.append(0, ends)
        columns, values = (
            np.fromfile(path, dtype, ends[-1] - ends[0], offset=4 * ends[0])
            for path, dtype in ((self.columns, np.int32), (self.values, np.float32))
        )
        shape = last - first, self.vocab_size
        return sparse.csr_array((values.astype(np.float64), columns, ends - ends[0]), shape=shape)


def _ranges(entries: Integer[np.ndarray, " V"], stretches: int) -> Iterator[tuple[int, int]]:
    """Rows to sum together: at least one, and no more than have `MERGE` entries in all stretches, or are so many."""
    ends, first = np.cumsum(entries), 0
    while first < len(entries):
        before = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, before + MERGE, "right"))
        last = max(first + 1, min(last, first + MERGE // max(1, stretches)))
        yield first, last
        first = last


def _stretches(corpus: Corpus, config: TrainConfig, counts: CountsConfig, scratch: Path) -> Iterator[Stretch]:
    """Cᵀ W C of one stretch after another, as files."""
    window, vocab_size = config.window, len(corpus.vocabulary)
    distance = np.arange(1, window + 1)
    weight = {"linear": (window + 1 - distance) / window, "flat": np.ones(window), "harmonic": 1 / distance}
    weights = np.concatenate([weight[counts.distance][::-1], weight[counts.distance]]).astype(np.float32)
    offsets = np.delete(np.arange(2 * window + 1), window)
    for i, (ids, lines) in enumerate(_texts(corpus, config, counts)):
        around = np.lib.stride_tricks.sliding_window_view
        ids_around, lines_around = (around(part, 2 * window + 1)[:, offsets] for part in (ids, lines))
        centers, center_lines = ids[window:-window], lines[window:-window]
        beside = lines_around == center_lines[:, None]
        seen_ends = np.append(0, np.cumsum(beside.sum(1)))
        shape = len(centers), vocab_size
        seen = sparse.csr_array((np.broadcast_to(weights, beside.shape)[beside], ids_around[beside], seen_ends), shape)
        is_center = sparse.csr_array((np.ones(len(centers)), centers, np.arange(len(centers) + 1)), shape)
        together = is_center.T.tocsr() @ seen
        files = [scratch / f"{i}.{name}" for name in (ROW_ENDS, COLUMNS, VALUES)]
        files[0].write_bytes(together.indptr[1:].astype(np.int64).data)
        files[1].write_bytes(together.indices.astype(np.int32).data)
        files[2].write_bytes(together.data.astype(np.float32).data)
        yield Stretch(files[0], files[1], files[2], vocab_size)


def _texts(corpus: Corpus, config: TrainConfig, counts: CountsConfig) -> Iterator[tuple[Any, Any]]:
    """(ids, lines) of one stretch after another, its centers with `window` tokens before and after them."""
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample).astype(np.float32)
    rounds, window = max(1, counts.thinnings), config.window
    stretch = max(1, STRETCH // window)
    bar = tqdm(total=rounds * len(corpus.ids), desc="counting", unit="words", unit_scale=True, disable=None)
    beyond = np.full((2, window), -1, np.int32)  # line −1 and no line are never one line
    with bar:
        for round_ in range(rounds):
            before = beyond - 1
            for start in range(0, len(corpus.ids), stretch):
                ids = corpus.ids[start : start + stretch]
                lines = np.searchsorted(corpus.line_ends, start + np.arange(len(ids)), "right") & 0x3FFFFFFF
                text = np.stack([ids, lines.astype(np.int32)])
                if counts.thinnings:
                    generator = np.random.Philox(key=[config.seed, THIN], counter=[0, 0, round_, start])
                    text = text[:, np.random.Generator(generator).random(len(ids), np.float32) < keep[ids]]
                text = np.concatenate([before, text] + [beyond] * (start + stretch >= len(corpus.ids)), axis=1)
                if text.shape[1] > 2 * window:
                    yield text[0], text[1]
                before = text[:, -2 * window :]
                bar.update(len(ids))


def _sum(parts: list[Any], shape: tuple[int, int]) -> Any:
    """The sum of sparse matrices in one product, [I I … I] times the matrices above one another."""
    if not parts:  # subsampling left no two words
        return sparse.csr_array(shape)
    rows = shape[0]
    ones = sparse.csr_array(
        (np.ones(rows * len(parts)), np.tile(np.arange(rows), len(parts)), np.arange(rows * len(parts) + 1)),
        shape=(rows * len(parts), rows),
    )
    return ones.T.tocsr() @ sparse.vstack(parts, format="csr")
