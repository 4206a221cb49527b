"""Tokenize a text in chunks of constant size, so that memory does not grow with the text."""

import codecs
import itertools
import re
import unicodedata
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Integer

from ..config import TextConfig
from ..errors import InputError

CHUNK_SENTENCES = 1 << 12
MAX_WORD_LENGTH = 1 << 20
SENTINEL = "."  # Arrow reads the character after a final space, even past the end of its buffer
SAMPLE_BYTES = 1 << 12  # that show an encoding
BYTE_ORDER_MARK = "\ufeff"
THREADS = 2  # Arrow releases the GIL; a third thread, the caller's, merges the chunks


class TokenChunk(NamedTuple):
    """Consecutive lines of a text; the last one continues in the first line of the next chunk.

    The words are `[types[i] for i in indices]`; types may repeat, and an empty one stands for no word.
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


def chunk_sentences(sentences: Iterable[Iterable[str]], config: TextConfig | None = None) -> Iterator[TokenChunk]:
    """Convert lists of words to chunks, each sentence a line.

    Raises:
      InputError: a sentence is not a list of words, or there is none.
    """
    config, number = config or TextConfig(), 0
    if isinstance(sentences, str | bytes | Mapping) or not isinstance(sentences, Iterable):
        raise InputError(f"the sentences are {_kind(sentences)}; give a list of lists of words, or Corpus.from_file a "
                         "text file")  # fmt: skip
    if type(sentences).__name__ == "DataFrame":
        raise InputError("the sentences are a DataFrame; give the words of a column, df[column].str.split()")
    if config.field:
        raise InputError("field is for files; leave it out")
    remaining, total, spaced = iter(sentences), 0, 0
    while batch := list(itertools.islice(remaining, CHUNK_SENTENCES)):
        lines = [_check_sentence(sentence, number + i) for i, sentence in enumerate(batch, 1)]
        number, words = number + len(batch), list(itertools.chain.from_iterable(lines))
        total += sum(map(len, words))
        spaced += sum(len(line) == 1 and len(line[0].split()) > 1 for line in lines)
        if config.normalize:
            words = [unicodedata.normalize(config.normalize, word) for word in words]
        if config.lowercase:
            words = [word.lower() for word in words]
        yield TokenChunk(words, np.arange(len(words), dtype=np.int32), np.array([*map(len, lines), 0]))
    if number and not total:
        raise InputError("the sentences hold no words; each must be a list of words, such as ['to', 'be']")
    if not number:
        raise InputError("there are no sentences: an iterator is used up after one pass; give a list" if
                         remaining is sentences else "there are no sentences; give lists of words")  # fmt: skip
    if spaced == number:
        raise InputError("each sentence is one string with spaces in it; split it into words: sentence.split()")


def _check_sentence(sentence: Any, number: int) -> list[str]:
    """Return the words of a sentence, as Python's strings."""
    form, advice = "each sentence must be a list of words, such as ['to', 'be']", ""
    if isinstance(sentence, str | bytes | Mapping) or not isinstance(sentence, Iterable):
        if isinstance(sentence, str | Mapping):
            advice = f"; split it: sentence{'' if isinstance(sentence, str) else '[key]'}.split()"
        raise InputError(f"sentence {number} is {_kind(sentence)}; {form}{advice}")
    words = list(sentence)
    for word in words:
        if not isinstance(word, str):
            if isinstance(word, Hashable) and not isinstance(word, float | bytes | None):
                advice = "; make strings of ids: [str(word) for word in sentence]"
            raise InputError(f"sentence {number} holds {_kind(word)}; {form}{advice}")
    return list(map(str, words))  # numpy has strings of its own


def _kind(value: object) -> str:
    return f"{value!r:.40}, of type {type(value).__name__}".replace("\n", " ")


def _tokenize_chunk(text: str, config: TextConfig, name: str) -> TokenChunk:
    if config.normalize:
        text = unicodedata.normalize(config.normalize, text)
    column = pa.array([text, SENTINEL], pa.large_string())
    if config.lowercase and text.isascii():
        column = pc.ascii_lower(column)
    lines = pc.split_pattern(column, "\n").flatten()
    words = pc.utf8_split_whitespace(lines[:-1])
    encoded = words.flatten().dictionary_encode()
    types = encoded.dictionary.to_pylist()
    _check_word_length(max(map(len, types), default=0), name)
    if config.lowercase and not text.isascii():  # Arrow has other rules, for a final sigma
        types = [word.lower() for word in types]
    if BYTE_ORDER_MARK in text:  # of a file that was appended
        types = [word.strip(BYTE_ORDER_MARK) for word in types]
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
            raise InputError(f"{name}: byte {byte:,} is not UTF-8; {_advise(error.object, error.start)}") from None
        if "\0" in words:
            raise InputError(f"{name}: holds a NUL byte, so it is not text; give a text file, one sentence a line")
        partial_word = "" if not chunk or words[-1:].isspace() else "".join(words.rsplit(maxsplit=1)[-1:])
        _check_word_length(len(partial_word), name)
        yield words[: len(words) - len(partial_word)]


def _advise(raw: bytes, start: int) -> str:
    """Say how to convert bytes that are not UTF-8, by those around the first one."""
    before = raw[max(0, start - SAMPLE_BYTES) : start].lstrip(bytes(range(0x80, 0xC0)))
    near = raw[max(0, start - SAMPLE_BYTES) : start + SAMPLE_BYTES]
    if not before.isascii() and before.decode("utf-8", "ignore").encode() == before:
        return "the bytes before are; iconv -f utf-8 -t utf-8 -c drops those that are not"
    if sum(map(len, re.findall(rb"[\x80-\xff]{3,}", near))) * 2 > len(re.findall(rb"[\x80-\xff]", near)):
        return "convert it from its encoding, e.g. iconv -f gb18030 (or shift_jis, euc-kr, cp1251) -t utf-8"
    latin = "cp1252" if re.search(rb"[\x80-\x9f]", near) else "latin1"
    return f"it looks like {latin}; convert it: iconv -f {latin} -t utf-8"


def _check_word_length(length: int, name: str) -> None:
    if length > MAX_WORD_LENGTH:
        raise InputError(f"{name}: has a word of over {MAX_WORD_LENGTH:,} characters; separate words by spaces")
