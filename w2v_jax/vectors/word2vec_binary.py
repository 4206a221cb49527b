"""word2vec's binary format: "V D\\n", then for each word its bytes, a space, and D little-endian float32.

word2vec.c ends each vector with a newline, gensim does not; both are read, and gensim's is written.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import BinaryIO

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from ..errors import InputError
from .table import Rows, Stored, stacked

LONGEST_WORD = 1 << 16  # bytes
MOST_NUMBERS = 1 << 29  # of a vector: numpy's limit for a record of 4 bytes each
PIECE = 1 << 20  # bytes read and written at a time: they stay in the processor's cache


def read_binary(file: BinaryIO, name: str, size: int, limit: int, dtype: DTypeLike) -> Stored:
    """The first `limit` words of a file of `size` bytes (0 where nobody knows)."""
    line = file.readline(100)
    if not (promised := sizes(line)):
        raise InputError(
            f"{name}: the first line must be two numbers, words and dimension; it starts with {line[:40]!r}"
        )
    vocab_size, dim = check_sizes(*promised, name)
    needed = min(vocab_size, limit)
    words: list[bytes] = []
    blocks = _records(file, name, 4 * dim, needed, words)
    vectors = stacked(blocks, min(needed, size // (4 * dim + 1)), dim, dtype)
    if len(words) < needed:
        raise cut_short(name, vocab_size, dim, len(words))
    if b"\n" in b"".join(words):  # seldom: word2vec.c's
        words = [word.lstrip(b"\n") for word in words]
    return Stored(words, vectors)


def _records(
    file: BinaryIO, name: str, width: int, needed: int, words: list[bytes]
) -> Iterator[Float[np.ndarray, "n D"]]:
    """Vectors of `width` bytes, a piece's at a time; their words are appended to `words`."""
    # All of a piece's words in one call, where a loop would cost more than everything else together: a word, its
    # space, and as many bytes as a vector has; failing that, what is left, for the next piece.
    record = re.compile(rb"([^ ]{0,%d}+) (?s:.{%d})|(?s:.+)" % (LONGEST_WORD, width))
    rest = b""
    while len(words) < needed and (more := file.read(max(PIECE, len(rest)))):
        piece = rest + more
        found = record.findall(piece)
        ends = np.cumsum(np.fromiter(map(len, found), np.int64, len(found)) + (1 + width))
        if ends[-1] > len(piece) or piece[ends[-1] - width - 1] != ord(" "):  # no record, but what is left
            found, ends = found[:-1], ends[:-1]
        rest = piece[ends[-1] :] if found else piece
        if len(rest) > LONGEST_WORD and b" " not in rest[: LONGEST_WORD + 1]:
            raise InputError(
                f"{name}: word {len(words) + len(found) + 1:,} is over {LONGEST_WORD:,} bytes; is this a binary file?"
            )
        found = found[: needed - len(words)]
        words += found
        if found:
            # Every place where a vector could start, as one array of overlapping records: no bytes are copied
            # until the true starts are picked, all in one go.
            anywhere = np.ndarray((len(piece) - width + 1,), f"V{width}", piece, strides=(1,))
            yield anywhere[ends[: len(found)] - width].view("<f4").reshape(len(found), -1)


def write_binary(file: BinaryIO, words: Sequence[bytes], vectors: Rows) -> None:
    """As gensim writes it, byte for byte."""
    width = 4 * vectors.shape[1]
    file.write(b"%d %d\n" % vectors.shape)
    step = max(1, PIECE // width)
    for start in range(0, len(words), step):
        rows = np.ascontiguousarray(vectors[start : start + step], "<f4").view(f"V{width}").ravel().tolist()
        file.write(b"".join(chain.from_iterable(zip(words[start : start + step], repeat(b" "), rows, strict=False))))


def sizes(line: bytes) -> tuple[int, int] | None:
    """V and D, if a line is two integers."""
    try:
        vocab_size, dim = map(int, line.split())
    except ValueError:
        return None
    return vocab_size, dim


def check_sizes(vocab_size: int, dim: int, name: str) -> tuple[int, int]:
    """The same, if a file can have them."""
    if vocab_size < 1 or not 1 <= dim < MOST_NUMBERS:
        raise InputError(
            f"{name}: the first line promises {vocab_size} words of {dim} numbers; "
            f"both must be at least 1, and the second below {MOST_NUMBERS:,}"
        )
    return vocab_size, dim


def cut_short(name: str, vocab_size: int, dim: int, read: int) -> InputError:
    """What to say of a file that ends too early."""
    return InputError(
        f"{name}: promises {vocab_size:,} words of {dim:,} numbers but ends after {read:,}; fetch it again"
    )
