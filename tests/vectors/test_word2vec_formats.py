"""word2vec's formats, and those of fastText, GloVe and TensorBoard: valid and damaged files, and number formats."""

import struct
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.errors import InputError
from w2v_jax.text.tokens import MAX_WORD_LENGTH
from w2v_jax.vectors.formats import load, save
from w2v_jax.vectors.table import Table
from w2v_jax.vectors.word2vec_formats import _format_numbers, _parse_numbers

ROW = struct.pack("<2f", 1, 2)
BINARY = b"2 2\na " + ROW + b"b " + ROW


VALID: dict[str, list[tuple[bytes, list[str]]]] = {
    "v.bin": [
        (b"2 2\na " + ROW + b"\nb " + ROW + b"\n", ["a", "b"]),  # as word2vec.c writes it
        (b"2 2\r\n\n\na " + ROW + b"b\nc\n " + ROW, ["a", "b\nc\n"]),
        (b"1 2\n " + ROW, [""]),
        (BINARY + b"\r\n", ["a", "b"]),
        (b"1 1\nspaces     ", ["spaces"]),  # the number's bytes
    ],
    "v.txt": [
        (b"2 2\na 1 2\nb 3 4", ["a", "b"]),  # no final newline
        (b"2 2\na 1 2 \nb 3 4 \n", ["a", "b"]),  # fastText, word2vec.c
        (b"2 2\r\na 1 2\r\nb 3 4\r\n", ["a", "b"]),
        (b"2 2\na 1 2\nb 3 4\n\n \n", ["a", "b"]),
        (b"2 1\na 1e-400\nb -1E-2\n", ["a", "b"]),
        (b"2 1\na 1_0\nb +.5\n", ["a", "b"]),
        (b"2 2\na 1\t 2\n 3 4\n", ["a", ""]),
        (b"2 2\na\xc2\xa0b\tc\rd 1 2\n\xc2\x85 3 4\n", ["a\xa0b\tc\rd", "\x85"]),
    ],
}


