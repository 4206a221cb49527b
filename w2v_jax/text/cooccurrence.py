"""How often each word is expected to stand outside each center, over a whole corpus, kept on disk.

Summed over a corpus, the naive softmax loss depends on nothing else (`objectives/softmax_counts.py`).
"""

import dataclasses
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from scipy import sparse

from ..cache import digest, made, making, whole
from ..config import CountsConfig, TrainConfig
from ..errors import InputError
from .corpus import Corpus, rises_to
from .counting import COLUMNS, ROW_ENDS, VALUES, write_counts

FORMAT = 2
FILES = {ROW_ENDS: np.int64, COLUMNS: np.int32, VALUES: np.float32}
ANEW = "name another, where they will be counted anew"


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

        def count(folder: Path) -> Cooccurrence:
            with making(folder, key) as (temporary, _):
                write_counts(corpus, config, counts, temporary)
            return _open(folder, len(corpus.vocabulary))

        if named := counts.counts:
            if not named.exists():
                return count(named)
            _check(named, key)
            return _open(named, len(corpus.vocabulary))
        if corpus.folder is None:
            with tempfile.TemporaryDirectory() as temporary:
                return dataclasses.replace(count(Path(temporary) / "counts"), folder=None)
        beside = corpus.folder.with_name(f"{corpus.folder.name}-counts-{digest(key)}")
        return count(beside) if made(beside, key) is None else _open(beside, len(corpus.vocabulary))

    def __len__(self) -> int:
        """How many words, V."""
        return len(self.row_ends)

    def _fits(self, vocab_size: int) -> bool:
        """Whether the files are of one matrix of so many words; who wrote them may have had anything in mind."""
        columns, values = self.columns, self.values
        if not len(self) == vocab_size > 0 or len(columns) != len(values) or not rises_to(len(values), self.row_ends):
            return False
        return not len(values) or bool(  # no array as long as the counts is made; what is not a number is the min
            0 <= columns.min() <= columns.max() < vocab_size and 0 < values.min() <= values.max() < np.inf
        )

    @property
    def matrix(self) -> Any:
        """The same as a `scipy.sparse.csr_array`, on the mapped files."""
        return sparse.csr_array((self.values, self.columns, np.append(0, self.row_ends)), shape=(len(self),) * 2)


def _key(corpus: Corpus, config: TrainConfig, counts: CountsConfig) -> dict[str, Any]:
    text = hashlib.sha256(np.ascontiguousarray(corpus.ids).data)
    text.update(np.ascontiguousarray(corpus.line_ends).data)
    text.update(corpus.vocabulary.counts.tobytes())  # perhaps of an earlier text as well; subsampling goes by them
    return {
        "format": FORMAT, "corpus": text.hexdigest(), "words": len(corpus.vocabulary),
        "window": config.window, "sample": config.sample, "distance": counts.distance,
        "thinnings": counts.thinnings, "seed": config.seed if counts.thinnings else None,
    }  # fmt: skip


def _check(folder: Path, key: dict[str, Any]) -> None:
    about = whole(folder)
    if about is None:
        raise InputError(f"{folder}: is no whole folder of counts; {ANEW}")
    theirs = about["key"]
    for name in {**theirs, **key}:
        if key.get(name) != theirs.get(name):
            differs = f"{name} {theirs.get(name)}, not {key.get(name)}"
            what = "another corpus" if name in ("corpus", "words") else differs
            raise InputError(f"{folder}: holds counts of {what}; name another folder")


def _open(folder: Path, vocab_size: int) -> Cooccurrence:
    # A file of no bytes cannot be mapped: no word has another beside it.
    try:
        row_ends, columns, values = (
            np.memmap(folder / name, dtype, mode="r") if (folder / name).stat().st_size else np.empty(0, dtype)
            for name, dtype in FILES.items()
        )
    except (OSError, ValueError) as error:  # not there, or not of whole numbers
        raise InputError(f"{folder}: its counts cannot be read: {error}; {ANEW}") from error
    found = Cooccurrence(row_ends, columns, values, folder)
    if not found._fits(vocab_size):
        raise InputError(f"{folder}: its files are not of one matrix of counts; {ANEW}")
    return found
