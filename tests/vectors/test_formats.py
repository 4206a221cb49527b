"""Vectors files of every format: what comes back of what was written, gensim's numbers, and any bytes at all."""

import gzip
import json
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.vectors.endings import ENDINGS, READ, check_source
from w2v_jax.vectors.formats import READERS, load, save
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.table import Table

WORDS = ["the", "é", "字", "don't", "a" * 200]
VECTORS = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
VECTORS[0, :2], VECTORS[1, 1], VECTORS[2, 2:] = (1e-30, 1e-5), -0.0, (1234567, 99999, 1e5, 16777216, 1e-4)
WORD2VEC = [".bin", ".txt", ".vec"]
WHOLE = [".safetensors", ".npz"]


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Nobody pulls the plug here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("ending", WORD2VEC + WHOLE)
def test_round_trip_to_the_bit(ending: str, tmp_path: Path) -> None:
    save(tmp_path / f"v{ending}", Table(WORDS, VECTORS))
    words, vectors, counts, tables = load(tmp_path / f"v{ending}")
    assert (words, counts, tables) == (WORDS, None, None)
    assert same_bits(vectors, VECTORS)


@pytest.mark.parametrize("ending", WORD2VEC)
def test_gensim_reads_what_we_write_and_writes_what_we_would(ending: str, tmp_path: Path) -> None:
    path, binary = tmp_path / f"v{ending}", ending == ".bin"
    save(path, Table(WORDS, VECTORS))
    theirs = Gensim.load_word2vec_format(str(path), binary=binary)
    assert theirs.index_to_key == WORDS
    assert same_bits(theirs.vectors, VECTORS)
    theirs.save_word2vec_format(str(tmp_path / f"theirs{ending}"), binary=binary)
    assert (tmp_path / f"theirs{ending}").read_bytes() == path.read_bytes()
    words, vectors, *_ = load(tmp_path / f"theirs{ending}")
    assert words == WORDS
    assert same_bits(vectors, VECTORS)


class Decided(NamedTuple):
    """How a file of another tool is read, or why it is not."""

    gensims: Mapping[str, Any] = MappingProxyType({})
    """gensim's parameters, where both read it."""
    refused: str = ""
    ours: Mapping[str, Any] = MappingProxyType({})
    ending: str = ""
    """What to call the file by, where its own name does not say what it is."""


REPLACED = Decided({"unicode_errors": "replace"}, ours={"errors": "replace"})
IGNORED = Decided({"unicode_errors": "ignore"}, ours={"errors": "ignore"})
OTHER_ENDING = Decided(refused="the ending must be")
DECIDED = {
    "crime-and-punishment.bin": [Decided(refused="the first line must be two numbers")],  # a fastText model
    "crime-and-punishment.vec": [Decided({"binary": False})],
    "euclidean_vectors.bin": [Decided({"binary": True})],
    "high_precision.kv.bin": [Decided({"binary": True})],
    "high_precision.kv.txt": [
        Decided({"datatype": dtype}, ours={"dtype": dtype}) for dtype in (np.float16, np.float32, np.float64)
    ],
    "lee_background.cor": [OTHER_ENDING, Decided(refused="the first line must be two numbers", ending=".txt")],
    "lee_fasttext.vec": [Decided({"binary": False}), Decided({"limit": 100}, ours={"limit": 100})],
    "pang_lee_polarity_fasttext.vec": [Decided(refused=r"word 149, b'\\x97', is not UTF-8"), REPLACED, IGNORED],
    "pretrained.vec": [Decided(refused="promises 3 words of 5 numbers but ends after 1")],
    "test_glove.txt": [Decided({"no_header": True}), Decided({"no_header": True, "limit": 9}, ours={"limit": 9})],
    "toy-model.vec": [Decided({"binary": False})],
    "w2v_keyedvectors_load_test.modeldata": [
        OTHER_ENDING,
        Decided(refused="word 1, .* is not UTF-8", ending=".txt"),
        REPLACED._replace(ending=".txt"),
        IGNORED._replace(ending=".txt"),
    ],
    "w2v_keyedvectors_load_test.vocab": [OTHER_ENDING, Decided(refused="first line must be", ending=".txt")],  # counts
}


def test_every_file_of_other_tools_is_decided(data: Path) -> None:
    assert {path.name for path in (data / "formats").iterdir()} == DECIDED.keys()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # gensim leaves a file without a header open