@pytest.mark.parametrize(("name", "content", "words"), [(name, *case) for name in VALID for case in VALID[name]])
def test_gensim_reads_the_same(name: str, content: bytes, words: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    gensim = Gensim.load_word2vec_format(str(tmp_path / name), binary=name == "v.bin")
    table = load(tmp_path / name)
    assert table.words == gensim.index_to_key == words
    assert table.vectors.tolist() == gensim.vectors.tolist()


@pytest.mark.parametrize("errors", ["replace", "ignore"])
def test_words_that_are_not_utf_8(errors: str, tmp_path: Path) -> None:
    content = b"".join(word + b" " + ROW for word in (b"\n\xe3\x83", b"x\xff\xfey", b"\xf0\x9f\x92z", b"ab\xe3\xff"))
    (tmp_path / "v.bin").write_bytes(b"4 2\n" + content)
    gensim = Gensim.load_word2vec_format(str(tmp_path / "v.bin"), binary=True, unicode_errors=errors)
    assert load(tmp_path / "v.bin", errors=errors).words == gensim.index_to_key
    with pytest.raises(InputError, match=r"v.bin: word 1, b'\\xe3\\x83', is not UTF-8; errors 'replace'"):
        load(tmp_path / "v.bin")


def test_words_with_spaces_and_files_without_a_header(tmp_path: Path) -> None:
    for content, words in (
        (b"2 2\nwhole milk 1 2\nat 3 4\n", ["whole milk", "at"]),
        (b"\xef\xbb\xbf2 2\na 1 2\nb 3 4\n", ["a", "b"]),
        (b"\xef\xbb\xbfa 1 2\nb 3 4\n", ["a", "b"]),
        (b"2 2\na  1 2\n b   3  4 \n", ["a", "b"]),  # columns
        (b"a  1 2\nb  3 4\n", ["a", "b"]),
        (b"whole milk\t1\t2\nroute 66\t3\t4\t\r\n", ["whole milk", "route 66"]),  # StarSpace
        (b"2 2\na\t1\t2\nb\t3\t4\n", ["a", "b"]),
        (b"2 2\na\t1 2\nb \t3 4\n", ["a", "b"]),
        (b"2 2\na\t 1 2\nb\tc 3 4\n", ["a\t", "b\tc"]),  # words with tabs
        (b"the 1 2\n. . . 3 4", ["the", ". . ."]),  # GloVe's Common Crawl has such words
        (b"5 1 2\n3 3 4\n", ["5", "3"]),
    ):
        (tmp_path / "v.txt").write_bytes(content)
        table = load(tmp_path / "v.txt")
        assert (table.words, table.vectors.tolist()) == (words, [[1, 2], [3, 4]])


def test_limit_reads_the_first_words_of_files_that_go_on(tmp_path: Path) -> None:
    for name, content in {"v.bin": b"1" + BINARY[1:], "v.txt": b"1 2\na 1 2\nb 3 4\n"}.items():
        (tmp_path / name).write_bytes(content)
        assert load(tmp_path / name, limit=1).words == ["a"]
        with pytest.raises(InputError, match="goes on after them"):
            load(tmp_path / name, limit=2)


@pytest.mark.parametrize("ending", [".bin", ".txt"])
def test_longest_words_of_a_text_come_back(ending: str, tmp_path: Path) -> None:
    words = ["字" * MAX_WORD_LENGTH, "\xa0", "\u3000a\u3000", "\x85", "\t", "\r"]
    save(tmp_path / f"v{ending}", Table(words, np.eye(6, 2, dtype=np.float32)))
    assert load(tmp_path / f"v{ending}").words == words


def test_first_of_repeated_words_is_kept(tmp_path: Path) -> None:
    text = b"3 2\na 1 2\nb 1 2\na 0 0\n"
    for name, content in {"v.bin": b"3" + BINARY[1:] + b"a " + bytes(8), "v.txt": text, "v.vec": text}.items():
        (tmp_path / name).write_bytes(content)
        words, vectors, *_ = load(tmp_path / name)
        assert (words, vectors.tolist()) == (["a", "b"], [[1, 2], [1, 2]])


INVALID: dict[str, list[tuple[bytes, str]]] = {
    "v.bin": [
        *[(line, "first line must be two numbers") for line in (b"", b"two 2\n", b"2\n")],
        *[(line, "must be at least 1") for line in (b"0 5\n", b"-3 5\n")],
        (b"3 1000000000000\na " + bytes(1200), "the second below"),
        (BINARY[:-1], "promises 2 words of 2 numbers but ends after 1"),
        (b"1000000000000 300\n" + b"a " + bytes(1200), "ends after 1"),
        (b"3 500000000\na " + bytes(1200), "ends after 0"),
        (b"1 2\n" + b"x" * (4 * MAX_WORD_LENGTH + 1), "word 1 is over 4,194,304 bytes"),
        (BINARY + b"and more", "promises 2 words of 2 numbers but goes on after them; mend its first line"),
        (b"1" + BINARY[1:], "promises 1 words of 2 numbers but goes on"),
        (b"1 2\n\xff " + bytes(8), "word 1, .* is not UTF-8"),
        (b"1 1\na " + struct.pack("<f", float("inf")), "'a' holds a number that is not finite"),
    ],
    "v.txt": [
        *[(text, "first line must be two numbers") for text in (b"", b"\n")],
        *[(text, "or a word and its two or more") for text in (b"the cat sat\n", b"the 1\ncat 2\n")],
        (b"the 1 2\ncat 1 2 3\n", "line 2: expected a word and 2 numbers"),
        (b"the 1 2\n\ncat 1 2\n", "line 2: expected a word and 2 numbers"),
        (b"0 5\n", "must be at least 1"),
        (b"1000000000000 3\na 1 2 3\n", "ends after 1"),
        (b"2 3\na 1 2 3\nb 1 2\n", "line 3: expected a word and 3 numbers"),
        (b"2 3\na 1 2 3\nb 1 2 x\n", "line 3: expected a word and 3 numbers"),
        (b"2 3\na 1 2\nb 1 2\r3 4\n", "line 2: expected a word and 3 numbers"),
        (b"3 2\na 1 2 3\nb 4 5 6\nc 7 8 9\n", "line 2: expected a word and 2 numbers, .* and found 3"),
        (b"3 4\na 1 2 3\nb 4 5 6\nc 7 8 9\n", "line 2: expected a word and 4 numbers, .* and found 3"),
        (b"2 2\na 1 2\nroute 66 3 4\n", "line 3: .* found 3 numbers; put _ for spaces in words"),
        (b"1 2\nwhole milk  1 2\n", "line 2: expected a word and 2 numbers"),
        (b"2 3\na\t1\t2\t3\nb\t1\t2\n", "line 3: expected a word and 3 numbers, .* and found 2"),
        (b"1 2\na 1 2\nb is not read\n", "promises 1 words of 2 numbers but goes on after them"),
        (b"0.5\t1.0\t2.0\n", "has numbers for words, as for TensorBoard"),
        (b"1 1000000000000\na 1 2 3\n", "the second below"),
        (b"1 500000000\na 1 2 3\n", "line 2: expected a word and 500,000,000 numbers"),
        (b"1 10000\na " + b"1" * 100_000 + b" 1" * 9_999 + b"\n", "not finite"),
        (b"2 2\na 1 2\nb 1 nan\n", "'b' holds a number that is not finite"),
        (b"1 2\na 1 1e39\n", "'a' holds a number that is not finite in float32"),
        (b"1 2\n\xff 1 2\n", r"word 1, b'\\xff', is not UTF-8"),
    ],
}


@pytest.mark.parametrize(("name", "content", "message"), [(name, *case) for name in INVALID for case in INVALID[name]])
def test_damaged_file_is_refused_in_one_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: [^\n]*({message})[^\n]*$"):
        load(tmp_path / name)


def test_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHUNK_BYTES", "MAX_LINE_BYTES"):
        monkeypatch.setattr(f"w2v_jax.vectors.word2vec_formats.{name}", 10_000)
    for start in (b"", b"2 2\na 1 2\n"):
        (tmp_path / "v.txt").write_bytes(start + b"x" * 50_000)
        with pytest.raises(InputError, match="v.txt: has a line of over 10,000 bytes"):
            load(tmp_path / "v.txt")


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_numbers_are_parsed_as_python_parses_them(values: list[float]) -> None:
    rows = [form.encode() for x in values for form in (repr(x), f"{x:.25e}", f"{x:+.3g}", f"{x:.20f}"[:300])]
    assert _parse_numbers(rows, 1, "v.txt", 0).ravel().tolist() == [float(row) for row in rows]


SPELLINGS = ["1", "-0", "1.", ".5", "1e5", "1E+05", "0x1", "1,2", '"1"', "", "1\t", "1f", "--1", "nan(1)", "\ufeff1",
             "١", "1_000", "_1", "infinity", "1e", "true", "1\r", "1\r2", "\r", "#1", "1;2", "\\N", "NULL"]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=4))
