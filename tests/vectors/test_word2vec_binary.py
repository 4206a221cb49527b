"""word2vec binary: what other tools' files look like, and what is said of damaged ones."""

import struct
from pathlib import Path

import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.errors import InputError
from w2v_jax.vectors.formats import load

ROW = struct.pack("<2f", 1, 2)
BINARY = b"2 2\na " + ROW + b"b " + ROW


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"2 2\na " + ROW + b"\nb " + ROW + b"\n", ["a", "b"]),  # as word2vec.c writes it
        (b"2 2\r\n\n\na " + ROW + b"b\nc\n " + ROW, ["a", "b\nc\n"]),
        (b"1 2\n " + ROW, [""]),
        (BINARY + b"and more", ["a", "b"]),
        (b"1 1\nspaces     ", ["spaces"]),  # the number's bytes
    ],
)
def test_what_gensim_reads_too(content: bytes, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "v.bin").write_bytes(content)
    theirs = Gensim.load_word2vec_format(str(tmp_path / "v.bin"), binary=True)
    ours = load(tmp_path / "v.bin")
    assert ours.words == theirs.index_to_key == words
    assert ours.vectors.tolist() == theirs.vectors.tolist()


@pytest.mark.parametrize("errors", ["replace", "ignore"])
def test_words_that_are_not_utf_8(errors: str, tmp_path: Path) -> None:
    content = b"".join(word + b" " + ROW for word in (b"\n\xe3\x83", b"x\xff\xfey", b"\xf0\x9f\x92z", b"ab\xe3\xff"))
    (tmp_path / "v.bin").write_bytes(b"4 2\n" + content)
    theirs = Gensim.load_word2vec_format(str(tmp_path / "v.bin"), binary=True, unicode_errors=errors)
    assert load(tmp_path / "v.bin", errors=errors).words == theirs.index_to_key
    with pytest.raises(InputError, match=r"v.bin: word 1, b'\\xe3\\x83', is not UTF-8; errors 'replace'"):
        load(tmp_path / "v.bin")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first line must be two numbers"),
        (b"two 2\n", "first line must be two numbers"),
        (b"2\n", "first line must be two numbers"),
        (b"0 5\n", "must be at least 1"),
        (b"-3 5\n", "must be at least 1"),
        (b"3 1000000000000\na " + bytes(1200), "the second below"),
        (BINARY[:-1], "promises 2 words of 2 numbers but ends after 1"),
        (b"1000000000000 300\n" + b"a " + bytes(1200), "ends after 1"),
        (b"3 500000000\na " + bytes(1200), "ends after 0"),
        (b"1 2\n" + b"x" * 200_000, "word 1 is over 65,536 bytes"),
        (b"1 2\n\xff " + bytes(8), "word 1, .* is not UTF-8"),
        (b"1 1\na " + struct.pack("<f", float("inf")), "'a' holds a number that is not finite"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.bin").write_bytes(content)
    with pytest.raises(InputError, match=f"v.bin: [^\n]*{message}[^\n]*$"):
        load(tmp_path / "v.bin")
