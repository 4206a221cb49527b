"""word2vec files: what gensim reads of ours, and what we read of everybody's."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.errors import InputError
from w2v_jax.vectors.formats import load, save

WORDS = ["the", "é", "字", "don't", "a" * 200]
VECTORS = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
VECTORS[0, 0], VECTORS[1, 1], VECTORS[2, 2] = 1e-30, -0.0, 1234567.0


@pytest.mark.parametrize("name", ["v.bin", "v.txt", "v.vec"])
def test_round_trip_to_the_bit(name: str, tmp_path: Path) -> None:
    save(tmp_path / name, WORDS, VECTORS)
    words, vectors = load(tmp_path / name)
    assert words == WORDS
    np.testing.assert_array_equal(vectors.view(np.int32), VECTORS.view(np.int32))


@pytest.mark.parametrize("name", ["v.bin", "v.txt"])
def test_gensim_reads_what_we_write_and_writes_what_we_would(name: str, tmp_path: Path) -> None:
    binary = name.endswith(".bin")
    save(tmp_path / name, WORDS, VECTORS)
    theirs = Gensim.load_word2vec_format(str(tmp_path / name), binary=binary)
    assert theirs.index_to_key == WORDS
    np.testing.assert_array_equal(theirs.vectors, VECTORS)
    theirs.save_word2vec_format(str(tmp_path / "theirs"), binary=binary)
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    ["euclidean_vectors.bin", "high_precision.kv.bin", "lee_fasttext.vec", "crime-and-punishment.vec", "toy-model.vec"],
)  # fmt: skip
def test_files_of_other_tools_are_read_as_gensim_reads_them(name: str, data: Path) -> None:
    theirs = Gensim.load_word2vec_format(str(data / "formats" / name), binary=name.endswith(".bin"))
    words, vectors = load(data / "formats" / name)
    assert words == theirs.index_to_key
    np.testing.assert_array_equal(vectors, theirs.vectors)


@pytest.mark.parametrize("name", ["pang_lee_polarity_fasttext.vec", "crime-and-punishment.bin", "pretrained.vec"])
def test_files_that_gensim_refuses_are_refused_in_a_line(name: str, data: Path) -> None:
    with pytest.raises(InputError, match=f"{name}: [^\n]+$"):
        load(data / "formats" / name)


def test_a_packed_file(tmp_path: Path) -> None:
    save(tmp_path / "v.txt", WORDS, VECTORS)
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress((tmp_path / "v.txt").read_bytes()))
    assert load(tmp_path / "v.txt.gz")[0] == WORDS


def test_of_a_word_that_stands_twice_the_first_counts(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("3 1\na 1\nb 2\na 3\n")
    words, vectors = load(tmp_path / "v.txt")
    assert (words, vectors.tolist()) == (["a", "b"], [[1], [2]])


def test_a_newline_after_each_vector_as_word2vec_c_writes_it(tmp_path: Path) -> None:
    row = struct.pack("<2f", 1, 2)
    (tmp_path / "v.bin").write_bytes(b"2 2\na " + row + b"\nb " + row + b"\n")
    assert load(tmp_path / "v.bin")[0] == ["a", "b"]


BINARY = b"2 2\na " + struct.pack("<2f", 1, 2) + b"b " + struct.pack("<2f", 3, 4)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.bin", b"", "first line must be two numbers"),
        ("v.bin", b"two 2\n", "first line must be two numbers"),
        ("v.bin", b"2\n", "first line must be two numbers"),
        ("v.bin", b"0 5\n", "must be at least 1"),
        ("v.bin", b"-3 5\n", "must be at least 1"),
        ("v.bin", BINARY[:-1], "promises 2 words of 2 numbers but ends after 1"),
        ("v.bin", b"1000000000000 300\n" + b"a " + bytes(1200), "ends after 1"),
        ("v.bin", b"3 1000000000000\na " + bytes(1200), "ends after 0"),
        ("v.bin", b"1 2\n" + b"x" * 200_000, "ends after 0"),
        ("v.bin", b"1 2\n\xff " + bytes(8), "word 1, .* is not UTF-8"),
        ("v.txt", b"1000000000000 3\na 1 2 3\n", "ends after 1"),
        ("v.txt", b"2 3\na 1 2 3\nb 1 2\n", "line 3: expected a word and 3 numbers"),
        ("v.txt", b"2 3\na 1 2 3\nb 1 2 x\n", "line 3: expected a word and 3 numbers"),
        ("v.txt", b"1 1000000000000\na 1 2 3\n", "line 2: expected a word and"),
        ("v.txt", b"1 10000\na " + b"1" * 100_000 + b" 1" * 9_999 + b"\n", "not finite"),
        ("v.txt", b"2 2\na 1 2\nb 1 nan\n", "'b' holds a number that is not finite"),
        ("v.bin", b"1 1\na " + struct.pack("<f", np.inf), "'a' holds a number that is not finite"),
        ("v.npz", b"2 2\n", "the ending must be"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: [^\n]*{message}"):
        load(tmp_path / name)


@settings(max_examples=300, deadline=None)
@given(
    content=st.binary(max_size=60)
    | st.builds(lambda cut, extra: BINARY[:cut] + extra, st.integers(0, 40), st.binary(max_size=9))
)
def test_no_bytes_crash_a_reader(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("v.bin", "v.txt"):
        (folder / name).write_bytes(content)
        message = ""
        try:
            words, vectors = load(folder / name)
            assert len(words) == len(vectors)
        except InputError as error:
            message = str(error)
        assert "\n" not in message


@pytest.mark.parametrize("word", ["whole milk", "", "a\nb"])
def test_a_word_that_the_format_cannot_hold(word: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot hold"):
        save(tmp_path / "v.bin", [word], VECTORS[:1])
    assert not (tmp_path / "v.bin").exists()