def test_arrow_parses_no_number_that_python_refuses(rows: list[str]) -> None:
    raw = [row.encode() for row in rows]
    try:
        expected = [float(row) for row in raw]
    except ValueError:
        try:
            assert not np.isfinite(_parse_numbers(raw, 1, "v.txt", 0)).all()  # and then it is refused
        except InputError:
            return
    else:
        np.testing.assert_array_equal(_parse_numbers(raw, 1, "v.txt", 0).ravel(), expected)


def test_float32_is_rounded_as_gensim_rounds_it(tmp_path: Path) -> None:
    # Nearest to float32's 1 + 2⁻²³ + 2⁻²⁴ only after float64 has rounded it: the two ways differ in the last bit.
    digits = "1.00000017881393421514957253748434595763683319091796875001"
    (tmp_path / "v.txt").write_text(f"1 1\na {digits}\n")
    gensim = Gensim.load_word2vec_format(str(tmp_path / "v.txt"))
    assert load(tmp_path / "v.txt").vectors.tobytes() == gensim.vectors.tobytes()
    assert np.float32(float(digits)) == gensim.vectors[0, 0]


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=32) | st.sampled_from([1e-4, 1e5, 1e6, 9999.5, 2e-45]), min_size=1))
def test_numbers_are_formatted_as_numpy_formats_them(values: list[float]) -> None:
    for dtype in (np.float32, np.float64):
        numbers = np.array(values, dtype)
        assert _format_numbers(numbers).to_pylist() == [str(number) for number in numbers]


WORDS = ["the", "a\tb", "c\nd\r", "\\n", "", "\u3000", "字"]
VECTORS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def test_projector_has_a_row_and_a_label_per_word(tmp_path: Path) -> None:
    save(tmp_path / "v.tsv", Table(WORDS, VECTORS))
    labels = (tmp_path / "v.metadata.tsv").read_bytes().decode().split("\n")
    assert labels == ["the", r"a\tb", r"c\nd\r", r"\\n", "''", r"'\u3000'", "字", ""]  # no line is blank, and skipped
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "v.tsv", np.float32, delimiter="\t"), VECTORS)
    assert len(list(tmp_path.iterdir())) == 2


def test_projector_has_titles_only_with_counts(tmp_path: Path) -> None:
    save(tmp_path / "v.tsv", Table(WORDS[:2], VECTORS[:2], np.array([9, 1])))
    assert (tmp_path / "v.metadata.tsv").read_text() == "word\tcount\nthe\t9\na\\tb\t1\n"
