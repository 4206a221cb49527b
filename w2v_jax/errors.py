"""What a person can bring about: input that cannot be used, and a stop."""

from typing import Any, get_args


class InputError(Exception):  # no ValueError: tyro would catch that, and dress it up in a box
    """What was given cannot be used; the message is one line: what is wrong, and how to mend it."""


class ProcessGone(InputError):
    """Another of the processes that train together has gone, and there is nobody left to wait for."""


def check_one_of(name: str, value: object, kind: Any) -> None:
    """Raise where a value is none of a `Literal`'s."""
    if value not in get_args(kind):
        raise InputError(f"{name} is {value!r}; it must be one of {', '.join(get_args(kind))}")


class Stopped(Exception):
    """Training was asked to stop, and has saved where it stands; the message is one line."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
