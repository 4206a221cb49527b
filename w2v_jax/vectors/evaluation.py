"""What both evaluations share: how a set is read, and which vector stands for each of its words.

Words are compared without regard to case; of words that differ only in case, the first counts.
"""

import os
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from ..errors import InputError
from ..files import reading
from .keyed_vectors import KeyedVectors

Unknown = Literal["skip", "wrong", "mean"]
"""What becomes of an item with a word that has no vector: left out; counted as a failure; or asked all the
same, with the mean of all vectors for the word."""
Case = Literal["unicode", "ascii"]
"""The letters whose case does not matter: all, as for gensim, or a to z, as for word2vec.c."""


class Lookup(NamedTuple):
    """Vectors by the upper-case spelling of their words."""

    table: Float[np.ndarray, "V1 D"]
    """The vectors of the words that are known, and their mean, the last."""
    first: dict[str, int]
    """The first word that has a spelling."""
    spelled: Integer[np.ndarray, " V"]
    """The first word that is spelled as each is."""

    @classmethod
    def of(cls, vectors: KeyedVectors, top: int | None, case: Case = "unicode") -> "Lookup":
        """The `top` first words of some vectors; None for all."""
        words = [upper(word, case) for word in vectors.words[:top]]
        first = {word: i for i, word in reversed(list(enumerate(words)))}
        known = vectors.vectors[:top].astype(np.float32)
        return cls(np.vstack([known, known.mean(0)]), first, np.array([first[word] for word in words], np.int64))

    @property
    def vocab_size(self) -> int:
        """How many words are known; the mean's row."""
        return len(self.spelled)

    def ids(self, words: list[str]) -> list[int]:
        """The rows of upper-case words, the mean's for the unknown."""
        return [self.first.get(word, self.vocab_size) for word in words]


def upper(word: str, case: Case) -> str:
    """In capitals; `bytes.upper` changes a to z alone."""
    return word.upper() if case == "unicode" else word.encode().upper().decode()


def lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a UTF-8 file.

    Raises:
      InputError: it cannot be read, or is not UTF-8; the message says where.
    """
    with reading(path) as file:
        for number, raw in enumerate(file, 1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InputError(f"{os.fspath(path)}: line {number} is not UTF-8") from None