@pytest.mark.parametrize(("name", "decided"), [(name, one) for name, several in DECIDED.items() for one in several])
def test_files_of_other_tools_are_read_as_gensim_reads_them_or_refused(
    name: str, decided: Decided, data: Path, tmp_path: Path
) -> None:
    path = data / "formats" / name
    if decided.ending:
        path = tmp_path / f"{name}{decided.ending}"
        path.symlink_to(data / "formats" / name)
    if decided.refused:
        with pytest.raises(InputError, match=f"{path.name}: [^\n]*{decided.refused}[^\n]*$"):
            load(path)
        return
    theirs = Gensim.load_word2vec_format(str(path), **decided.gensims)
    words, vectors, *_ = load(path, **decided.ours)
    assert words == theirs.index_to_key
    assert same_bits(vectors, theirs.vectors)


@pytest.mark.parametrize("ending", WHOLE)
def test_counts_and_both_tables_come_back(ending: str, tmp_path: Path) -> None:
    counts, outside = np.array([9, 5, 3, 1, 0]), VECTORS[::-1].copy()
    for center, name in ((VECTORS, "same"), (VECTORS * 2, "other")):
        kept = KeyedVectors(WORDS, VECTORS, counts, Params(jnp.asarray(center), jnp.asarray(outside)))
        kept.save(tmp_path / f"{name}{ending}")
        back = KeyedVectors.load(tmp_path / f"{name}{ending}")
        assert back.counts is not None
        assert back.params is not None
        assert back.words == WORDS
        assert back.counts.tolist() == counts.tolist()
        for ours, theirs in ((back.vectors, VECTORS), (back.params.center, center), (back.params.outside, outside)):
            assert same_bits(np.asarray(ours), theirs)
        some = KeyedVectors.load(tmp_path / f"{name}{ending}", limit=2)
        assert some.counts is not None
        assert some.params is not None
        assert (len(some), some.params.outside.shape, some.counts.tolist()) == (2, (2, 7), [9, 5])
    assert (tmp_path / f"same{ending}").stat().st_size + VECTORS.nbytes <= (tmp_path / f"other{ending}").stat().st_size


@pytest.mark.parametrize("ending", WORD2VEC + WHOLE)
@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_other_precisions(ending: str, dtype: Any, tmp_path: Path) -> None:
    vectors = np.clip(VECTORS, -9, 9)
    save(tmp_path / f"v{ending}", Table(WORDS, vectors))
    exact = vectors.astype(str) if ending in (".txt", ".vec") else vectors  # digits that are float32's, not float64's
    assert same_bits(load(tmp_path / f"v{ending}", dtype=dtype).vectors, exact.astype(np.float64).astype(dtype))
    save(tmp_path / f"w{ending}", Table(WORDS, vectors.astype(dtype) / 3))
    back = load(tmp_path / f"w{ending}", dtype=dtype).vectors
    if ending == ".bin":  # which holds float32
        np.testing.assert_array_equal(back, (vectors.astype(dtype) / 3).astype(np.float32).astype(dtype))
    else:
        assert same_bits(back, vectors.astype(dtype) / 3)


@pytest.mark.parametrize("ending", WORD2VEC + WHOLE)
def test_a_part_of_a_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{ending}"
    save(path, Table(WORDS, VECTORS))
    for limit in (1, 4, 5, 10**15):
        words, vectors, *_ = load(path, limit=limit)
        assert words == WORDS[:limit]
        assert same_bits(vectors, VECTORS[:limit])
    if ending in WORD2VEC:  # what lies behind is not looked at
        path.write_bytes(path.read_bytes()[:-20])
        assert load(path, limit=4).words == WORDS[:4]


@pytest.mark.parametrize("ending", WORD2VEC + WHOLE)
@pytest.mark.parametrize("how", ["packed", "url", "small pieces"])
def test_ways_to_a_file(ending: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"v{ending}"
    save(path, Table(WORDS, VECTORS))
    place = f"file://{path}" if how == "url" else str(path)
    if how == "packed":
        place += ".gz"
        Path(place).write_bytes(gzip.compress(path.read_bytes()))
    if how == "small pieces":
        monkeypatch.setattr("w2v_jax.vectors.word2vec_binary.PIECE", 1)
        monkeypatch.setattr("w2v_jax.vectors.word2vec_text.PIECE", 1)
    words, vectors, *_ = load(place)
    assert words == WORDS
    assert same_bits(vectors, VECTORS)


def test_text_in_many_pieces_and_many_records_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"w{i}" * (i % 7 + 1) for i in range(999)]
    vectors = np.random.default_rng(1).normal(size=(999, 3)).astype(np.float32)
    for piece in (100, 5_000, 1 << 20):
        monkeypatch.setattr("w2v_jax.vectors.word2vec_binary.PIECE", piece)
        monkeypatch.setattr("w2v_jax.vectors.word2vec_text.PIECE", piece)
        monkeypatch.setattr("w2v_jax.vectors.word2vec_text.WRITTEN_AT_ONCE", piece)
        for ending in (".bin", ".txt"):
            save(tmp_path / f"v{ending}", Table(words, vectors))
            back = load(tmp_path / f"v{ending}")
            assert back.words == words
            assert same_bits(back.vectors, vectors)


