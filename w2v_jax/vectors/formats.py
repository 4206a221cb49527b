"""word2vec's two file formats, text and binary, as gensim and word2vec.c read and write them."""

import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from ..errors import InputError
from ..files import reading, writing

Loaded = tuple[list[str], Float[np.ndarray, "V D"]]
ENDINGS = ".bin (word2vec binary), .txt or .vec (word2vec text)"
LONGEST_WORD = 1 << 16  # bytes
READ_BYTES = 1 << 20  # at a time, whatever a header promises


def load(path: str | os.PathLike[str]) -> Loaded:
    """The words of a vectors file and their vectors, float32; of a word that stands twice, the first.

    Raises:
      InputError: the file is none of ours or is damaged; the message says where.
    """
    name = os.fspath(path)
    read = _read_binary if _is_binary(name, packed=True) else _read_text
    with reading(name) as file:
        vocab_size, dim = _header(file, name)
        words, vectors = read(file, name, vocab_size, dim)
    for row in np.flatnonzero(~np.isfinite(vectors).all(1))[:1]:
        raise InputError(f"{name}: the vector of {words[row]!r} holds a number that is not finite in float32")
    first = {word: i for i, word in reversed(list(enumerate(words)))}
    if len(first) < len(words):
        keep = sorted(first.values())
        words, vectors = [words[i] for i in keep], vectors[keep]
    return words, vectors


def save(path: str | os.PathLike[str], words: Sequence[str], vectors: Float[np.ndarray, "V D"]) -> None:
    """Write vectors as word2vec binary or text, by the path's ending.

    Raises:
      InputError: the path cannot be written or its ending is none of ours, or a word has a space.
    """
    name = os.fspath(path)
    binary = _is_binary(name)
    for word in words:
        if not word or any(map(str.isspace, word)):
            raise InputError(f"{name}: word2vec files cannot hold {word!r}; replace its spaces, e.g. by '_'")
    with writing(path) as file:
        file.write(f"{len(words)} {vectors.shape[1]}\n".encode())
        for word, row in zip(words, np.asarray(vectors, np.float32), strict=True):
            if binary:
                file.write(word.encode() + b" " + row.astype("<f4").tobytes())
            else:
                file.write(f"{word} {' '.join(row.astype(str))}\n".encode())


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise, before hours of work, what `save` would raise of the path's ending."""
    _is_binary(os.fspath(path))


def _is_binary(name: str, *, packed: bool = False) -> bool:
    stem, ending = os.path.splitext(name)
    if packed and ending in (".gz", ".bz2", ".xz", ".zst", ".zip"):
        ending = os.path.splitext(stem)[1]
    if ending not in (".bin", ".txt", ".vec"):
        raise InputError(f"{name}: the ending must be {ENDINGS}")
    return ending == ".bin"


def _header(file: BinaryIO, name: str) -> tuple[int, int]:
    line = file.readline(100)
    try:
        vocab_size, dim = map(int, line.split())
    except ValueError:
        raise InputError(
            f"{name}: the first line must be two numbers, words and dimension; it starts with {line[:40]!r}"
        ) from None
    if vocab_size < 1 or not 1 <= dim < 2**48:
        raise InputError(
            f"{name}: the first line promises {vocab_size} words of {dim} numbers; both must be at least 1 (and fit)"
        )
    return vocab_size, dim


def _read_binary(file: BinaryIO, name: str, vocab_size: int, dim: int) -> Loaded:
    words: list[str] = []
    rows: list[bytes] = []
    buffer, start = b"", 0
    for _ in range(vocab_size):
        while (space := buffer.find(b" ", start)) < 0 or len(buffer) <= space + 4 * dim:
            endless = space < 0 and len(buffer) - start > LONGEST_WORD
            more = b"" if endless else file.read(READ_BYTES)
            if not more:
                raise _cut_short(name, vocab_size, dim, len(words))
            buffer, start = buffer[start:] + more, 0
        words.append(_word(buffer[start:space].lstrip(b"\n"), name, len(words)))
        start = space + 1 + 4 * dim
        rows.append(buffer[space + 1 : start])
    return words, np.frombuffer(b"".join(rows), "<f4").reshape(-1, dim).astype(np.float32)


def _read_text(file: BinaryIO, name: str, vocab_size: int, dim: int) -> Loaded:
    words: list[str] = []
    rows: list[Float[np.ndarray, " D"]] = []
    for _ in range(vocab_size):
        line = file.readline(LONGEST_WORD + 64 * dim)
        if not line:
            raise _cut_short(name, vocab_size, dim, len(words))
        word, *numbers = line.rstrip().rsplit(b" ", dim)
        try:
            rows.append(np.fromiter(map(float, numbers), np.float64, len(numbers)))
        except ValueError:
            numbers = []
        if len(numbers) != dim:
            raise InputError(f"{name}: line {len(words) + 2}: expected a word and {dim} numbers")
        words.append(_word(word, name, len(words)))
    return words, np.stack(rows).astype(np.float32)


def _word(raw: bytes, name: str, number: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InputError(f"{name}: word {number + 1}, {raw[:40]!r}, is not UTF-8") from None


def _cut_short(name: str, vocab_size: int, dim: int, read: int) -> InputError:
    return InputError(
        f"{name}: promises {vocab_size:,} words of {dim:,} numbers but ends after {read:,}; fetch it again"
    )
