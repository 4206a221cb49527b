"""The vocabulary: words and their counts, by falling count."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Integer

from ..errors import InputError, UnknownWordError


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """V distinct words and their counts; a word's id is its index.

    >>> vocabulary = Vocabulary(("the", "of"), counts=(7, 3))
    >>> vocabulary["of"], "cat" in vocabulary, len(vocabulary)
    (1, False, 2)
    """

    words: tuple[str, ...]
    counts: Integer[np.ndarray, " V"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "counts", np.asarray(self.counts, np.int64))
        if len(self.words) != len(self.counts):
            raise InputError(f"{len(self.words)} words but {len(self.counts)} counts; each word needs one")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and word in self.index

    def __getitem__(self, word: str) -> int:
        """Return the id of a word.

        Raises:
          UnknownWordError: the word is not in the vocabulary; a KeyError, whose message suggests close spellings.
        """
        if word not in self:
            raise UnknownWordError(word, self.words)
        return self.index[word]

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """The id of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @functools.cached_property
    def sha256(self) -> str:
        """A fingerprint of the words and their counts."""
        return hashlib.sha256(json.dumps(self.words).encode() + self.counts.tobytes()).hexdigest()


def select_words(
    words: Sequence[str], counts: Iterable[int], *, min_count: int, max_size: int | None, known: Iterable[int] = ()
) -> Integer[np.ndarray, " V"]:
    """Return the indices of the vocabulary's words, by falling count and then by code point.

    Words of fewer than `min_count` occurrences and all but the `max_size` most frequent are left out.
    Words whose index is in `known` are always kept, and count towards `max_size`.

    >>> select_words(["b", "rare", "a", "the"], [2, 1, 2, 9], min_count=2, max_size=None).tolist()
    [3, 2, 0]
    """
    counts, is_new = np.asarray(counts, np.int64), np.ones(len(words), bool)
    is_new[list(known)] = False
    candidates = np.flatnonzero((counts >= min_count) | ~is_new).tolist()
    order = np.array(sorted(candidates, key=lambda i: (-counts[i], words[i])), np.int64)
    room = len(words) if max_size is None else max_size - np.count_nonzero(~is_new)
    return order[~is_new[order] | (np.cumsum(is_new[order]) <= room)]
