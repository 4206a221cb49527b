"""Exceptions whose message the command line prints as one line."""

import difflib
import operator
import unicodedata
from collections.abc import Sequence
from typing import Any, get_args

MAX_SHOWN = 100  # characters of a word in a message


class InputError(Exception):  # not a ValueError, which tyro would catch and print in a box
    """The input cannot be used; the message says in one line what is wrong and how to mend it."""


class UnknownWordError(InputError, KeyError):
    """A word is not in the vocabulary; close spellings are searched only when the message is shown, as that is slow."""

    def __init__(self, word: object, candidates: Sequence[str] = ()) -> None:
        super().__init__(word)
        self.word, self.candidates = word, candidates

    def __str__(self) -> str:
        close = self.close_words()
        shown = repr(self.word if len(str(self.word)) <= MAX_SHOWN else str(self.word)[:MAX_SHOWN] + "…")
        form = lambda word: unicodedata.normalize("NFKC", word)
        if same := next((word for word in close if form(word) == form(str(self.word))), None):
            return f"{shown} is not in the vocabulary, but {same!a} is, its other Unicode form; normalize both"
        return f"{shown} is not in the vocabulary" + (f"; did you mean {', '.join(close)}?" if close else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.word, self.close_words())  # not the whole vocabulary

    def close_words(self) -> list[str]:
        """Return the word in another case, and up to three words of similar spelling."""
        word = str(self.word)[:MAX_SHOWN]
        cases = [case for case in (word.lower(), word.capitalize(), word.upper()) if case in self.candidates]
        close = difflib.get_close_matches(word, self.candidates[:50_000], n=3)
        return [other for other in dict.fromkeys(cases + close) if other.isprintable()]


class PeerLostError(InputError):
    """Another training process has ended or cannot be reached."""


class TrainingInterrupted(Exception):
    """A signal stopped training, whose state has been saved."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


def check_one_of(name: str, value: object, kind: Any) -> None:
    """Raise InputError unless `value` is one of those of the `Literal` type `kind`."""
    if value not in get_args(kind):
        raise InputError(f"{name} is {value!r}; it must be one of {', '.join(get_args(kind))}")


def check_positive(name: str, value: Any) -> int:
    """Return an integer of any type as Python's; raise InputError unless it is at least 1."""
    if not hasattr(value, "__index__"):
        raise InputError(f"{name} is {value}; it must be an integer, at least 1")
    if (number := operator.index(value)) < 1:
        raise InputError(f"{name} is {number}; it must be at least 1")
    return number
