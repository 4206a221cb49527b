"""Vectors as text: word2vec's, fastText's and GloVe's, and every way to write a number."""

from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.errors import InputError
from w2v_jax.vectors.formats import load
from w2v_jax.vectors.word2vec_text import _digits, _numbers


@pytest.mark.parametrize(
    ("content", "words", "rows"),
    [
        (b"2 2\na 1 2\nb 3 4", ["a", "b"], [[1, 2], [3, 4]]),  # no final newline
        (b"2 2\na 1 2 \nb 3 4 \n", ["a", "b"], [[1, 2], [3, 4]]),  # fastText, word2vec.c
        (b"2 2\r\na 1 2\r\nb 3 4\r\n", ["a", "b"], [[1, 2], [3, 4]]),
        (b"1 2\na 1 2\nb is not read\n", ["a"], [[1, 2]]),
        (b"2 1\na 1e-400\nb -1E-2\n", ["a", "b"], [[0], [-0.01]]),
        (b"2 1\na 1_0\nb +.5\n", ["a", "b"], [[10], [0.5]]),
        (b"2 2\na 1\t 2\n 3 4\n", ["a", ""], [[1, 2], [3, 4]]),
        (b"2 2\na\xc2\xa0b\tc\rd 1 2\n\xc2\x85 3 4\n", ["a\xa0b\tc\rd", "\x85"], [[1, 2], [3, 4]]),
    ],
)
def test_what_gensim_reads_too(content: bytes, words: list[str], rows: list[list[float]], tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    theirs = Gensim.load_word2vec_format(str(tmp_path / "v.txt"))
    ours = load(tmp_path / "v.txt")
    assert ours.words == theirs.index_to_key == words
    assert ours.vectors.tolist() == theirs.vectors.tolist() == np.array(rows, np.float32).tolist()


@pytest.mark.parametrize(
    ("content", "words", "rows"),
    [
        (b"2 2\nwhole milk 1 2\nat 5 3 4\n", ["whole milk", "at 5"], [[1, 2], [3, 4]]),
        (b"the 1 2\n. . . 3 4", ["the", ". . ."], [[1, 2], [3, 4]]),  # GloVe's Common Crawl has such words
        (b"5 1 2\n3 3 4\n", ["5", "3"], [[1, 2], [3, 4]]),
    ],
)
def test_words_with_spaces_and_files_without_a_header(
    content: bytes, words: list[str], rows: list[list[float]], tmp_path: Path
) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    ours = load(tmp_path / "v.txt")
    assert (ours.words, ours.vectors.tolist()) == (words, rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first line must be two numbers"),
        (b"\n", "first line must be two numbers"),
        (b"the cat sat\n", "first line must be two numbers, words and dimension, or a word and its two or more"),
        (b"\xef\xbb\xbf2 2\na 1 2\nb 3 4\n", "first line must be two numbers"),
        (b"the 1\ncat 2\n", "or a word and its two or more"),
        (b"the 1 2\ncat 1 2 3\n", "line 2: expected a word and 2 numbers"),
        (b"the 1 2\n\ncat 1 2\n", "line 2: expected a word and 2 numbers"),
        (b"0 5\n", "must be at least 1"),
        (b"1000000000000 3\na 1 2 3\n", "ends after 1"),
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3: expected a word and 3 numbers"),
        (b"2 3\na 1 2 3\nb 1 2 x\n", "line 3: expected a word and 3 numbers"),
        (b"2 3\na 1 2\nb 1 2\r3 4\n", "line 2: expected a word and 3 numbers"),
        (b"2 3\na 1 2 3\nb 1  2 3\n\n", "line 3|'b '"),
        (b"1 1000000000000\na 1 2 3\n", "the second below"),
        (b"1 500000000\na 1 2 3\n", "line 2: expected a word and 500,000,000 numbers"),
        (b"1 10000\na " + b"1" * 100_000 + b" 1" * 9_999 + b"\n", "not finite"),
        (b"2 2\na 1 2\nb 1 nan\n", "'b' holds a number that is not finite"),
        (b"1 2\na 1 1e39\n", "'a' holds a number that is not finite in float32"),
        (b"1 2\n\xff 1 2\n", r"word 1, b'\\xff', is not UTF-8"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(InputError, match=f"v.txt: [^\n]*({message})[^\n]*$"):
        load(tmp_path / "v.txt")


def test_an_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("w2v_jax.vectors.word2vec_text.LONGEST_LINE", 10_000)
    for start in (b"", b"2 2\na 1 2\n"):
        (tmp_path / "v.txt").write_bytes(start + b"x" * 50_000)
        with pytest.raises(InputError, match="v.txt: has a line of over 10,000 bytes"):
            load(tmp_path / "v.txt")


# Numbers


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_doubles_are_pythons(values: list[float]) -> None:
    rows = [form.encode() for x in values for form in (repr(x), f"{x:.25e}", f"{x:+.3g}", f"{x:.20f}"[:300])]
    assert _numbers(rows, 1, "v.txt", 0).ravel().tolist() == [float(row) for row in rows]


SPELLINGS = ["1", "-0", "1.", ".5", "1e5", "1E+05", "0x1", "1,2", '"1"', "", "1\t", "1f", "--1", "nan(1)", "\ufeff1",
             "١", "1_000", "_1", "infinity", "1e", "true", "1\r", "1\r2", "\r", "#1", "1;2", "\\N", "NULL"]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=4))
def test_arrow_takes_no_number_that_float_would_not(rows: list[str]) -> None:
    raw = [row.encode() for row in rows]
    try:
        expected = [float(row) for row in raw]
    except ValueError:
        try:
            assert not np.isfinite(_numbers(raw, 1, "v.txt", 0)).all()  # and then it is refused
        except InputError:
            return
    else:
        np.testing.assert_array_equal(_numbers(raw, 1, "v.txt", 0).ravel(), expected)


def test_float32_is_rounded_as_gensim_rounds_it(tmp_path: Path) -> None:
    # Nearest to float32's 1 + 2⁻²³ + 2⁻²⁴ only after float64 has rounded it: the two ways differ in the last bit.
    digits = "1.00000017881393421514957253748434595763683319091796875001"
    (tmp_path / "v.txt").write_text(f"1 1\na {digits}\n")
    theirs = Gensim.load_word2vec_format(str(tmp_path / "v.txt"))
    assert load(tmp_path / "v.txt").vectors.tobytes() == theirs.vectors.tobytes()
    assert np.float32(float(digits)) == theirs.vectors[0, 0]


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32) | st.sampled_from([1e-4, 1e5, 1e6, 9999.5, 2e-45]), min_size=1))
def test_numbers_are_spelled_as_numpy_spells_them(values: list[float]) -> None:
    for dtype in (np.float32, np.float64):
        numbers = np.array(values, dtype)
        assert _digits(numbers).to_pylist() == [str(number) for number in numbers]
