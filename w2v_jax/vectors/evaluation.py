"""What both evaluations share: how a set is read, and which vector stands for each of its words.

Words are compared without regard to case; of words that differ only in case, the first counts.
"""

import os
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from ..errors import InputError, check_one_of
from ..files import reading
from .keyed_vectors import KeyedVectors

Unknown = Literal["skip", "wrong", "mean"]
"""What becomes of an item with a word that has no vector: left out; counted as a failure; or asked all the
same, with the mean of all vectors for the word."""
Case = Literal["unicode", "ascii"]
"""The letters whose case does not matter: all, as for gensim, or a to z, as for word2vec.c."""

UPPER: dict[Case, Callable[[str], str]] = {
    "unicode": str.upper,
    "ascii": lambda word: word.encode().upper().decode(),  # bytes know no other capitals
}
LONGEST_LINE = 1 << 20  # bytes


class Lookup(NamedTuple):
    """Vectors by the upper-case spelling of their words."""

    table: Float[np.ndarray, "V D"]
    """The vectors of the words that are known."""
    spellings: list[str]
    first: dict[str, int]
    """The first word that has a spelling."""

    @classmethod
    def of(cls, vectors: KeyedVectors, top: int | None, case: Case = "unicode") -> "Lookup":
        """The `top` first words of some vectors; None for all."""
        if top is not None and top < 1:
            raise InputError(f"top is {top}; it must be at least 1")
        check_one_of("case", case, Case)
        spellings = [*map(UPPER[case], vectors.words[:top])]
        ids = range(len(spellings))
        return cls(vectors.vectors[:top], spellings, dict(zip(reversed(spellings), reversed(ids), strict=True)))

    def ids(self, words: list[str]) -> list[int]:
        """The rows of upper-case words; V for the unknown."""
        return [self.first.get(word, len(self.spellings)) for word in words]

    def rows(self, ids: Integer[np.ndarray, "*n"]) -> Float[np.ndarray, "*n D"]:
        """The vectors of words, in float32; for V the mean of all."""
        rows = self.table.take(ids, 0, mode="clip").astype(np.float32)
        if (ids == len(self.table)).any():
            rows[ids == len(self.table)] = self.table.mean(0, dtype=np.float32)
        return rows

    def spelled(self) -> Integer[np.ndarray, " V"]:
        """The first word that is spelled as each is."""
        return np.array(self.ids(self.spellings), np.int64)


def lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a UTF-8 file.

    Raises:
      InputError: it cannot be read, or is not UTF-8; the message says where.
    """
    with reading(path) as file:
        for number, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            if len(raw) == LONGEST_LINE:
                raise InputError(f"{os.fspath(path)}: line {number} is over {LONGEST_LINE:,} bytes; is this a set?")
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InputError(f"{os.fspath(path)}: line {number} is not UTF-8") from None
