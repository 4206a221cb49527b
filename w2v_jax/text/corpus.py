"""A corpus of word ids, encoded once, kept on disk and mapped into memory."""

import dataclasses
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Integer

from ..cache import default_cache, digest, made, making
from ..config import TextConfig
from ..errors import InputError
from .encoding import encode
from .part import Part, reading_part
from .tokens import Piece, pieces_of_sentences, pieces_of_text
from .vocabulary import Vocabulary

FORMAT = 2
COUNTED_AT_ONCE = 1 << 20  # tokens
IDS, LINE_ENDS = "ids.int32", "line_ends.int64"


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A text as the ids of its words; words outside the vocabulary are left out.

    >>> corpus = Corpus.from_sentences([["to", "be", "or"], ["not", "to", "be"]], TextConfig(min_count=1))
    >>> corpus.vocabulary.words, corpus.ids.tolist(), corpus.line_ends.tolist()
    (('be', 'to', 'not', 'or'), [1, 0, 3, 2, 1, 0], [3, 6])
    """

    ids: Integer[np.ndarray, " tokens"]
    """int32, memory-mapped."""
    line_ends: Integer[np.ndarray, " lines"]
    """int64, memory-mapped: line i is `ids[line_ends[i - 1] : line_ends[i]]`."""
    vocabulary: Vocabulary
    source_tokens: int
    """All the words of the text, those outside the vocabulary too."""
    folder: Path | None = None
    """Where the encoded corpus lies."""

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        config: TextConfig | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        known: Vocabulary | None = None,
        part: Part | None = None,
    ) -> "Corpus":
        """Encode a text file, or map what an earlier call left in the `cache` folder.

        The file is local or any fsspec URL, plain or compressed. It is read once to tell by its
        checksum whether an encoding in the cache fits it, and once more when none does; put
        `simplecache::` before a URL to fetch it once.

        Args:
          known: the vocabulary of an earlier text, to go on from: its words stay, whatever their count here,
            and their counts are those of both texts. New ones enter by `config`, whose `max_vocab` bounds
            them all.
          part: encode only this part of the text, with the vocabulary and the counts of all.

        Raises:
          InputError: the file cannot be read, is not text, or has too few words; the cache cannot be
            written; or more words are known than `max_vocab`.
        """
        config = config or TextConfig()
        checksum = _source_checksum(path, part)
        key = {"format": FORMAT, "sha256": checksum, "text": dataclasses.asdict(config)}
        key |= {"known": known.sha256} if known else {}
        key |= {"part": part.number, "parts": list(map(bytes.decode, part.exchange(checksum.encode())))} if part else {}
        stem = Path(os.fspath(path)).name.split(".")[0][:64]
        folder = Path(cache if cache is not None else default_cache()) / f"{stem}-{digest(key)}"
        found = _load(folder, key)
        if not all(part.exchange(b"1" if found else b"") if part else [found]):  # all parts are encoded together
            _encode_to(folder, key, _pieces(path, config, part), config, os.fspath(path), known, part)
            found = _load(folder, key)
        if found is None:
            raise InputError(f"{folder}: does not hold what was written there; delete it and try again")
        return found

    @classmethod
    def from_sentences(
        cls,
        sentences: Iterable[Iterable[str]],
        config: TextConfig | None = None,
        *,
        known: Vocabulary | None = None,
    ) -> "Corpus":
        """Encode sentences that Python holds, each a list of words, which are taken as they are; `known` as above.

        Raises:
          InputError: a sentence is not a list of words, no word is frequent enough, or more are known than `max_vocab`.
        """
        config = config or TextConfig()
        with tempfile.TemporaryFile() as scratch, tempfile.TemporaryFile() as ids, tempfile.TemporaryFile() as ends:
            pieces = pieces_of_sentences(sentences)
            encoded = encode(pieces, config, "the sentences", scratch=scratch, ids=ids, ends=ends, known=known)
            return cls(_map(ids, np.int32), _map(ends, np.int64), encoded.vocabulary, encoded.source_tokens)

    @functools.cached_property
    def occurrences(self) -> Integer[np.ndarray, " V"]:
        """How often each word stands in this text; the vocabulary's counts may be of an earlier one as well."""
        parts = range(0, len(self.ids), COUNTED_AT_ONCE)
        counts = (np.bincount(self.ids[i : i + COUNTED_AT_ONCE], minlength=len(self.vocabulary)) for i in parts)
        return functools.reduce(np.add, counts, np.zeros(len(self.vocabulary), np.int64))


def _pieces(path: str | os.PathLike[str], config: TextConfig, part: Part | None) -> Iterator[Piece]:
    """The file's pieces; an error while it is read is the file's, and not the folder's that is written meanwhile."""
    where = f"{os.fspath(path)}, part {part.number + 1} of {part.of}" if part else os.fspath(path)
    with reading_part(path, part) as file:
        yield from pieces_of_text(file, config, where)


def _source_checksum(path: str | os.PathLike[str], part: Part | None) -> str:
    with reading_part(path, part, unpack=False) as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


def _encode_to(
    folder: Path,
    key: dict[str, Any],
    pieces: Any,
    config: TextConfig,
    name: str,
    known: Vocabulary | None,
    part: Part | None,
) -> None:
    with making(folder, key) as (temporary, about):
        with (
            tempfile.TemporaryFile(dir=temporary) as scratch,
            open(temporary / IDS, "wb") as ids,
            open(temporary / LINE_ENDS, "wb") as ends,
        ):
            encoded = encode(pieces, config, name, scratch=scratch, ids=ids, ends=ends, known=known, part=part)
        about["words"] = encoded.vocabulary.words
        about["counts"] = encoded.vocabulary.counts.tolist()
        about["source_tokens"] = encoded.source_tokens


def _load(folder: Path, key: dict[str, Any]) -> Corpus | None:
    """The corpus in a folder, unless it is not there, not whole, or not what `key` asks for."""
    try:
        about = made(folder, key)
        if about is None:
            return None
        with open(folder / IDS, "rb") as ids, open(folder / LINE_ENDS, "rb") as ends:
            vocabulary = Vocabulary(tuple(about["words"]), np.array(about["counts"], np.int64))
            found = Corpus(_map(ids, np.int32), _map(ends, np.int64), vocabulary, int(about["source_tokens"]), folder)
            return found if _fits(found) else None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, InputError):
        return None


def _fits(corpus: Corpus) -> bool:
    """Whether the files are of one corpus; who wrote them, and their checksums, may have had anything in mind."""
    words, ids = corpus.vocabulary.words, corpus.ids
    return (
        len(words) == len(corpus.vocabulary.counts) > 0
        and all(isinstance(word, str) for word in words)
        and bool((corpus.vocabulary.counts > 0).all())
        and (not len(ids) or 0 <= ids.min() <= ids.max() < len(words))
        and rises_to(len(ids), corpus.line_ends)
    )


def rises_to(end: int, ends: Integer[np.ndarray, " n"]) -> bool:
    """Whether each is 0 or more, none less than the one before, and the last is `end`."""
    if not len(ends):
        return end == 0
    return bool(ends[0] >= 0 and ends[-1] == end and (ends[1:] >= ends[:-1]).all())


def _map(file: Any, dtype: type[np.integer[Any]]) -> Integer[np.ndarray, " n"]:
    file.flush()
    if not file.seek(0, os.SEEK_END):  # which cannot be mapped: no word of this part is in the vocabulary
        return np.empty(0, dtype)
    return np.memmap(file, dtype, mode="r")
