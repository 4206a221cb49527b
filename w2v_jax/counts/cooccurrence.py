"""Co-occurrence counts of a whole corpus, counted in bounded memory and kept on disk.

The counts of a chunk of text are Cᵀ W C. C [tokens, V] is the one-hot matrix of its tokens, and W
[tokens, tokens] is the banded matrix of window weights. Entries of all chunks lie on disk, in a file for each
range of rows, and are summed range by range.
"""

import dataclasses
import hashlib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ..cache import atomic_dir, digest, lookup, map_array, read_manifest
from ..errors import InputError
from ..progress import progress
from ..sampling.subsampling import keep_probabilities
from ..text.corpus import Corpus, offsets_are_valid
from .config import CountsConfig

FORMAT = 3
ROW_ENDS, COLUMNS, VALUES = "row_ends.int64", "columns.int32", "values.float32"
FILES = {ROW_ENDS: np.int64, COLUMNS: np.int32, VALUES: np.float32}
ENTRY = np.dtype([("row", np.int32), ("column", np.int32), ("value", np.float32)])
CHUNK_SIZE = 5 << 20  # tokens times window in a chunk
MERGE_SIZE = 1 << 24  # entries of all chunks summed at once
SUBSAMPLING_STREAM = 2  # of the random streams of a seed
REMEDY = "name another folder, and the corpus will be counted again"


@dataclasses.dataclass(frozen=True, eq=False)
class Cooccurrence:
    """X [V, V]: X_co is the expected count of outside word o around center c.

    >>> corpus = Corpus.from_sentences([["to", "be", "or"], ["not", "to", "be"]] * 5)
    >>> counts = Cooccurrence.from_corpus(corpus, CountsConfig(window=2, sample=0.0))
    >>> dict(zip(corpus.vocabulary.words, counts.matrix[[0]].toarray()[0].tolist()))  # around the first word, "be"
    {'be': 0.0, 'to': 10.0, 'not': 2.5, 'or': 5.0}
    """

    matrix: Any
    """`scipy.sparse.csr_array` of float32 above 0, its columns sorted, on memory-mapped files."""

    @classmethod
    def from_corpus(cls, corpus: Corpus, config: CountsConfig | None = None) -> "Cooccurrence":
        """Count the co-occurrences of a corpus, or map the counts that an earlier call left on disk.

        A pair adds the weight of its distance times the probability that subsampling keeps both words. That ignores
        that words come nearer when those between them are dropped: `config.subsample_rounds` subsamples for real.

        Raises:
          InputError: the folder cannot be written, or `counts_dir` holds damaged counts or those of another corpus
            or config.
        """
        config = config or CountsConfig()
        key = _key(corpus, config)
        beside = corpus.folder and corpus.folder.with_name(f"{corpus.folder.name}-counts-{digest(key)}")
        folder = config.counts_dir or beside
        if folder is None:
            with tempfile.TemporaryDirectory() as temporary:
                config = dataclasses.replace(config, counts_dir=Path(temporary) / "counts")
                return cls.from_corpus(corpus, config)
        if config.counts_dir and folder.exists():
            _check_manifest(folder, key)
        elif lookup(folder, key) is None:
            with atomic_dir(folder, key) as (unfinished, _):
                write_counts(corpus, config, unfinished)
        return _open(folder, len(corpus.vocabulary))

    def __len__(self) -> int:
        """Return V."""
        return self.matrix.shape[0]


def smooth_counts(counts: Cooccurrence, count_power: float, context_smoothing: float) -> Cooccurrence:
    """Raise counts to one power and the totals of columns to another, keeping the total.

    The likelihood of raw counts is dominated by frequent words; both powers give the others more weight.
    """
    if count_power == context_smoothing == 1:
        return counts
    matrix = counts.matrix
    values = matrix.data.astype(np.float64) ** count_power
    totals = np.bincount(matrix.indices, values, len(counts))
    values *= np.where(totals > 0, totals, 1)[matrix.indices] ** (context_smoothing - 1)
    values *= matrix.data.sum(dtype=np.float64) / values.sum()
    return Cooccurrence(sparse.csr_array((values.astype(np.float32), matrix.indices, matrix.indptr), matrix.shape))


def _key(corpus: Corpus, config: CountsConfig) -> dict[str, Any]:
    text = hashlib.sha256(np.ascontiguousarray(corpus.ids).data)
    text.update(np.ascontiguousarray(corpus.line_ends).data)
    text.update(corpus.vocabulary.counts.tobytes())  # may include an earlier text; subsampling depends on them
    rounds = config.subsample_rounds
    return {
        "format": FORMAT, "corpus": text.hexdigest(), "words": len(corpus.vocabulary),
        "window": config.window, "sample": config.sample, "distance": config.distance,
        "subsample_rounds": rounds, "seed": config.seed if rounds else None,
    }  # fmt: skip


def _check_manifest(folder: Path, key: dict[str, Any]) -> None:
    if (manifest := read_manifest(folder)) is None:
        raise InputError(f"{folder}: not a complete folder of counts; {REMEDY}")
    stored = manifest["key"]
    for name in {**stored, **key}:
        if key.get(name) != stored.get(name):
            is_corpus = name in ("corpus", "words")
            other = "another corpus" if is_corpus else f"{name} {stored.get(name)}, not {key.get(name)}"
            raise InputError(f"{folder}: holds counts of {other}; name another folder")


