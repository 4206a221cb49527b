"""What a vectors file holds, and what every reader of one does with what it found."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Integer
from numpy.typing import DTypeLike

from ..errors import InputError

Errors = Literal["strict", "replace", "ignore"]
"""What becomes of bytes in a word that are not UTF-8: the file is refused, U+FFFD stands for them, or they go."""
Rows = Float[np.ndarray, "V D"]
LINE = 64  # bytes; XLA on a CPU uses an array in place if it starts at a multiple of this
CHECKED_AT_ONCE = 1 << 20  # numbers


class Table(NamedTuple):
    """Words, their vectors, and what else was kept of their training."""

    words: Sequence[str]
    vectors: Rows
    counts: Integer[np.ndarray, " V"] | None = None
    tables: tuple[Rows, Rows] | None = None
    """Center and outside vectors."""


class Stored(NamedTuple):
    """What a reader found: a `Table` whose words are still bytes."""

    words: list[bytes]
    vectors: Rows
    counts: Integer[np.ndarray, " V"] | None = None
    tables: tuple[Rows, Rows] | None = None


def finished(stored: Stored, name: str, errors: Errors) -> Table:
    """Words as text, each once: of a word that stands twice, the first.

    Raises:
      InputError: a word is not UTF-8, or a number is not finite.
    """
    words = _decoded(stored.words, name, errors)
    for rows in (stored.vectors, *(stored.tables or ())):
        check_finite(rows, words, name)
    if len(set(words)) == len(words):
        return Table(words, *stored[1:])
    first: dict[str, int] = {}
    for i, word in enumerate(words):
        first.setdefault(word, i)
    keep = list(first.values())
    counts, tables = stored.counts, stored.tables
    return Table(
        [words[i] for i in keep], stored.vectors[keep], None if counts is None else counts[keep],
        None if tables is None else (tables[0][keep], tables[1][keep]),
    )  # fmt: skip


def check_finite(rows: Rows, words: Sequence[str], name: str) -> None:
    """Refuse numbers that no query could use; by pieces, so that it needs no memory."""
    step = max(1, CHECKED_AT_ONCE // rows.shape[1])
    for start in range(0, len(rows), step):
        finite = np.isfinite(rows[start : start + step])
        if not finite.all():
            word = words[start + int(np.argmin(finite.all(1)))]
            raise InputError(f"{name}: the vector of {word!r} holds a number that is not finite in {rows.dtype}")


def stacked(blocks: Iterable[Float[np.ndarray, "n D"]], room: int, dim: int, dtype: DTypeLike) -> Rows:
    """Blocks of rows, one above the other.

    Args:
      room: rows to make room for at once; no more than the file's size justifies, whatever its header says.
    """
    rows, filled = aligned((room, dim), dtype), 0
    for block in blocks:
        end = filled + len(block)
        if end > len(rows):
            rows, old = aligned((2 * end, dim), dtype), rows
            rows[:filled] = old[:filled]
        rows[filled:end] = cast(block, dtype)
        filled = end
    return rows[:filled]


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """An empty array that `jax.numpy.from_dlpack` can take over without a copy."""
    *_, size = accumulate(shape, int.__mul__, initial=np.dtype(dtype).itemsize)
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)


def cast(rows: Float[np.ndarray, "n D"], dtype: DTypeLike) -> Float[np.ndarray, "n D"]:
    """To another precision, without a word of what overflows: whoever asks checks what is finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return rows.astype(dtype, copy=False)


def _decoded(words: list[bytes], name: str, errors: Errors) -> list[str]:
    try:
        return [word.decode("utf-8", errors) for word in words]
    except UnicodeDecodeError as error:
        number = words.index(error.object) + 1
        raise InputError(
            f"{name}: word {number}, {error.object[:40]!r}, is not UTF-8; "
            "errors 'replace' or 'ignore' would read it (convert --errors)"
        ) from None
