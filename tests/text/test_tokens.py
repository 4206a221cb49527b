"""Tokenization is independent of chunk size, bounded in memory and strict about its input."""

import math
import tracemalloc
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from w2v_jax.config import TextConfig
from w2v_jax.errors import InputError
from w2v_jax.text import tokens
from w2v_jax.text.shard import CHUNK_BYTES
from w2v_jax.text.tokens import TokenChunk, chunk_sentences, tokenize


def join_lines(chunks: Iterable[TokenChunk]) -> list[list[str]]:
    """Return the lines of all chunks, without empty words."""
    lines: list[list[str]] = [[]]
    for types, indices, lengths in chunks:
        words = [types[i] for i in indices]
        for i, length in enumerate(lengths.tolist()):
            if i:
                lines.append([])
            lines[-1] += [word for word in words[:length] if word]
            words = words[length:]
        assert not words
    return lines


def split(text: bytes, config: TextConfig | None = None, *, chunk_bytes: int = CHUNK_BYTES) -> list[list[str]]:
    chunks = (text[start : start + chunk_bytes] for start in range(0, len(text), chunk_bytes))
    return join_lines(tokenize(chunks, config or TextConfig(), "text"))


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(
        st.sampled_from("ab \n\r\t\u3000é한\u2028x") | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    ),
    chunk_bytes=st.integers(1, 9),
)
@example(text="\ufeffto be\r\nor\rnot\r\n\r\n \ufeffbe", chunk_bytes=1)
@example(text="\ufeffto be\r\nor\rnot\r\n\r\n \ufeffbe", chunk_bytes=CHUNK_BYTES)
@example(text="\ufeff", chunk_bytes=2)
def test_words_and_lines_equal_str_split(text: str, chunk_bytes: int) -> None:
    # Chunks cut characters, words and lines.
    expected = [[word.strip("\ufeff") for word in line.split()] for line in text.split("\n")]
    expected = [list(filter(None, line)) for line in expected]
    assert split(text.encode(), chunk_bytes=chunk_bytes) == expected


def test_memory_past_the_text_is_not_read() -> None:
    text = "a" * 63 + " "  # fills Arrow's 64 bytes
    for _ in range(100):
        freed = [pa.allocate_buffer(256) for _ in range(20)]
        for buffer in freed:
            memoryview(buffer).cast("B")[:] = b"\xc3" * 256
        del buffer, freed  # memory that the copies of the text reuse
        assert tokens._tokenize_chunk(text, TextConfig(), "text").types == ["a" * 63, ""]


def repeat(unit: bytes, chunk_bytes: int, peaks: list[int]) -> Iterator[bytes]:
    """Yield 200 chunks; record the memory before each."""
    for _ in range(200):
        peaks.append(tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())
        yield unit * (chunk_bytes // len(unit))


@pytest.fixture
def base() -> Iterator[int]:
    """Trace Python's memory; yield the bytes that Arrow already holds."""
    tracemalloc.start()
    yield pa.total_allocated_bytes()
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("unit", "most"), [(b"to be or ", 20), (b"w " * 8, 32), (b" " * 8, 12), (b"\r\n" * 8, 80), (b"\n" * 8, 80)]
)
def test_memory_is_bounded_by_chunk_size(unit: bytes, most: int, base: int) -> None:
    chunk, peaks = len(unit) << 13, list[int]()
    for _ in tokenize(repeat(unit, chunk, peaks), TextConfig(), "text"):
        pass
    assert len(peaks) == 200
    assert chunk < max(peaks) - base < most * chunk


def test_endless_word_is_refused_within_bounded_memory(base: int) -> None:
    peaks: list[int] = []
    with pytest.raises(InputError, match="a word of over 1,048,576 characters"):
        list(tokenize(repeat(b"word", CHUNK_BYTES, peaks), TextConfig(), "text"))
    assert len(peaks) == 1
    assert tracemalloc.get_traced_memory()[1] < 4 * CHUNK_BYTES


