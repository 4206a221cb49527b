"""Words to integers, in one pass over the text and one over the integers."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Integer

from ..config import TextConfig
from ..errors import InputError
from .part import Part
from .tokens import Piece
from .vocabulary import Vocabulary, select

SLICE = 1 << 22  # tokens of a file looked at in one go
NO_WORD, LINE_END = 0, 1  # the first two provisional ids


class Encoded(NamedTuple):
    """What `encode` found beside the ids it wrote."""

    vocabulary: Vocabulary
    source_tokens: int
    tokens: int


def encode(
    pieces: Iterable[Piece],
    config: TextConfig,
    name: str,
    *,
    scratch: BinaryIO,
    ids: BinaryIO,
    ends: BinaryIO,
    known: Vocabulary | None = None,
    part: Part | None = None,
) -> Encoded:
    """Write the id of every token in the vocabulary as int32, and where each line ends as int64.

    Words get provisional ids in the order in which they come, so that the text is read once; when
    all have been counted, the provisional ids become places in the vocabulary and words outside it
    vanish. `scratch` holds the provisional ids meanwhile.

    The words of `known` stay in the vocabulary, however often the text has them, and their counts
    are those of both texts; a word known without a count has been seen once. With a `part`, the
    vocabulary and its counts are of all parts; the ids, of this one.

    Raises:
      InputError: there is no word, none is frequent enough for the vocabulary, or more are known than it may hold.
    """
    provisional: defaultdict[str | None, int] = defaultdict(None, {"": NO_WORD, None: LINE_END})
    provisional.default_factory = provisional.__len__
    counted = zip(known.words, known.counts.tolist(), strict=True) if known else ()
    seen = {word: max(1, count) for word, count in counted if word}  # other programs know an empty word
    before = np.array([provisional[word] for word in seen], np.int64)
    if config.max_vocab is not None and len(before) > config.max_vocab:
        raise InputError(f"max_vocab is {config.max_vocab}, but {len(before)} words are known already; give no less")
    for types, indices, line_lengths in pieces:
        ids_of_types = np.fromiter(map(provisional.__getitem__, types), np.int32, len(types))
        scratch.write(np.insert(ids_of_types[indices], np.cumsum(line_lengths)[:-1], LINE_END).data)

    counts = np.zeros(len(provisional), np.int64)
    for some in _slices(scratch):
        counts += np.bincount(some, minlength=len(counts))
    counts[[NO_WORD, LINE_END]] = 0
    others = part.counts([word or "" for word in provisional], counts) if part else []
    if not any(some.any() for some in (counts, *(some for _, some in others))):
        raise InputError(f"{name}: holds no words; give a text file, one sentence a line")
    places = [(np.fromiter(map(provisional.__getitem__, theirs), np.int64), some) for theirs, some in others]
    words = [word or "" for word in provisional]
    counts.resize(len(words))
    of_text = counts.copy()  # all its parts
    for theirs, some in places:
        of_text[theirs] += some
    total = of_text.copy()
    total[before] += np.array(list(seen.values()), np.int64)
    chosen = select(words, total, min_count=config.min_count, max_size=config.max_vocab, known=before)
    if not of_text[chosen].any():
        raise InputError(
            f"{name}: none of its {np.count_nonzero(of_text):,} words {'is known or ' if seen else ''}occurs "
            f"{config.min_count} times; lower the minimum count (the most frequent occurs {of_text.max():,} times)"
        )
    place = np.full(len(words), -1, np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)

    tokens = 0
    last_end = np.zeros(1, np.int64)
    for some in itertools.chain(_slices(scratch), [np.array([LINE_END])]):
        final = place[some]
        inside = final >= 0
        ids.write(final[inside].data)
        tokens_after = tokens + np.cumsum(inside)
        line_ends = np.concatenate([last_end, tokens_after[some == LINE_END]])
        ends.write(line_ends[1:][np.diff(line_ends) > 0].data)  # a line with no word left is none
        tokens, last_end = int(tokens_after[-1]), line_ends[-1:]
    vocabulary = Vocabulary(tuple(words[i] for i in chosen), total[chosen])
    return Encoded(vocabulary, int(counts.sum()), tokens)


def _slices(file: BinaryIO) -> Iterator[Integer[np.ndarray, " slice"]]:
    file.seek(0)
    while len(part := np.frombuffer(file.read(4 * SLICE), np.int32)):
        yield part
