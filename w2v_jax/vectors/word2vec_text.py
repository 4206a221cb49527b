"""Vectors as text, a word and its D numbers a line: word2vec's, fastText's `.vec` and GloVe's.

The first two begin with a line of two integers, V and D; GloVe's files do not, and that is how they are
told apart. So a file without that line needs vectors of two numbers or more. Numbers are split off
from the right: a word may hold spaces. Where no first line says how many numbers there are, a word whose
last part could be one more of them is refused.
"""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy.typing import DTypeLike

from ..errors import InputError
from .table import Rows, Stored, stacked
from .word2vec_binary import check_sizes, cut_short, sizes

LONGEST_LINE = 1 << 26  # bytes
PIECE = 1 << 20  # bytes read at a time
WRITTEN_AT_ONCE = 1 << 17  # numbers


def read_text(file: BinaryIO, name: str, size: int, limit: int, dtype: DTypeLike) -> Stored:
    """The first `limit` words of a file of `size` bytes (0 where nobody knows)."""
    pieces = _lines(file, name)
    lines = next(pieces, [b""])
    vocab_size, room = sys.maxsize, 0
    if promised := sizes(lines[0]):
        vocab_size, dim = check_sizes(*promised, name)
        room = min(vocab_size, limit, size // (2 * dim))
        del lines[0]
    else:
        dim = lines[0].rstrip().count(b" ")
        if dim < 2 or _floats(_split(lines[0], dim)[1], dim) is None:
            raise InputError(
                f"{name}: the first line must be two numbers, words and dimension, or a word and its two or more "
                f"numbers; it starts with {lines[0][:40]!r}"
            )
    needed = min(vocab_size, limit)
    words: list[bytes] = []
    blocks = _rows(chain([lines], pieces), name, dim, needed, words, header=bool(promised))
    vectors = stacked(blocks, room, dim, dtype)
    if promised and len(words) < needed:
        raise cut_short(name, vocab_size, dim, len(words))
    if not promised:
        for number, word in enumerate(words, 1):
            if b" " in word and _floats(word.rpartition(b" ")[2], 1) is not None:
                raise _wrong_line(name, number, dim)
    return Stored(words, vectors)


def _rows(
    pieces: Iterable[list[bytes]], name: str, dim: int, needed: int, words: list[bytes], *, header: bool
) -> Iterator[Float[np.ndarray, "n D"]]:
    """Vectors, a piece's at a time; their words are appended to `words`."""
    for lines in pieces:
        split = [_split(line, dim) for line in lines[: needed - len(words)]]
        if split:
            yield _numbers([row for _, row in split], dim, name, len(words) + header)
        words.extend(word for word, _ in split)
        if len(words) == needed:
            return


def _lines(file: BinaryIO, name: str) -> Iterator[list[bytes]]:
    """Whole lines, a piece's at a time."""
    rest = b""
    while more := file.read(max(PIECE, len(rest))):
        *lines, rest = (rest + more).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise InputError(f"{name}: has a line of over {LONGEST_LINE:,} bytes; lines must be a word and its vector")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _split(line: bytes, dim: int) -> tuple[bytes, bytes]:
    """A line's word and its numbers, which may still be too few, or none."""
    word, _, row = line.rstrip().partition(b" ")
    if row.count(b" ") != dim - 1:  # a word with spaces, or a wrong line
        word, *numbers = line.rstrip().rsplit(b" ", dim)
        row = b" ".join(numbers)
    return word, row


def _numbers(rows: list[bytes], dim: int, name: str, before: int) -> Float[np.ndarray, "n D"]:
    """Each row's numbers, to the bit what `float` makes of them; `before` lines of the file came earlier."""
    column = pc.split_pattern(pa.array([b" ".join(rows)], pa.large_binary()), b" ").flatten()
    with contextlib.suppress(pa.ArrowInvalid):  # what arrow does not read as float() does, it refuses
        numbers = column.cast(pa.large_string()).cast(pa.float64()).to_numpy()
        if len(numbers) == len(rows) * dim:  # no row has more than dim, so each has them all
            return numbers.reshape(-1, dim)
    floats = [_floats(row, dim) for row in rows]
    for number, values in enumerate(floats, before + 1):
        if values is None:
            raise _wrong_line(name, number, dim)
    return np.array(floats)


def _floats(row: bytes, dim: int) -> list[float] | None:
    try:
        values = [float(number) for number in row.split(b" ")]
    except ValueError:
        return None
    return values if len(values) == dim else None


def _wrong_line(name: str, number: int, dim: int) -> InputError:
    return InputError(f"{name}: line {number:,}: expected a word and {dim:,} numbers, with a space between each")


def write_text(file: BinaryIO, words: Sequence[bytes], vectors: Rows) -> None:
    """As gensim writes it, byte for byte; the shortest digits that give the same float32 (or float64)."""
    file.write(b"%d %d\n" % vectors.shape)
    for word, line in zip(words, spelled(vectors, " "), strict=True):
        file.write(word + b" " + line + b"\n")


def spelled(vectors: Rows, separator: str) -> Iterator[bytes]:
    """Each row as text."""
    dim = vectors.shape[1]
    step = max(1, WRITTEN_AT_ONCE // dim)
    for start in range(0, len(vectors), step):
        rows = vectors[start : start + step]
        ends = pa.array(np.arange(0, rows.size + 1, dim, dtype=np.int32))
        lines = pc.binary_join(pa.ListArray.from_arrays(ends, _digits(rows.ravel())), separator)
        yield from lines.cast(pa.binary()).to_pylist()


def _digits(numbers: Float[np.ndarray, " n"]) -> pa.Array:
    """Each number as numpy spells it: by arrow, which is faster, where both would do the same."""
    size = np.abs(numbers)
    odd = (size <= 1e-4) | (size >= 1e5) | (numbers == np.trunc(numbers))
    by_numpy = pa.array(numbers[odd].astype(str), pa.string())
    return pc.replace_with_mask(pa.array(numbers).cast(pa.string()), odd, by_numpy)