@pytest.mark.parametrize("ending", WORD2VEC + WHOLE)
def test_vectors_are_taken_over_without_a_copy(ending: str, tmp_path: Path) -> None:
    save(tmp_path / f"v{ending}", Table(WORDS, VECTORS))
    vectors = KeyedVectors.load(tmp_path / f"v{ending}").vectors
    taken = jnp.from_dlpack(vectors, copy=False)
    assert taken.unsafe_buffer_pointer() == vectors.ctypes.data
    assert np.from_dlpack(taken).ctypes.data == vectors.ctypes.data
    np.testing.assert_array_equal(taken, VECTORS)


def test_safetensors_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save(path, Table(WORDS, VECTORS))
    before = path.read_bytes()
    vectors = load(path).vectors
    base: Any = vectors
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert not isinstance(vectors, np.memmap)
    vectors[:] = 0  # ours alone, and not the file's
    assert path.read_bytes() == before
    save(path, Table(WORDS[:1], VECTORS[:1]))  # over the mapped file, which lives on for whoever has it
    assert load(path).words == WORDS[:1]
    assert vectors.shape == (5, 7)


# What is refused


@pytest.mark.parametrize(
    ("ending", "word"),
    [(ending, word) for ending in WORD2VEC for word in ("whole milk", "", "a\nb")]
    + [(ending, "\ud800") for ending in WORD2VEC + WHOLE],
)
def test_a_word_that_the_format_cannot_hold(ending: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{ending}"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="v[.][a-z2]+: [^\n]*(cannot hold|can hold)[^\n]*$"):
        save(path, Table(["a", word], VECTORS[:2]))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [*WORD2VEC, *WHOLE, ".tsv"])
def test_numbers_that_no_reader_would_take(ending: str, tmp_path: Path) -> None:
    for bad in (np.array([[1, np.nan]], np.float32), np.array([[np.inf, 1]]), np.zeros((0, 3))):
        with pytest.raises(InputError, match="'a' holds a number that is not finite|no vectors to write"):
            save(tmp_path / f"v{ending}", Table(["a"][: len(bad)], bad))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"errors": "surrogateescape"}, {"limit": 0}, {"dtype": np.int32}])
def test_options_that_do_not_exist(options: Any, tmp_path: Path) -> None:
    save(tmp_path / "v.bin", Table(WORDS, VECTORS))
    with pytest.raises(InputError, match=f"{next(iter(options))} is .*; it must be"):
        load(tmp_path / "v.bin", **options)


@pytest.mark.parametrize("name", ["v", "v.gz", "v.pkl", "v.kv.gz"])
def test_other_endings(name: str, tmp_path: Path) -> None:
    for use in (lambda: load(tmp_path / name), lambda: save(tmp_path / name, Table(WORDS, VECTORS))):
        with pytest.raises(InputError, match="the ending must be .bin"):
            use()
    with pytest.raises(InputError, match="pack it later"):
        save(tmp_path / "v.bin.gz", Table(WORDS, VECTORS))
    with pytest.raises(InputError, match="is written for TensorBoard, and not read"):
        load(tmp_path / "v.tsv")
    assert ".safetensors" in ENDINGS


def small_files() -> dict[str, bytes]:
    """A file of each format, small enough to damage everywhere."""
    rows = np.array([[1, 2], [3, -0.5]], np.float32)
    table = Table(["a", "é"], rows, np.array([3, 1]), (rows + 1, rows - 1))
    with tempfile.TemporaryDirectory() as folder:
        for ending in WORD2VEC[:2] + WHOLE:
            save(f"{folder}/v{ending}", table)
        return {ending: Path(f"{folder}/v{ending}").read_bytes() for ending in WORD2VEC[:2] + WHOLE}


SMALL = small_files()


