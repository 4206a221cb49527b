"""word2vec's formats, binary and text, and the texts of fastText, GloVe and TensorBoard.

Binary: "V D\\n", then for each word its bytes, a space, and D little-endian float32. word2vec.c ends each vector
with a newline, gensim does not. Both are read; gensim's form is written.

Text: a word and its D numbers a line. word2vec's and fastText's files begin with a line of two integers, V and D;
GloVe's and StarSpace's do not, and need vectors of two numbers or more. Where a tab follows the first word, a tab ends
each word. Elsewhere numbers are split off from the right, because a word may hold spaces; a word whose last part could
be one more number is refused.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from numpy.typing import DTypeLike

from ..errors import InputError
from ..files import atomic_write
from ..text.tokens import MAX_WORD_LENGTH
from .endings import AnyPath
from .table import Matrix, Table, cast, empty_aligned

MAX_WORD_BYTES = 4 * MAX_WORD_LENGTH  # in UTF-8
MAX_LINE_BYTES = 1 << 26
MAX_DIM = 1 << 29  # exclusive: numpy's limit for a record of 4-byte numbers
CHUNK_BYTES = 1 << 20  # stays in the processor's cache
NUMBERS_PER_WRITE = 1 << 17
PROJECTOR_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
SPACE, TAB = b" ", b"\t"
Blocks = Iterator[tuple[Sequence[bytes], Matrix]]


def is_binary(body: bytes, dim: int, name: str) -> bool:
    """Return whether a file is binary, by its bytes after the first line; where they do not decide, by its name."""
    line, newline, _ = body.lstrip(b"\r\n").partition(b"\n")
    fields = line.split() if newline else line.split()[:-1]  # the last one may be cut
    count = min(dim, max(len(fields) - 1, 1))
    ends_in_numbers = (newline or len(fields) > 1) and _floats(SPACE.join(fields[-count:]), count)
    has_control = SPACE in body and re.search(rb"[\0-\x08\x0e-\x1f]", body)
    if name.lower().endswith(".bin"):
        return bool(has_control or not ends_in_numbers)
    return bool(has_control and not ends_in_numbers)


def read_binary(file: BinaryIO, name: str, size: int, limit: int, dtype: DTypeLike) -> Table[bytes]:
    """Read the first `limit` words of a file of `size` bytes (0 if unknown)."""
    line = file.readline(100)
    if not (header := parse_header(line, name)):
        raise InputError(f"{name}: the first line must be two numbers, words and dimension, not {line[:40]!r}")
    vocab_size, dim = header
    capacity = min(vocab_size, limit, size // (4 * dim + 1))
    table = _concat(_read_records(file, name, header, limit), capacity, dim, dtype)
    return table._replace(words=[word.lstrip(b"\n") for word in table.words])  # word2vec.c's newlines


def _read_records(file: BinaryIO, name: str, header: tuple[int, int], limit: int) -> Blocks:
    """Yield words and vectors, a chunk at a time."""
    # One call finds all words of a chunk; a Python loop would cost more than everything else. A match is a word,
    # its space and a vector's bytes; or the rest, which the next chunk continues.
    record = re.compile(rb"([^ ]{0,%d}+) (?s:.{%d})|(?s:.+)" % (MAX_WORD_BYTES, 4 * header[1]))
    needed, count, width, rest = min(header[0], limit), 0, 4 * header[1], b""
    while count < needed and (more := file.read(max(CHUNK_BYTES, len(rest)))):
        chunk = rest + more
        words = record.findall(chunk)
        ends = np.cumsum(np.fromiter(map(len, words), np.int64, len(words)) + (1 + width))
        if ends[-1] > len(chunk) or chunk[ends[-1] - width - 1] != ord(" "):  # the last match is the rest
            words, ends = words[:-1], ends[:-1]
        rest = chunk[ends[-1] :] if words else chunk
        if len(rest) > MAX_WORD_BYTES and b" " not in rest[: MAX_WORD_BYTES + 1]:
            number = count + len(words) + 1
            raise InputError(f"{name}: word {number:,} is over {MAX_WORD_BYTES:,} bytes; is this a binary file?")
        if len(words) > needed - count:
            words, rest = words[: needed - count], chunk[ends[needed - count - 1] :]
        if words:
            count += len(words)
            # Overlapping records at every byte of the chunk: indexing copies only the true vectors, all in one call.
            records = np.ndarray((len(chunk) - width + 1,), f"V{width}", chunk, strides=(1,))
            yield words, records[ends[: len(words)] - width].view("<f4").reshape(len(words), -1)
    _check_count(name, header, count, limit, goes_on=bool(rest.strip() or file.read(CHUNK_BYTES).strip()))


def _concat(blocks: Blocks, capacity: int, dim: int, dtype: DTypeLike) -> Table[bytes]:
    """Concatenate blocks, and allocate `capacity` rows first: no more than the file's size justifies."""
    words, vectors = list[bytes](), empty_aligned(capacity, dim, dtype)
    for block_words, rows in blocks:
        start, end = len(words), len(words) + len(rows)
        if end > len(vectors):
            vectors, old = empty_aligned(2 * end, dim, dtype), vectors
            vectors[:start] = old[:start]
        vectors[start:end] = cast(rows, dtype)
        words += block_words
    return Table(words, vectors[: len(words)])


