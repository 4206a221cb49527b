"""Words from bytes: the same whatever the pieces they are read in."""

import io
import tracemalloc
import unicodedata
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.config import TextConfig
from w2v_jax.errors import InputError
from w2v_jax.text import tokens
from w2v_jax.text.tokens import Piece, pieces_of_sentences, pieces_of_text


def lines_of(pieces: Iterable[Piece]) -> list[list[str]]:
    """The lines that pieces say, empty words left out."""
    lines: list[list[str]] = [[]]
    for types, indices, lengths in pieces:
        words = [types[i] for i in indices]
        for number, length in enumerate(lengths.tolist()):
            if number:
                lines.append([])
            lines[-1] += [word for word in words[:length] if word]
            words = words[length:]
        assert not words
    return lines


def split(text: bytes, config: TextConfig | None = None) -> list[list[str]]:
    return lines_of(pieces_of_text(io.BytesIO(text), config or TextConfig(), "text"))


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(
        st.sampled_from("ab \n\r\t\u3000é한\u2028x") | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    ),
    piece_bytes=st.integers(1, 9),
)
def test_words_and_lines_are_pythons_own(text: str, piece_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "PIECE_BYTES", piece_bytes)  # so that characters, words and lines are cut
        assert split(text.encode()) == [line.split() for line in text.removeprefix("\ufeff").split("\n")]


def test_what_lies_in_memory_behind_the_text_is_not_read() -> None:
    text = "a" * 63 + " "  # fills Arrow's 64 bytes
    for _ in range(100):
        freed = [pa.allocate_buffer(256) for _ in range(20)]
        for buffer in freed:
            memoryview(buffer).cast("B")[:] = b"\xc3" * 256
        del buffer, freed  # where the text's copies come to lie next
        assert tokens._split(text, TextConfig(), "text").types == ["a" * 63, ""]


def test_an_endless_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PIECE_BYTES", 1000)
    assert split(b"word " * 10_000) == [["word"] * 10_000]


@pytest.mark.parametrize("piece_bytes", [1, 2, 7, tokens.PIECE_BYTES])
def test_line_ends_of_windows_and_a_mark_of_byte_order(piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PIECE_BYTES", piece_bytes)
    assert split("\ufeffto be\r\nor\rnot\r\n\r\n".encode()) == [["to", "be"], ["or", "not"], [], []]
    assert split("\ufeff".encode()) == [[]]
    assert split("to \ufeffbe".encode()) == [["to", "\ufeffbe"]]  # a mark only where the text begins


class Endless(io.RawIOBase):
    """A text that takes no memory, and notes how much of it others take while they read it."""

    def __init__(self, unit: bytes, size: int) -> None:
        self.unit, self.left, self.held = unit, size, 0

    def read(self, size: int = -1) -> bytes:
        self.held = max(self.held, tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes())
        size = min(size, self.left)
        self.left -= size
        return (self.unit * (size // len(self.unit)))[:size]


@pytest.fixture
def traced() -> Iterator[int]:
    """Python's memory is, and what Arrow holds already is given."""
    tracemalloc.start()
    yield pa.total_allocated_bytes()
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("unit", "most"), [(b"to be or ", 20), (b"w " * 8, 32), (b" " * 8, 12), (b"\r\n" * 8, 80), (b"\n" * 8, 80)]
)
def test_no_text_takes_more_memory_than_some_pieces_of_it(
    unit: bytes, most: int, traced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = len(unit) << 13
    monkeypatch.setattr(tokens, "PIECE_BYTES", piece)
    text = Endless(unit, 200 * piece)
    for _ in pieces_of_text(text, TextConfig(), "text"):  # type: ignore[arg-type]
        pass
    assert text.left == 0
    assert piece < text.held - traced < most * piece


def test_a_word_without_end_is_refused_before_it_takes_memory(traced: int) -> None:
    piece = tokens.PIECE_BYTES
    text = Endless(b"word", 200 * piece)
    with pytest.raises(InputError, match="a word of over 1,048,576 characters"):
        list(pieces_of_text(text, TextConfig(), "text"))  # type: ignore[arg-type]
    assert text.left == 199 * piece
    assert tracemalloc.get_traced_memory()[1] < 4 * piece


def test_lower_case_and_normalization() -> None:
    decomposed = unicodedata.normalize("NFD", "Ångström ﬁne")
    assert split(decomposed.encode(), TextConfig(normalize="NFKC", lowercase=True)) == [["ångström", "fine"]]
    assert split(decomposed.encode()) == [decomposed.split()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"to be \xff or", "byte 6 is not UTF-8"),
        (b"x" * 99 + "é".encode()[:1], "byte 99 is not UTF-8"),  # cut at the end of the file
        (b"to be\0or", "NUL byte"),
        ("to be or".encode("utf-16-le"), "NUL byte"),
        ("to be or".encode("utf-16"), "byte 0 is not UTF-8"),  # its mark
        ("to be or".encode("utf-32"), "byte 0 is not UTF-8"),
        ("né ".encode() * 500 + "né ".encode("latin-1"), r"byte 2,001 is not UTF-8; .*iconv"),
        ("né ".encode() * 500 + "né ".encode("utf-16-le"), r"byte 2,002 is not UTF-8|NUL byte"),
        (b"x" * 10_000_000, "a word of over 1,048,576 characters"),
        (b"be " + b"x" * 1_500_000 + b" not", "a word of over 1,048,576 characters"),
    ],
)
@pytest.mark.parametrize("piece_bytes", [7, tokens.PIECE_BYTES])
def test_what_is_not_text(text: bytes, message: str, piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if len(text) > 1000 and piece_bytes < 1000:
        piece_bytes = 1 << 19
    monkeypatch.setattr(tokens, "PIECE_BYTES", piece_bytes)
    with pytest.raises(InputError, match=f"^text: [^\n]*{message}"):
        split(text)


def test_sentences() -> None:
    assert lines_of(pieces_of_sentences([["whole milk", "tea"], [], ("a",)])) == [["whole milk", "tea"], [], ["a"], []]


@pytest.mark.parametrize("sentences", [["to be"], [[1, 2]], [["to", None]]])
def test_sentences_that_are_not_lists_of_words(sentences: list[list[str]]) -> None:
    with pytest.raises(InputError, match="each sentence must be a list of words"):
        lines_of(pieces_of_sentences(sentences))