@pytest.mark.parametrize("ending", SMALL)
def test_a_file_cut_anywhere_is_refused(ending: str, tmp_path: Path) -> None:
    path, whole = tmp_path / f"v{ending}", SMALL[ending]
    path.write_bytes(whole)
    for length in reversed(range(len(whole))):
        os.truncate(path, length)
        if whole[length:] in (b"\n", b"5\n", b".5\n"):  # only text ends in these; the last number may be whole so far
            assert load(path).words == ["a", "é"]
            continue
        with pytest.raises(InputError, match=f"^[^\n]*v{ending}: [^\n]+$"):
            load(path)


def assert_read_or_refused(path: Path, content: bytes) -> None:
    """Whatever the bytes, vectors or one line."""
    path.write_bytes(content)
    message = ""
    try:
        table = load(path)
        assert len(table.words) == len(table.vectors) == len(set(table.words))
        assert np.isfinite(table.vectors).all()
    except InputError as error:
        message = str(error)
    assert "\n" not in message


@settings(max_examples=100, deadline=None)
@given(
    ending=st.sampled_from(list(SMALL)),
    flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 2**16),
    extra=st.binary(max_size=9),
)
def test_damaged_bytes_crash_no_reader(
    ending: str, flips: list[tuple[int, int]], cut: int, extra: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(SMALL[ending])
    for place, value in flips:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged{ending}"
    assert_read_or_refused(path, bytes(content))
    assert_read_or_refused(path, bytes(content[: cut % len(content)]) + extra)


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=60)
    | st.text("0123456789. -eainfx_\r\n\té", max_size=60).map(lambda text: ("2 2\n" + text).encode()),
)
@example(content=b"1 1\na \r1\n")
@example(content=b"a 1 2\n\n")
def test_no_bytes_crash_a_reader(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    for ending in SMALL:
        assert_read_or_refused(tmp_path_factory.getbasetemp() / f"fuzz{ending}", content)


ANY_WORD = st.text(st.characters(codec="utf-8"), max_size=8)


@settings(max_examples=50, deadline=None)
@given(
    words=st.lists(ANY_WORD, min_size=1, max_size=6, unique=True),
    bits=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=12, max_size=12),
)
@example(words=[""], bits=[0.0] * 12)
@example(words=["1", "2 3"], bits=[1e-45] * 12)
def test_what_is_saved_is_loaded(words: list[str], bits: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    vectors = np.array(bits, np.float32).reshape(6, 2)[: len(words)]
    for ending in SMALL:
        path = tmp_path_factory.getbasetemp() / f"any{ending}"
        path.write_bytes(b"old")
        try:
            save(path, Table(words, vectors))
        except InputError:
            assert ending not in WHOLE
            assert path.read_bytes() == b"old"
            continue
        back = load(path)
        assert back.words == words
        assert same_bits(back.vectors, vectors)


@pytest.mark.parametrize("ending", [".bin", ".txt", ".vec"])
def test_a_word_that_stands_twice(ending: str, tmp_path: Path) -> None:
    text = b"3 1\na 1\nb 2\na 3\n"
    binary = b"3 1\n" + b"".join(b"%c " % word + struct.pack("<f", i) for i, word in enumerate(b"aba", 1))
    (tmp_path / f"v{ending}").write_bytes(binary if ending == ".bin" else text)
    words, vectors, *_ = load(tmp_path / f"v{ending}")
    assert (words, vectors.tolist()) == (["a", "b"], [[1], [2]])


def test_a_header_that_lies_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    empty = np.empty
    monkeypatch.setattr(np, "empty", lambda size, *rest: sizes.append(int(np.prod(size))) or empty(size, *rest))
    lies = {
        "v.bin": b"1000000000000 300\na " + bytes(1200),
        "v.txt": b"1000000000000 300\na" + b" 1" * 300,
        "v.safetensors": _safetensors({"vectors": ("F32", [10**12, 300], [0, 1200 * 10**12])}),
    }
    for name, content in lies.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: "):
            load(tmp_path / name)
    assert sizes
    assert max(sizes) < 10_000


def _safetensors(entries: dict[str, tuple[str, list[int], list[int]]], data: bytes = bytes(64)) -> bytes:
    header = json.dumps(
        {key: {"dtype": kind, "shape": shape, "data_offsets": at} for key, (kind, shape, at) in entries.items()}
    ).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_every_ending_has_its_reader() -> None:
    assert tuple(READERS) == READ


def test_a_home_folder_is_found_before_the_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "v.txt").write_text("1 2\na 1 2\n")
    check_source("~/v.txt")
    assert KeyedVectors.load("~/v.txt").words == ["a"]
    with pytest.raises(InputError, match="~/w.txt: no such file"):
        check_source("~/w.txt")
