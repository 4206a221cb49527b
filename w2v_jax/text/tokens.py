"""Bytes to words, a piece at a time: what is in memory does not grow with the text."""

import codecs
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Integer

from ..config import TextConfig
from ..errors import InputError

PIECE_BYTES = 1 << 22  # large enough that most of a piece's words repeat within it, small enough to stay in cache
SENTENCES = 1 << 12  # of Python's, in one piece
LONGEST_WORD = 1 << 20
BEYOND = "."  # Arrow reads the character after a last space, even where the text has ended
THREADS = 2  # Arrow works without Python's lock; the third thread, ours, merges what these find

X = TypeVar("X")
Y = TypeVar("Y")


class Piece(NamedTuple):
    """Some lines of a text; the last one goes on as the first line of the next piece.

    The words are `[types[i] for i in indices]`; an empty type stands for no word.
    """

    types: list[str]
    indices: Integer[np.ndarray, " words"]
    line_lengths: Integer[np.ndarray, " lines"]


def pieces_of_text(file: BinaryIO, config: TextConfig, name: str) -> Iterator[Piece]:
    """Split a UTF-8 text into lines at line feeds and into words at Unicode whitespace.

    Raises:
      InputError: the text holds a NUL byte, invalid UTF-8, or a word of over a million characters.

    >>> import io
    >>> piece, end = pieces_of_text(io.BytesIO(b"to be or\\nnot to be\\n"), TextConfig(), "text")
    >>> [piece.types[i] for i in piece.indices], piece.line_lengths.tolist()
    (['to', 'be', 'or', 'not', 'to', 'be', ''], [3, 3, 1])
    """
    yield from _map_ahead(lambda text: _split(text, config, name), _whole_words(file, name))
    pa.default_memory_pool().release_unused()  # 50 MB, which Arrow would keep for its next use


def pieces_of_sentences(sentences: Iterable[Iterable[str]]) -> Iterator[Piece]:
    """The same for lists of words that Python holds already: each sentence is a line."""
    sentences = iter(sentences)
    while some := list(itertools.islice(sentences, SENTENCES)):
        lines = [list(sentence) for sentence in some]
        words = list(itertools.chain.from_iterable(lines))
        if not all(isinstance(word, str) for word in words) or any(isinstance(sentence, str) for sentence in some):
            raise InputError("each sentence must be a list of words, such as ['to', 'be']")
        yield Piece(words, np.arange(len(words), dtype=np.int32), np.array([*map(len, lines), 0]))


def _split(text: str, config: TextConfig, name: str) -> Piece:
    column = pa.array([text, BEYOND], pa.large_string())
    if config.normalize:
        column = pc.utf8_normalize(column, form=config.normalize)
    if config.lowercase:
        column = pc.utf8_lower(column)
    lines = pc.split_pattern(column, "\n").flatten()
    words = pc.utf8_split_whitespace(lines[:-1])
    encoded = words.flatten().dictionary_encode()
    types = encoded.dictionary.to_pylist()
    if max(map(len, types), default=0) > LONGEST_WORD:
        raise _endless_word(name)
    return Piece(types, encoded.indices.to_numpy(), pc.list_value_length(words).to_numpy())


def _whole_words(file: BinaryIO, name: str) -> Iterator[str]:
    """Cut a UTF-8 stream into pieces, each of which ends where a word ends."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    unfinished = ""  # a word that no whitespace has ended yet
    done = 0
    while piece := file.read(PIECE_BYTES):
        text = unfinished + _decode(decoder, piece, done, name)
        done += len(piece)
        if "\0" in text:
            raise InputError(f"{name}: holds a NUL byte, so it is not text; give a text file, one sentence a line")
        unfinished = "" if text[-1:].isspace() else "".join(text.rsplit(maxsplit=1)[-1:])
        if len(unfinished) > LONGEST_WORD:
            raise _endless_word(name)
        yield text[: len(text) - len(unfinished)]
    yield unfinished + _decode(decoder, b"", done, name)


def _decode(decoder: codecs.IncrementalDecoder, piece: bytes, done: int, name: str) -> str:
    kept_back = len(decoder.getstate()[0])  # the first bytes of a character that the last piece cut
    try:
        return decoder.decode(piece, final=not piece)
    except UnicodeDecodeError as error:
        at = done - kept_back + error.start
        raise InputError(f"{name}: byte {at:,} is not UTF-8; convert the file first, e.g. iconv -t utf-8 -c") from None


def _endless_word(name: str) -> InputError:
    return InputError(f"{name}: has a word of over {LONGEST_WORD:,} characters; separate words by spaces")


def _map_ahead(function: Callable[[X], Y], items: Iterable[X]) -> Iterator[Y]:
    """`map` in threads that work at most a few items ahead."""
    with ThreadPoolExecutor(THREADS) as pool:
        ahead: deque[Future[Y]] = deque()
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > THREADS:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)
