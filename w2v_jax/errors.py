"""Exceptions whose message the command line prints as one line."""

from typing import Any, get_args


class InputError(Exception):  # not a ValueError, which tyro would catch and print in a box
    """The input cannot be used; the message says in one line what is wrong and how to mend it."""


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
