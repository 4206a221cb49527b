"""Tokenize a text in chunks of constant size, so that memory does not grow with the text."""

import codecs
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Integer

from ..config import TextConfig
from ..errors import InputError

CHUNK_SENTENCES = 1 << 12
MAX_WORD_LENGTH = 1 << 20
SENTINEL = "."  # Arrow reads the character after a final space, even past the end of its buffer
THREADS = 2  # Arrow releases the GIL; a third thread, the caller's, merges the chunks


class TokenChunk(NamedTuple):
    """Consecutive lines of a text; the last one continues in the first line of the next chunk.

    The words are `[types[i] for i in indices]`; an empty type stands for no word.
    """

    types: list[str]
    indices: Integer[np.ndarray, " words"]
    line_lengths: Integer[np.ndarray, " lines"]


def tokenize(text: Iterable[bytes], config: TextConfig, name: str) -> Iterator[TokenChunk]:
    """Split a UTF-8 text into lines at line feeds and into words at Unicode whitespace.

    Raises:
      InputError: the text holds a NUL byte, invalid UTF-8, or a word of over a million characters.

    >>> chunk, end = tokenize([b"to be or\\nnot to be\\n"], TextConfig(), "text")
    >>> [chunk.types[i] for i in chunk.indices], chunk.line_lengths.tolist()
    (['to', 'be', 'or', 'not', 'to', 'be', ''], [3, 3, 1])
    """
    with ThreadPoolExecutor(THREADS) as pool:
        pending: deque[Future[TokenChunk]] = deque()
        for words in _decode(text, name):
            pending.append(pool.submit(_tokenize_chunk, words, config, name))
            if len(pending) > THREADS:
                yield pending.popleft().result()
        yield from (future.result() for future in pending)
    pa.default_memory_pool().release_unused()  # 50 MB, which Arrow would keep for its next use


def chunk_sentences(sentences: Iterable[Iterable[str]]) -> Iterator[TokenChunk]:
    """Convert lists of words to chunks, each sentence a line.

    Raises:
      InputError: a sentence is not a list of words.
    """
    sentences = iter(sentences)
    while batch := list(itertools.islice(sentences, CHUNK_SENTENCES)):
        lines = [list(sentence) for sentence in batch]
        words = list(itertools.chain.from_iterable(lines))
        if not all(isinstance(word, str) for word in words) or any(isinstance(sentence, str) for sentence in batch):
            raise InputError("each sentence must be a list of words, such as ['to', 'be']")
        yield TokenChunk(words, np.arange(len(words), dtype=np.int32), np.array([*map(len, lines), 0]))


def _tokenize_chunk(text: str, config: TextConfig, name: str) -> TokenChunk:
    column = pa.array([text, SENTINEL], pa.large_string())
    if config.normalize:
        column = pc.utf8_normalize(column, form=config.normalize)
    if config.lowercase:
        column = pc.utf8_lower(column)
    lines = pc.split_pattern(column, "\n").flatten()
    words = pc.utf8_split_whitespace(lines[:-1])
    encoded = words.flatten().dictionary_encode()
    types = encoded.dictionary.to_pylist()
    _check_word_length(max(map(len, types), default=0), name)
    return TokenChunk(types, encoded.indices.to_numpy(), pc.list_value_length(words).to_numpy())


def _decode(text: Iterable[bytes], name: str) -> Iterator[str]:
    """Decode UTF-8 into strings that end between words."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    position, partial_word = 0, ""
    for chunk in itertools.chain(text, [b""]):
        position += len(chunk)
        try:
            words = partial_word + decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:  # its object begins with the bytes of a character that the last chunk cut
            byte = position - len(error.object) + error.start
            raise InputError(f"{name}: byte {byte:,} is not UTF-8; convert the file, e.g. iconv -t utf-8 -c") from None
        if "\0" in words:
            raise InputError(f"{name}: holds a NUL byte, so it is not text; give a text file, one sentence a line")
        partial_word = "" if not chunk or words[-1:].isspace() else "".join(words.rsplit(maxsplit=1)[-1:])
        _check_word_length(len(partial_word), name)
        yield words[: len(words) - len(partial_word)]


def _check_word_length(length: int, name: str) -> None:
    if length > MAX_WORD_LENGTH:
        raise InputError(f"{name}: has a word of over {MAX_WORD_LENGTH:,} characters; separate words by spaces")
