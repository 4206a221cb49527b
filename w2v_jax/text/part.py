"""A text that several processes train on together: each reads a part of it, and all make one vocabulary."""

import contextlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from jaxtyping import Integer

from ..errors import InputError
from ..files import is_packed, reading

PROCESS = "{process}"
WHITESPACE = re.compile(rb"\s")


class Part(NamedTuple):
    """Which part of a text is one process's own."""

    number: int
    of: int
    exchange: Callable[[bytes], list[bytes]]
    """What a part has to tell → what all have, in their order."""

    def counts(self, words: list[str], counts: Integer[np.ndarray, " n"]) -> list[tuple[list[str], Any]]:
        """The words and counts of every part but this one."""
        told = self.exchange(json.dumps([words, counts.tolist()]).encode())
        theirs = (json.loads(some) for i, some in enumerate(told) if i != self.number)
        return [(spelled, np.array(counted, np.int64)) for spelled, counted in theirs]


@contextlib.contextmanager
def reading_part(path: str | os.PathLike[str], part: Part | None, *, unpack: bool = True) -> Iterator[BinaryIO]:
    """Open a part of a text as `reading` does: a file of its own, where the name has {process}, or a stretch of bytes.

    Stretches begin and end at whitespace; a line that is cut becomes two.

    Raises:
      InputError: as `reading`; or the text is packed, so that no part of it can be read alone.
    """
    name = os.fspath(path)
    if part is None or PROCESS in name:
        with reading(name.replace(PROCESS, str(part.number)) if part else name, unpack=unpack) as file:
            yield file
        return
    if is_packed(name):
        raise InputError(f"{name}: {part.of} processes cannot read parts of a packed text; unpack it, or give each "
                         f"process a file of its own, with {PROCESS} in its name")  # fmt: skip
    with reading(name) as file:
        size = file.seek(0, os.SEEK_END)
        first, last = (_cut(file, size * i // part.of) for i in (part.number, part.number + 1))
        yield cast(BinaryIO, io.BufferedReader(_Stretch(file, first, last), 1 << 20))


def _cut(file: BinaryIO, at: int) -> int:
    """The place of the first whitespace from here on, or the end; the text's beginning stays it."""
    if at:
        file.seek(at)
        while piece := file.read(1 << 16):
            if found := WHITESPACE.search(piece):
                return at + found.start()
            at += len(piece)
    return at


class _Stretch(io.RawIOBase):
    """The bytes of a file from one place to another."""

    def __init__(self, file: BinaryIO, first: int, last: int) -> None:
        self.file, self.left = file, last - first
        file.seek(first)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.file.read(min(len(buffer), self.left))
        buffer[: len(piece)] = piece
        self.left -= len(piece)
        return len(piece)