def _open(folder: Path, vocab_size: int) -> Cooccurrence:
    """Map the files and check that they hold one matrix; their checksums do not say who wrote them."""
    try:
        row_ends, columns, values = (map_array(folder / name, dtype) for name, dtype in FILES.items())
        fits = len(row_ends) == vocab_size > 0 and len(columns) == len(values)
        fits = fits and offsets_are_valid(row_ends, len(values))
        if fits and len(values):  # min and max allocate nothing, and NaN fails the comparison
            fits = 0 <= columns.min() <= columns.max() < vocab_size and 0 < values.min() <= values.max() < np.inf
    except (OSError, ValueError):  # missing, or not a multiple of the item size
        fits = False
    if not fits:
        raise InputError(f"{folder}: its files do not hold one matrix of counts; {REMEDY}")
    row_ends = np.append(0, row_ends).astype(np.int32 if len(values) < 2**31 else np.int64)  # scipy copies mixed types
    return Cooccurrence(sparse.csr_array((values, columns, row_ends), shape=(vocab_size, vocab_size)))


def write_counts(corpus: Corpus, config: CountsConfig, folder: Path) -> None:
    """Write X [V, V] to a folder, in compressed sparse rows."""
    vocab_size, rounds = len(corpus.vocabulary), config.subsample_rounds
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample)
    # Multiplies rows and columns: together by 1/rounds, or by the probability that both words are kept.
    scale = np.full(vocab_size, rounds**-0.5) if rounds else keep
    max_entries = np.cumsum(2.0 * config.window * max(1, rounds) * corpus.occurrences)
    starts = np.flatnonzero(np.diff(max_entries // MERGE_SIZE, prepend=-1)).tolist()
    ranges, total = list(itertools.pairwise([*starts, vocab_size])), 0
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = lambda first: Path(scratch) / str(first)
        for counts in _count_chunks(corpus, config):
            entries: Any = np.rec.fromarrays([counts.tocoo().row, counts.indices, counts.data], ENTRY)
            for first, last in ranges:
                with open(path(first), "ab") as file:
                    file.write(entries[counts.indptr[first] : counts.indptr[last]].tobytes())
        for first, last in ranges:
            entries = np.fromfile(path(first), ENTRY) if path(first).exists() else np.empty(0, ENTRY)
            row, column = entries["row"], entries["column"]
            values = entries["value"] * (scale[row] * scale[column])  # in float64, for long sums
            rows: Any = sparse.coo_array((values, (row - first, column)), (last - first, vocab_size)).tocsr()
            rows.data = rows.data.astype(np.float32)
            rows.eliminate_zeros()  # underflows of float32
            arrays = rows.indptr[1:].astype(np.int64) + total, rows.indices.astype(np.int32), rows.data
            total += rows.nnz
            for name, array in zip(FILES, arrays, strict=True):
                with open(folder / name, "ab") as file:
                    file.write(array.data)


def _count_chunks(corpus: Corpus, config: CountsConfig) -> Iterator[Any]:
    """Yield the counts of each chunk of text, Cᵀ W C, as the sum of its outside words before and after."""
    window = min(config.window, max(1, corpus.longest_line - 1))  # no two words of a line are farther apart
    size, rounds = max(1, CHUNK_SIZE // window), max(1, config.subsample_rounds)
    keep = keep_probabilities(corpus.vocabulary.counts, config.sample).astype(np.float32)
    distance = np.arange(window, 0, -1)
    weights = {
        "linear": (config.window + 1 - distance) / config.window,
        "flat": np.ones(window),
        "harmonic": 1 / distance,
    }
    weight, text = weights[config.distance].astype(np.float32), np.empty((2, 0), np.int64)
    with progress(rounds * len(corpus.ids), "words", description="counting") as bar:
        for round_, start in itertools.product(range(rounds), range(0, len(corpus.ids), size)):
            ids = corpus.ids[start : start + size]
            chunk = np.stack([ids, np.searchsorted(corpus.line_ends, start + np.arange(len(ids)), "right")])
            if config.subsample_rounds:
                bits = np.random.Philox(key=[config.seed, SUBSAMPLING_STREAM], counter=[0, 0, round_, start])
                chunk = chunk[:, np.random.Generator(bits).random(len(ids), np.float32) < keep[ids]]
            before = text[:, -window:] if start else np.full((2, window), -1)  # no line is −1
            text = np.concatenate([before, chunk], axis=1)
            bar.update(len(ids))
            if not chunk.size:
                continue
            context, context_lines = np.lib.stride_tricks.sliding_window_view(text[:, :-1], window, axis=1)
            centers, lines = chunk
            same_line = context_lines == lines[:, None]
            values = np.broadcast_to(weight, same_line.shape)[same_line]
            row_ends, shape = np.append(0, np.cumsum(same_line.sum(1))), (len(centers), len(keep))
            windows = sparse.csr_array((values, context[same_line], row_ends), shape)
            one_hot = sparse.csr_array((np.ones(len(centers)), centers, np.arange(len(centers) + 1)), shape)
            counts = one_hot.T.tocsr() @ windows
            yield counts + counts.T
