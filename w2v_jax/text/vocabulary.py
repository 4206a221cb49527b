"""The words that have vectors, each with its count, by falling count."""

import dataclasses
import difflib
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Integer

from ..errors import InputError

NOBODY = np.empty(0, np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """V distinct words and how often each occurs; a word's id is its place.

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
        return word in self.index

    def __getitem__(self, word: str) -> int:
        """The word's id.

        Raises:
          InputError: the word is not in the vocabulary; the message suggests close spellings.
        """
        try:
            return self.index[word]
        except KeyError:
            raise InputError(f"{word!r} is not in the vocabulary{self._suggestion(word)}") from None

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Each word's id."""
        return {word: i for i, word in enumerate(self.words)}

    @functools.cached_property
    def sha256(self) -> str:
        """What two vocabularies share only if their words and counts are the same."""
        return hashlib.sha256(json.dumps(self.words).encode() + self.counts.tobytes()).hexdigest()

    def _suggestion(self, word: str) -> str:
        # difflib compares with every word it is given: the most frequent ones are likelier, and enough.
        close = [w for w in (word.lower(), word.capitalize(), word.upper()) if w in self.index]
        close += difflib.get_close_matches(word, self.words[:50_000], n=3)
        return f"; did you mean {', '.join(dict.fromkeys(close))}?" if close else ""


def select(
    words: Sequence[str],
    counts: Iterable[int],
    *,
    min_count: int,
    max_size: int | None,
    known: Integer[np.ndarray, " n"] = NOBODY,
) -> Integer[np.ndarray, " V"]:
    """Which words make the vocabulary, in its order: by falling count, equal counts by code point.

    Words seen fewer than `min_count` times are left out, and all but the first `max_size`; those in
    `known`, places in `words`, stay whatever their count, and others fill up what they leave.

    >>> select(["b", "rare", "a", "the"], [2, 1, 2, 9], min_count=2, max_size=None).tolist()
    [3, 2, 0]
    """
    counts = np.asarray(counts, np.int64)
    is_known = np.zeros(len(words), bool)
    is_known[known] = True
    kept = np.flatnonzero((counts >= min_count) | is_known)
    order = np.array(sorted(kept.tolist(), key=lambda i: (-counts[i], words[i])), np.int64)
    if max_size is None:
        return order
    stays = is_known[order]
    return order[stays | (np.cumsum(~stays) <= max_size - len(known))]