def test_lowercase_and_normalization() -> None:
    decomposed = unicodedata.normalize("NFD", "Ångström ﬁne")
    assert split(decomposed.encode(), TextConfig(normalize="NFKC", lowercase=True)) == [["ångström", "fine"]]
    assert split(decomposed.encode()) == [decomposed.split()]
    for line in ("ΔΡΌΜΟΣ ΣΑΣ İ Ǆ", "TO BE"):
        assert split(line.encode(), TextConfig(lowercase=True)) == [line.lower().split()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"to be \xff or", "byte 6 is not UTF-8"),
        (b"x" * 99 + "é".encode()[:1], "byte 99 is not UTF-8"),  # cut at the end of the file
        (b"to be\0or", "NUL byte"),
        ("to be or".encode("utf-16-le"), "NUL byte"),
        ("to be or".encode("utf-16"), "byte 0 is not UTF-8"),  # its byte order mark
        ("to be or".encode("utf-32"), "byte 0 is not UTF-8"),
        ("né ".encode() * 500 + "né ".encode("latin-1"), r"byte 2,001 is not UTF-8; .*iconv"),
        ("\ufeffé ".encode() + b"\xff", "byte 6 is not UTF-8"),
        ("né ".encode() * 500 + "né ".encode("utf-16-le"), r"byte 2,002 is not UTF-8|NUL byte"),
        (b"x" * 10_000_000, "a word of over 1,048,576 characters"),
        (b"be " + b"x" * 1_500_000 + b" not", "a word of over 1,048,576 characters"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [7, CHUNK_BYTES])
def test_non_text_is_refused(text: bytes, message: str, chunk_bytes: int) -> None:
    with pytest.raises(InputError, match=f"^text: [^\n]*{message}"):
        split(text, chunk_bytes=max(chunk_bytes, 1 << 19 if len(text) > 10_000 else 0))


def test_sentences_are_lines() -> None:
    assert join_lines(chunk_sentences([["whole milk", "tea"], [], ("a",)])) == [["whole milk", "tea"], [], ["a"], []]


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ("to be", "the sentences are 'to be', of type str; give a list"),
        ({"a": ["b"]}, "the sentences are .* of type dict; give a list"),
        (None, "the sentences are None, of type NoneType"),
        (["to be"], "sentence 1 is 'to be', of type str; .*split it: sentence.split"),
        ([["to"], {"text": "to be"}], r"sentence 2 is .* of type dict; .*split it: sentence\[key\].split"),
        ([["to"]] * 5_000 + [math.nan], "sentence 5001 is nan, of type float; each sentence must be a list of words"),
        ([["to"], None], "sentence 2 is None"),
        ([b"to be"], "sentence 1 is b'to be'"),
        ([1, 2], "sentence 1 is 1, of type int"),
        ([["to"], [1, 2]], r"sentence 2 holds 1, of type int; .*\[str\(word\)"),
        ([[(1, 2)]], r"sentence 1 holds \(1, 2\), of type tuple; .*\[str\(word\)"),
        ([np.arange(2)], r"sentence 1 holds .* of type int64; .*\[str\(word\)"),
        (
            [["to", None]],
            r"holds None, of type NoneType; each sentence must be a list of words, such as \['to', 'be'\]$",
        ),
        ([["to be"], ["or not"]], "each sentence is one string with spaces in it; split it"),
        (iter([]), "an iterator is used up after one pass"),
        ([], "there are no sentences; give lists"),
        ([[], [""]], "the sentences hold no words"),
    ],
    ids=lambda part: str(part)[:18],
)
def test_sentences_that_are_not_lists_of_words_are_refused(sentences: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^[^\n]*{message}"):
        list(chunk_sentences(sentences))


def test_sentences_of_numpy_strings_become_pythons_and_options_are_obeyed() -> None:
    config = TextConfig(lowercase=True, normalize="NFC")
    (chunk,) = chunk_sentences(np.array([["TO", "ΔΡΌΜΟΣ"], ["or", "e\u0301"]]), config)
    assert chunk.types == ["to", "δρόμος", "or", "é"]
    assert {type(word) for word in chunk.types} == {str}
    with pytest.raises(InputError, match="field is for files"):
        list(chunk_sentences([["to"]], TextConfig(field="text")))


@pytest.mark.parametrize(
    ("text", "advice"),
    [("le président".encode("latin-1"), "looks like latin1; convert it: iconv -f latin1"),
     ("“président”".encode("cp1252"), "iconv -f cp1252"), ("привет мир".encode("cp1251"), "iconv -f gb18030 .*cp1251"),
     ("你好 世界".encode("gb18030"), "iconv -f gb18030"),
     ("né ".encode() * 9 + b"\xe9 x", "iconv -f utf-8 -t utf-8 -c")],
)  # fmt: skip
def test_advice_names_the_encoding_that_keeps_the_letters(text: bytes, advice: str) -> None:
    with pytest.raises(InputError, match=f"^text: byte [0-9]+ is not UTF-8; [^\n]*{advice}"):
        split(text)
