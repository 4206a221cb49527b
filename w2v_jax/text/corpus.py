"""A corpus of word ids, encoded once, cached on disk and memory-mapped."""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from ..cache import atomic_dir, cache_folder, digest, exclusive, lookup, map_array, sweep
from ..config import TextConfig
from ..errors import InputError
from ..files import find_compression
from ..paths import expand, shorten
from .encoding import IDS, LINE_ENDS, encode
from .shard import TextShard, read_shard
from .source import STDIN, read_text, rereadable
from .tokens import chunk_sentences, tokenize
from .vocabulary import Vocabulary

FORMAT = 3
TRIES = 3  # of a text that changes meanwhile
BLOCK_TOKENS = 1 << 20  # counted at a time


class TextChangedError(Exception):
    """The text is no longer the one of the checksum."""


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A text as word ids; words outside the vocabulary are left out.

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
    """Number of words in the text, including those outside the vocabulary."""
    folder: Path | None = None
    """The cache directory of the encoded corpus."""

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        config: TextConfig | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        known: Vocabulary | None = None,
        shard: TextShard | None = None,
    ) -> "Corpus":
        """Encode a text file, or map the cached encoding of the same text and config.

        The file is read once for its checksum, and once more to encode it; `simplecache::` before a URL saves one.
        Processes that encode one text wait for the first of them.

        Args:
          path: a local file or any fsspec URL, plain or compressed; a pipe; or `-` for standard input.
          cache: the folder of cached encodings.
          known: a vocabulary to extend. Its words stay, whatever their count in this text, and their counts are added.
          shard: encode only this share of the text, with the vocabulary and the counts of all shards.

        Raises:
          InputError: the text is unreadable, no text, has too few words, or changes all the time; the cache cannot be
            written; or `max_vocab` is smaller than `known`.
        """
        config, name, parent = config or TextConfig(), os.fspath(path), cache_folder(cache)
        sweep(parent)
        with rereadable(path, parent) as text:
            if shard and text != expand(path):
                raise InputError(f"{name}: {shard.count} processes cannot share a pipe; name a file")
            for _ in range(1 if shard else TRIES):
                with contextlib.suppress(TextChangedError):
                    return _encode_file(text, name, config, parent, known, shard)
        raise InputError(f"{name}: changes while it is read; train on a copy of it")

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[Iterable[str]], config: TextConfig | None = None, *, known: Vocabulary | None = None
    ) -> "Corpus":
        """Encode sentences, each a list of words.

        Raises:
          InputError: as `from_file`, or a sentence is not a list of words.
        """
        config = config or TextConfig()
        try:
            with tempfile.TemporaryDirectory() as folder:  # mapped files outlive their names
                chunks, path = chunk_sentences(sentences, config), Path(folder)
                vocabulary, tokens = encode(chunks, config, "the sentences", path, known=known)
                return cls(*_map_files(path), vocabulary, tokens)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) and "temporary directory" not in str(error):
                raise  # of the sentences themselves
            raise InputError(f"no temporary folder can be written: {error.strerror}; name one in TMPDIR") from error

    @functools.cached_property
    def longest_line(self) -> int:
        """The number of words of the longest line; 0 without lines."""
        return int(np.diff(self.line_ends, prepend=0).max(initial=0))

    @functools.cached_property
    def occurrences(self) -> Integer[np.ndarray, " V"]:
        """The count of each word in `ids`; the vocabulary's counts may include other texts and shards."""
        counts = np.zeros(len(self.vocabulary), np.int64)
        for start in range(0, len(self.ids), BLOCK_TOKENS):
            counts += np.bincount(self.ids[start : start + BLOCK_TOKENS], minlength=len(counts))
        return counts


def _encode_file(
    text: str, name: str, config: TextConfig, parent: Path, known: Vocabulary | None, shard: TextShard | None
) -> Corpus:
    """Map or make the encoding of a text in the cache."""
    sha256, size, is_plain = _checksum(text, shard)
    is_plain &= config.field is None
    key = {"format": FORMAT, "sha256": sha256, "text": dataclasses.asdict(config)}
    key |= {"known": known.sha256} if known else {}
    if shard:
        key |= {"shard": shard.index, "shards": [peer.decode() for peer in shard.allgather(sha256.encode())]}
    stem = "stdin" if name == STDIN else shorten(Path(name).name.split(".")[0])
    folder = parent / f"{stem}-{digest(key)}"
    corpus = _load(folder, lookup(folder, key))
    cached = all(shard.allgather(b"1" if corpus else b"")) if shard else corpus  # all shards are encoded together
    if corpus and cached:
        return corpus
    part = f"{name}, part {shard.index + 1} of {shard.count}" if shard else name
    with contextlib.nullcontext() if shard else exclusive(folder):  # shards wait for each other already
        manifest = None if shard else lookup(folder, key)
        if manifest is None:
            encoded, most = hashlib.sha256(), size if is_plain and not shard else sys.maxsize
            with atomic_dir(folder, key) as (temporary, manifest):
                chunks = _tee(read_text(text, shard, field=config.field, name=part, most=most), encoded.update)
                tokens = tokenize(chunks, config, part)
                vocabulary, total = encode(tokens, config, name, temporary, known=known, shard=shard)
                if sha256 != (encoded.hexdigest() if is_plain else _checksum(text, shard)[0]):
                    raise TextChangedError
                manifest |= {"source_tokens": total, "words": vocabulary.words, "counts": vocabulary.counts.tolist()}
    if (corpus := _load(folder, manifest)) is None:
        raise InputError(f"{folder}: is damaged; delete it and try again")
    return corpus


def _tee(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk


def _checksum(text: str, shard: TextShard | None) -> tuple[str, int, bool]:
    """Return the SHA-256 and the size of a text as it is stored, and whether that is uncompressed."""
    sha256, size, is_plain = hashlib.sha256(), 0, find_compression(b"", text) is None
    for chunk in read_shard(text, shard, decompress=False):
        is_plain &= size > 0 or find_compression(chunk, text) is None
        sha256.update(chunk)
        size += len(chunk)
    return sha256.hexdigest(), size, is_plain


def _load(folder: Path, manifest: dict[str, Any] | None) -> Corpus | None:
    """Map the corpus in a folder; return None if it is missing, incomplete or inconsistent."""
    try:
        if manifest is None:
            return None
        vocabulary = Vocabulary(manifest["words"], manifest["counts"])
        corpus = Corpus(*_map_files(folder), vocabulary, int(manifest["source_tokens"]), folder)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, InputError):
        return None
    words, ids = vocabulary.words, corpus.ids
    is_consistent = (  # checksums do not prove it, since anyone can write both
        len(words) > 0
        and all(isinstance(word, str) for word in words)
        and (vocabulary.counts > 0).all()
        and 0 <= ids.min(initial=0) <= ids.max(initial=0) < len(words)
        and offsets_are_valid(corpus.line_ends, len(ids))
    )
    return corpus if is_consistent else None


def offsets_are_valid(ends: Integer[np.ndarray, " n"], total: int) -> bool:
    """Return whether offsets are non-negative, never fall, and end at `total`."""
    return bool((ends[:1] >= 0).all() and (ends[1:] >= ends[:-1]).all() and total == (ends[-1] if len(ends) else 0))


def _map_files(folder: Path) -> tuple[Integer[np.ndarray, " tokens"], Integer[np.ndarray, " lines"]]:
    return map_array(folder / IDS, np.int32), map_array(folder / LINE_ENDS, np.int64)
