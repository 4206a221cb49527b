"""Shards of a text, one for each training process, which share one vocabulary."""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from fsspec.utils import infer_compression

from ..errors import InputError
from ..files import open_input

CHUNK_BYTES = 1 << 22  # large enough that most words of a chunk repeat within it, small enough for the CPU cache
PROCESS = "{process}"
WHITESPACE = re.compile(rb"\s")


@dataclasses.dataclass(frozen=True)
class TextShard:
    """The share of a text that one process reads."""

    index: int
    count: int
    allgather: Callable[[bytes], list[bytes]]
    """Send this process's message and return those of all processes, by index."""

    def gather_counts(self, words: list[str], counts: list[int]) -> Iterator[tuple[list[str], list[int]]]:
        """Send this shard's word counts and return those of every other shard."""
        messages = self.allgather(json.dumps([words, counts]).encode())
        return map(json.loads, messages[: self.index] + messages[self.index + 1 :])


def read_shard(
    path: str | os.PathLike[str], shard: TextShard | None, *, decompress: bool = True, most: int = sys.maxsize
) -> Iterator[bytes]:
    """Yield the bytes of a shard: of a file of its own if the name has {process}, else of a range of the text.

    Byte ranges begin and end at whitespace; a line across two ranges becomes two lines.
    """
    name, left = os.fspath(path), most
    ranges = shard if PROCESS not in name else None
    refusal = InputError(f"{name}: {shard and shard.count} processes cannot share a compressed text; decompress it, or "
                         f"give each process a file of its own, with {PROCESS} in its name")  # fmt: skip
    if ranges and infer_compression(name):
        raise refusal
    with open_input(name.replace(PROCESS, str(shard.index)) if shard else name, decompress=decompress) as file:
        if ranges:
            if not file.seekable():  # it is compressed, whatever its name
                raise refusal
            size = file.seek(0, os.SEEK_END)
            start, stop = (_next_whitespace(file, size * i // ranges.count) for i in (ranges.index, ranges.index + 1))
            left = stop - file.seek(start)
        while chunk := file.read(min(CHUNK_BYTES, left)):
            yield chunk
            left -= len(chunk)


def _next_whitespace(file: BinaryIO, position: int) -> int:
    """Return the position of the first whitespace from `position` on, or the end; 0 stays 0."""
    if position:
        file.seek(position)
        while chunk := file.read(1 << 16):
            if match := WHITESPACE.search(chunk):
                return position + match.start()
            position += len(chunk)
    return position