def write_binary(file: BinaryIO, table: Table[bytes], _: str) -> None:
    """Write the same bytes as gensim."""
    file.write(b"%d %d\n" % table.vectors.shape)
    for word, row in zip(table.words, table.vectors.astype("<f4", copy=False), strict=True):
        file.write(word + b" " + row.tobytes())


def read_text(file: BinaryIO, name: str, size: int, limit: int, dtype: DTypeLike) -> Table[bytes]:
    """Read the first `limit` words of a file of `size` bytes (0 if unknown)."""
    lines = chain.from_iterable(_read_lines(file, name))
    first, capacity = next(lines, b""), 0
    if header := parse_header(first, name):
        dim, first_words = header[1], [*islice(lines, 1)]
        capacity = min(header[0], limit, size // (2 * dim))
    else:
        first_words = [first]
        dim = _count_tabbed(first) or sum(map(bool, first.rstrip().split(SPACE)[1:]))
    is_tabbed = any(_count_tabbed(line) == dim for line in first_words)
    if not header and (dim < 2 or _floats(_split_line(first, dim, is_tabbed)[1], dim) is None):
        raise InputError(
            f"{name}: the first line must be two numbers, words and dimension, or a word and its two or more "
            f"numbers; it starts with {first[:40]!r}"
        )
    if is_tabbed and not header and re.fullmatch(rb"-?\d+(\.\d+(e-?\d+)?|e-?\d+)", first.split(TAB)[0]):
        raise InputError(f"{name}: has numbers for words, as for TensorBoard; name the file that it was made from")
    return _concat(_parse_lines(chain(first_words, lines), name, header, dim, limit, is_tabbed), capacity, dim, dtype)


def _count_tabbed(line: bytes) -> int:
    """Return how many numbers follow the first tab of a line; 0 if anything else does."""
    row = line.rstrip().partition(TAB)[2]
    numbers = row.split()
    return len(numbers) if row[:1] != SPACE and _floats(SPACE.join(numbers), len(numbers)) else 0


def _parse_lines(
    lines: Iterator[bytes], name: str, header: tuple[int, int] | None, dim: int, limit: int, is_tabbed: bool
) -> Blocks:
    """Yield words and vectors, a chunk at a time."""
    needed = min(header[0], limit) if header else limit
    count, step = 0, max(1, CHUNK_BYTES // (10 * dim))
    while split := [_split_line(line, dim, is_tabbed) for line in islice(lines, min(step, needed - count))]:
        lines_before = count + bool(header)
        yield [word for word, _ in split], _parse_numbers([row for _, row in split], dim, name, lines_before)
        for number, (word, row) in enumerate(() if is_tabbed else split, lines_before + 1):
            if SPACE in word and (word != word.strip(SPACE) or _floats(word.rpartition(SPACE)[2], 1)):
                raise _line_error(name, number, dim, word + SPACE + row)
        count += len(split)
    if header:
        _check_count(name, header, count, limit, goes_on=limit > count and any(line.strip() for line in lines))


def _read_lines(file: BinaryIO, name: str) -> Iterator[list[bytes]]:
    """Yield complete lines, a chunk at a time."""
    while chunk := file.read(CHUNK_BYTES):
        rest = file.readline(MAX_LINE_BYTES)
        if len(rest) == MAX_LINE_BYTES:
            raise InputError(f"{name}: has a line of over {MAX_LINE_BYTES:,} bytes; is this a file of vectors?")
        yield (chunk + rest).removesuffix(b"\n").split(b"\n")


def _split_line(line: bytes, dim: int, is_tabbed: bool) -> tuple[bytes, bytes]:
    """Split a line into its word and its numbers, which may still be too few."""
    word, _, row = line.rstrip().partition(TAB if is_tabbed else SPACE)
    if is_tabbed:
        return word.strip(SPACE), SPACE.join(row.split())
    if row.count(SPACE) != dim - 1:  # a word with spaces, columns of numbers, or a wrong line
        fields = line.split()
        word, *numbers = fields if len(fields) == dim + 1 else line.rstrip().rsplit(SPACE, dim)
        row = SPACE.join(numbers)
    return word, row


def _parse_numbers(rows: list[bytes], dim: int, name: str, lines_before: int) -> Float[np.ndarray, "n D"]:
    """Parse rows of numbers to the same bits as Python's `float`."""
    column = pc.split_pattern(pa.array([SPACE.join(rows)], pa.large_binary()), SPACE).flatten()
    with contextlib.suppress(pa.ArrowInvalid):  # arrow refuses what it would not parse as `float` does
        numbers = column.cast(pa.large_string()).cast(pa.float64()).to_numpy()
        if len(numbers) == len(rows) * dim:  # no row has more than dim, so each has dim
            return numbers.reshape(-1, dim)
    floats = [_floats(row, dim) for row in rows]
    for i, values in enumerate(floats):
        if values is None:
            raise _line_error(name, lines_before + 1 + i, dim, rows[i])
    return np.array(floats)


def _floats(row: bytes, dim: int) -> list[float] | None:
    try:
        values = [float(number) for number in row.split(b" ")]
    except ValueError:
        return None
    return values if len(values) == dim else None


def _line_error(name: str, number: int, dim: int, row: bytes) -> InputError:
    found = sum(_floats(field, 1) is not None for field in row.split())
    return InputError(
        f"{name}: line {number:,}: expected a word and {dim:,} numbers, with a space between each, and found {found:,} "
        "numbers; put _ for spaces in words"
    )


def write_text(file: BinaryIO, table: Table[bytes], _: str) -> None:
    """Write the same bytes as gensim: the shortest digits that give the same float32 (or float64)."""
    file.write(b"%d %d\n" % table.vectors.shape)
    for word, line in zip(table.words, _format_rows(table.vectors, " "), strict=True):
        file.write(word + b" " + line + b"\n")


def write_projector(path: AnyPath, table: Table[str]) -> None:
    """Write `NAME.tsv`, the vectors, and `NAME.metadata.tsv`, the words and any counts (projector.tensorflow.org).

    Tabs and line ends in words are escaped as in Python. The projector skips blank lines, so blank words are quoted.
    """
    stem = os.fspath(path).removesuffix(".tsv")
    labels = [word.translate(PROJECTOR_ESCAPES) if word.strip() else repr(word) for word in table.words]
    if table.counts is not None:  # the projector needs a title line for two columns, and takes none for one
        rows = zip(labels, np.asarray(table.counts).tolist(), strict=True)
        labels = ["word\tcount", *(f"{label}\t{count}" for label, count in rows)]
    with atomic_write(f"{stem}.metadata.tsv") as metadata, atomic_write(path) as vectors:
        metadata.writelines(f"{label}\n".encode() for label in labels)
        metadata.flush()  # a full disk must show before the vectors change
        vectors.writelines(row + b"\n" for row in _format_rows(table.vectors, "\t"))


def _format_rows(vectors: Matrix, separator: str) -> Iterator[bytes]:
    dim = vectors.shape[1]
    step = max(1, NUMBERS_PER_WRITE // dim)
    for start in range(0, len(vectors), step):
        rows = vectors[start : start + step]
        ends = pa.array(np.arange(0, rows.size + 1, dim, dtype=np.int32))
        lines = pc.binary_join(pa.ListArray.from_arrays(ends, _format_numbers(rows.ravel())), separator)
        yield from lines.cast(pa.binary()).to_pylist()


def _format_numbers(numbers: Float[np.ndarray, " n"]) -> pa.Array:
    """Format numbers as numpy does: by arrow, which is faster, where both agree."""
    size = np.abs(numbers)
    differs = (size <= 1e-4) | (size >= 1e5) | (numbers == np.trunc(numbers))
    by_numpy = pa.array(numbers[differs].astype(str), pa.string())
    return pc.replace_with_mask(pa.array(numbers).cast(pa.string()), differs, by_numpy)


def parse_header(line: bytes, name: str) -> tuple[int, int] | None:
    """Parse V and D, and refuse what no file can have; return None if the line is not two integers."""
    try:
        vocab_size, dim = map(int, line.split())
    except ValueError:
        return None
    if vocab_size < 1 or not 1 <= dim < MAX_DIM:
        raise InputError(
            f"{name}: the first line promises {vocab_size} words of {dim} numbers; "
            f"both must be at least 1, and the second below {MAX_DIM:,}"
        )
    return vocab_size, dim


def _check_count(name: str, header: tuple[int, int], count: int, limit: int, *, goes_on: bool) -> None:
    """Refuse a file of more or fewer words than it promises; after `limit` words it may have any."""
    promise = "{}: promises {:,} words of {:,} numbers but".format(name, *header)
    if count < min(header[0], limit):
        raise InputError(f"{promise} ends after {count:,}; fetch it again")
    if goes_on and limit > header[0]:
        raise InputError(f"{promise} goes on after them; mend its first line, or read that many (convert --limit)")
