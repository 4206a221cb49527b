"""How often each word is expected to stand outside each center, over a whole corpus, kept on disk.

Summed over a corpus, the naive softmax loss depends on nothing else (`objectives/softmax_counts.py`).
With C the [tokens, V] matrix that has a one where a token is a word, and W the banded [tokens,
tokens] matrix of a window's weights, the counts are Cᵀ W C: sparse products, a stretch of the text at
a time, which sum what falls together in linear time. The stretches' counts lie on disk until they
are summed, some rows at a time, so that memory grows neither with the length of the text nor with
the number of counts, save where the counts of a single row in all stretches do.
"""

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from scipy import sparse
from tqdm import tqdm

from ..cache import digest, made, making, whole
from ..config import CountsConfig, TrainConfig
from ..errors import InputError
from ..frequency import keep_probabilities
from .corpus import Corpus

FORMAT = 1
ROW_ENDS, COLUMNS, VALUES = "row_ends.int64", "columns.int32", "values.float32"
STRETCH = 5 << 20  # tokens times window counted at once
MERGE = 1 << 24  # counts of stretches, or rows of them, summed at once
THIN = 2  # which of the seed's sequences subsampling draws from


@dataclasses.dataclass(frozen=True, eq=False)
class Cooccurrence:
    """X [V, V], in compressed sparse rows: row c holds `columns[row_ends[c - 1] : row_ends[c]]`, by rising column.

    >>> corpus = Corpus.from_sentences([["to", "be", "or"], ["not", "to", "be"]] * 5)
    >>> counts = Cooccurrence.from_corpus(corpus, TrainConfig(window=2, sample=0.0))
    >>> [corpus.vocabulary.words[i] for i in counts.columns[: counts.row_ends[0]]]  # beside the first word, be
    ['to', 'not', 'or']
    >>> counts.values[: counts.row_ends[0]].tolist()
    [10.0, 2.5, 5.0]
    """

    row_ends: Integer[np.ndarray, " V"]
    columns: Integer[np.ndarray, " n"]
    """int32, memory-mapped."""
    values: Float[np.ndarray, " n"]
    """float32, memory-mapped; all above 0."""
    folder: Path | None = None
    """Where they lie."""

    @classmethod
    def from_corpus(
        cls,
        corpus: Corpus,
        config: TrainConfig | None = None,
        counts: CountsConfig | None = None,
    ) -> "Cooccurrence":
        """Count, or map what an earlier call left in `counts.counts`, or, without a name, beside the encoded corpus.

        A pair at distance d counts as `counts.distance` has it, and subsampling as the probability that
        both words stay, which passes over that the words between them may go and draw them nearer;
        `counts.thinnings` subsamples in truth, so many times, and takes the mean.

        Raises:
          InputError: the folder cannot be written; or it was named and holds counts of another corpus or
            config, or is damaged.
        """
        config, counts = config or TrainConfig(), counts or CountsConfig()
        key = _key(corpus, config, counts)
        if named := counts.counts:
            return _map(named, key) if named.exists() else _count(corpus, config, counts, named, key)
        if corpus.folder is None:
            with tempfile.TemporaryDirectory() as temporary:
                found = _count(corpus, config, counts, Path(temporary) / "counts", key)
                return dataclasses.replace(found, folder=None)
        beside = corpus.folder.with_name(f"{corpus.folder.name}-counts-{digest(key)}")
        if made(beside, key) is None:
            return _count(corpus, config, counts, beside, key)
        return _map(beside, key)

    def __len__(self) -> int:
        """How many words, V."""
        return len(self.row_ends)

    @property
    def matrix(self) -> Any:
        """The same as a `scipy.sparse.csr_array`, on the mapped files."""
        return sparse.csr_array((self.values, self.columns, np.append(0, self.row_ends)), shape=(len(self),) * 2)


def _key(corpus: Corpus, config: TrainConfig, counts: CountsConfig) -> dict[str, Any]:
    text = hashlib.sha256(np.ascontiguousarray(corpus.ids).data)
    text.update(np.ascontiguousarray(corpus.line_ends).data)
    return {
        "format": FORMAT, "corpus": text.hexdigest(), "words": len(corpus.vocabulary),
        "window": config.window, "sample": config.sample, "distance": counts.distance,
        "thinnings": counts.thinnings, "seed": config.seed if counts.thinnings else None,
    }  # fmt: skip


def _map(folder: Path, key: dict[str, Any]) -> Cooccurrence:
    about = whole(folder)
    if about is None:
        raise InputError(f"{folder}: is no whole folder of counts; name another, where they will be counted anew")
    theirs = about["key"]
    for name in {**theirs, **key}:
        if key.get(name) != theirs.get(name):
            differs = f"{name} {theirs.get(name)}, not {key.get(name)}"
            what = "another corpus" if name in ("corpus", "words") else differs
            raise InputError(f"{folder}: holds counts of {what}; name another folder")
    files = ((ROW_ENDS, np.int64), (COLUMNS, np.int32), (VALUES, np.float32))
    # A file of no bytes cannot be mapped: no word has another beside it.
    row_ends, columns, values = (
        np.memmap(folder / name, dtype, mode="r") if (folder / name).stat().st_size else np.empty(0, dtype)
        for name, dtype in files
    )
    return Cooccurrence(row_ends, columns, values, folder)


def _count(
    corpus: Corpus, config: TrainConfig, counts: CountsConfig, folder: Path, key: dict[str, Any]
) -> Cooccurrence:
    vocab_size = len(corpus.vocabulary)
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample)
    # Rows and columns are both multiplied by it: by 1/thinnings together, or by the share of pairs that stay.
    scale = np.full(vocab_size, counts.thinnings**-0.5) if counts.thinnings else keep
    hidden = f".{folder.name}.stretches."
    with (
        making(folder, key) as (temporary, _),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=hidden) as scratch,
    ):
        stretches, entries = [], np.zeros(vocab_size, np.int64)
        for stretch in _stretches(corpus, config, counts, Path(scratch)):
            stretches.append(stretch)
            entries += np.diff(np.append(0, np.fromfile(stretch.row_ends, np.int64)))
        with (
            open(temporary / ROW_ENDS, "wb") as row_ends,
            open(temporary / COLUMNS, "wb") as columns,
            open(temporary / VALUES, "wb") as values,
        ):
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
    return _map(folder, key)


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
        together.indptr[1:].astype(np.int64).tofile(files[0])
        together.indices.astype(np.int32).tofile(files[1])
        together.data.astype(np.float32).tofile(files[2])
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
