"""A corpus of word ids, encoded once, cached on disk and memory-mapped."""

import dataclasses
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from ..cache import atomic_dir, cache_folder, digest, lookup, map_array
from ..config import TextConfig
from ..errors import InputError
from .encoding import IDS, LINE_ENDS, encode
from .shard import TextShard, read_shard
from .tokens import chunk_sentences, tokenize
from .vocabulary import Vocabulary

FORMAT = 2
BLOCK_TOKENS = 1 << 20  # counted at a time


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

        Args:
          path: a local file or any fsspec URL, plain or compressed.
          cache: the folder of cached encodings.
          known: a vocabulary to extend. Its words stay, whatever their count in this text, and their counts are added.
          shard: encode only this share of the text, with the vocabulary and the counts of all shards.

        Raises:
          InputError: the text is unreadable or has too few words; the cache cannot be written; or `max_vocab` is
            smaller than `known`.
        """
        config, name, sha256 = config or TextConfig(), os.fspath(path), hashlib.sha256()
        for chunk in read_shard(path, shard, decompress=False):
            sha256.update(chunk)
        key = {"format": FORMAT, "sha256": sha256.hexdigest(), "text": dataclasses.asdict(config)}
        key |= {"known": known.sha256} if known else {}
        if shard:
            shards = [peer.decode() for peer in shard.allgather(sha256.hexdigest().encode())]
            key |= {"shard": shard.index, "shards": shards}
        folder = cache_folder(cache) / f"{Path(name).name.split('.')[0][:64]}-{digest(key)}"
        corpus = _load(folder, key)
        if not all(shard.allgather(b"1" if corpus else b"") if shard else [corpus]):  # all shards are encoded together
            part = f"{name}, part {shard.index + 1} of {shard.count}" if shard else name
            with atomic_dir(folder, key) as (temporary, manifest):
                chunks = tokenize(read_shard(path, shard), config, part)
                vocabulary, tokens = encode(chunks, config, name, temporary, known=known, shard=shard)
                manifest |= {"source_tokens": tokens, "words": vocabulary.words, "counts": vocabulary.counts.tolist()}
            corpus = _load(folder, key)
        if corpus is None:
            raise InputError(f"{folder}: is damaged; delete it and try again")
        return corpus

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[Iterable[str]], config: TextConfig | None = None, *, known: Vocabulary | None = None
    ) -> "Corpus":
        """Encode sentences, each a list of words, without normalization or lower-casing.

        Raises:
          InputError: as `from_file`, or a sentence is not a list of words.
        """
        config, chunks = config or TextConfig(), chunk_sentences(sentences)
        with tempfile.TemporaryDirectory() as folder:  # mapped files outlive their names
            vocabulary, tokens = encode(chunks, config, "the sentences", Path(folder), known=known)
            return cls(*_map_files(Path(folder)), vocabulary, tokens)

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


def _load(folder: Path, key: dict[str, Any]) -> Corpus | None:
    """Map the corpus in a folder; return None if it is missing, incomplete, inconsistent or of another key."""
    try:
        if (manifest := lookup(folder, key)) is None:
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
