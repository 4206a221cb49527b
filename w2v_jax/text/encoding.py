"""Encode words as integers, in one pass over the text and one over the integers."""

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from numpy.typing import ArrayLike

from ..config import TextConfig
from ..errors import InputError
from .shard import TextShard
from .tokens import TokenChunk
from .vocabulary import Vocabulary, select_words

IDS, LINE_ENDS = "ids.int32", "line_ends.int64"  # the files that are written
BLOCK_TOKENS = 1 << 22  # read from the scratch file at a time
NO_WORD, LINE_END = 0, 1  # the first two provisional ids


def encode(
    chunks: Iterable[TokenChunk],
    config: TextConfig,
    name: str,
    folder: Path,
    *,
    known: Vocabulary | None = None,
    shard: TextShard | None = None,
) -> tuple[Vocabulary, int]:
    """Write the ids of the tokens in the vocabulary, and the line ends; return the vocabulary and the number of tokens.

    The first pass counts words and writes their provisional ids to a scratch file. The second maps them to final
    ids. `Corpus.from_file` describes the arguments and errors; a known word of count 0 counts once.
    """
    provisional: defaultdict[str | None, int] = defaultdict(None, {"": NO_WORD, None: LINE_END})
    provisional.default_factory = provisional.__len__
    counts = np.zeros(0, np.int64)

    def add_counts(words: Collection[str], word_counts: ArrayLike) -> Integer[np.ndarray, " n"]:
        """Add to the counts of words; return their provisional ids, new ones for new words."""
        nonlocal counts
        word_ids = np.fromiter(map(provisional.__getitem__, words), np.int32, len(words))
        if len(counts) < len(provisional):
            counts = np.pad(counts, (0, len(provisional)))  # at least twice as long, hence rarely
        np.add.at(counts, word_ids, word_counts)
        return word_ids

    known_counts = zip(known.words, known.counts.tolist(), strict=True) if known else ()
    prior = {word: max(1, count) for word, count in known_counts if word}  # other programs have an empty word
    prior_ids = add_counts(prior, 0)
    if config.max_vocab is not None and len(prior) > config.max_vocab:
        raise InputError(f"max_vocab is {config.max_vocab}, but {len(prior)} words are known; raise it to that or more")
    with (
        tempfile.TemporaryFile(dir=folder) as scratch,
        open(folder / IDS, "wb") as ids,
        open(folder / LINE_ENDS, "wb") as line_ends,
    ):
        for types, indices, line_lengths in chunks:
            type_ids = add_counts(types, np.bincount(indices, minlength=len(types)))
            scratch.write(np.insert(type_ids[indices], np.cumsum(line_lengths)[:-1], LINE_END).data)
        counts[NO_WORD] = 0
        source_tokens = int(counts.sum())

        words = [word or "" for word in provisional]
        for peer_words, peer_counts in shard.gather_counts(words, counts[: len(words)].tolist()) if shard else ():
            add_counts(peer_words, peer_counts)
        words, counts = [word or "" for word in provisional], counts[: len(provisional)]
        if not counts.any():
            raise InputError(f"{name}: holds no words; give a text file, one sentence a line")
        totals = counts.copy()
        totals[prior_ids] += np.fromiter(prior.values(), np.int64)
        chosen = select_words(words, totals, min_count=config.min_count, max_size=config.max_vocab, known=prior_ids)
        if not counts[chosen].any():
            raise InputError(
                f"{name}: none of its {np.count_nonzero(counts):,} words {'is known or ' if prior else ''}occurs "
                f"{config.min_count} times; lower the minimum count (the most frequent occurs {counts.max():,} times)"
            )
        final_ids = np.full(len(words), -1, np.int32)
        final_ids[chosen] = np.arange(len(chosen), dtype=np.int32)

        scratch.write(np.int32(LINE_END).tobytes())
        scratch.seek(0)
        tokens, last_end = 0, 0
        for raw in iter(lambda: scratch.read(4 * BLOCK_TOKENS), b""):
            block = np.frombuffer(raw, np.int32)
            block_ids = final_ids[block]
            in_vocabulary = block_ids >= 0
            ids.write(block_ids[in_vocabulary].data)
            tokens_so_far = tokens + np.cumsum(in_vocabulary)
            ends = tokens_so_far[block == LINE_END]
            line_ends.write(ends[np.diff(ends, prepend=last_end) > 0].data)  # lines without words are dropped
            tokens, last_end = int(tokens_so_far[-1]), int(ends.max(initial=last_end))
    return Vocabulary(tuple(words[i] for i in chosen), totals[chosen]), source_tokens
