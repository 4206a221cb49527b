"""Vectors files of every format: round trips, files of other tools, and damaged or random bytes."""

import gzip
import pickle
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from gensim.models import KeyedVectors as Gensim

from w2v_jax.errors import InputError
from w2v_jax.params import Params
from w2v_jax.text.tokens import MAX_WORD_LENGTH
from w2v_jax.vectors.endings import WRITABLE, check_source
from w2v_jax.vectors.formats import READERS, load, save
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.table import Table

WORDS = ["the", "é", "字", "don't", "a" * 200]
VECTORS = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
VECTORS[0, :2], VECTORS[1, 1], VECTORS[2, 2:] = (1e-30, 1e-5), -0.0, (1234567, 99999, 1e5, 16777216, 1e-4)
WORD2VEC = [".bin", ".txt", ".vec"]
EVERY = [*WORD2VEC, ".safetensors", ".npz"]


def same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def assert_loads(path: Path | str, words: list[str], vectors: np.ndarray[Any, Any], **options: Any) -> None:
    table = load(path, **options)
    assert table.words == words
    assert same_bits(table.vectors, vectors)


@pytest.mark.parametrize("ending", WORD2VEC)
def test_gensim_reads_and_writes_the_same_bytes(ending: str, tmp_path: Path) -> None:
    path, binary = tmp_path / f"v{ending}", ending == ".bin"
    save(path, Table(WORDS, VECTORS))
    gensim = Gensim.load_word2vec_format(str(path), binary=binary)
    assert gensim.index_to_key == WORDS
    assert same_bits(gensim.vectors, VECTORS)
    gensim.save_word2vec_format(str(tmp_path / f"gensim{ending}"), binary=binary)
    assert (tmp_path / f"gensim{ending}").read_bytes() == path.read_bytes()


# For each file of another tool: the ending to add, our options, and gensim's options or our error.
STRICT: dict[str, Any] = {}
REPLACE, IGNORE = ({"errors": errors} for errors in ("replace", "ignore"))
OTHER_TOOLS: list[tuple[str, str, dict[str, Any], dict[str, Any] | str]] = [
    ("crime-and-punishment.bin", "", STRICT, "is a fastText model, .*; write its words"),
    ("crime-and-punishment.vec", "", STRICT, {"binary": False}),
    ("euclidean_vectors.bin", "", STRICT, {"binary": True}),
    ("high_precision.kv.bin", "", STRICT, {"binary": True}),
    *[("high_precision.kv.txt", "", {"dtype": x}, {"datatype": x}) for x in (np.float16, np.float32, np.float64)],
    ("lee_background.cor", "", STRICT, "the first line must be two numbers"),
    ("lee_fasttext.vec", "", STRICT, {"binary": False}),
    ("lee_fasttext.vec", "", {"limit": 100}, {"limit": 100}),
    ("pang_lee_polarity_fasttext.vec", "", STRICT, r"word 149, b'\\x97', is not UTF-8"),
    ("pang_lee_polarity_fasttext.vec", "", REPLACE, {"unicode_errors": "replace"}),
    ("pang_lee_polarity_fasttext.vec", "", IGNORE, {"unicode_errors": "ignore"}),
    ("pretrained.vec", "", STRICT, "promises 3 words of 5 numbers but ends after 1"),
    ("test_glove.txt", "", STRICT, {"no_header": True}),
    ("test_glove.txt", "", {"limit": 9}, {"no_header": True, "limit": 9}),
    ("toy-model.vec", "", STRICT, {"binary": False}),
    ("w2v_keyedvectors_load_test.modeldata", "", STRICT, "word 1, .* is not UTF-8"),
    ("w2v_keyedvectors_load_test.modeldata", ".txt", REPLACE, {"unicode_errors": "replace"}),
    ("w2v_keyedvectors_load_test.modeldata", ".txt", IGNORE, {"unicode_errors": "ignore"}),
    ("w2v_keyedvectors_load_test.vocab", "", STRICT, "first line must be"),  # counts
]


def test_every_file_of_other_tools_has_a_case(data: Path) -> None:
    assert {path.name for path in (data / "formats").iterdir()} == {name for name, *_ in OTHER_TOOLS}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # gensim leaves a file without a header open
@pytest.mark.parametrize(("name", "ending", "options", "expected"), OTHER_TOOLS)
def test_files_of_other_tools_load_as_in_gensim(
    name: str, ending: str, options: dict[str, Any], expected: dict[str, Any] | str, data: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}{ending}"
    path.symlink_to(data / "formats" / name)
    if isinstance(expected, str):
        with pytest.raises(InputError, match=f"{path.name}: [^\n]*{expected}[^\n]*$"):
            load(path, **options)
        return
    gensim = Gensim.load_word2vec_format(str(path), **expected)
    assert_loads(path, gensim.index_to_key, gensim.vectors, **options)


def test_counts_and_both_tables_are_kept(tmp_path: Path) -> None:
    counts, outside, sizes = np.array([9, 5, 3, 1, 0]), VECTORS[::-1].copy(), []
    for center in (VECTORS, VECTORS * 2):
        path = tmp_path / "v.safetensors"
        KeyedVectors(WORDS, VECTORS, counts, Params(jnp.asarray(center), jnp.asarray(outside))).save(path)
        for limit in (None, 2):
            loaded = KeyedVectors.load(path, limit=limit)
            assert loaded.words == WORDS[:limit]
            expected = {"counts": counts, "vectors": VECTORS, "center": center, "outside": outside}
            actual = {"counts": loaded.counts, "vectors": loaded.vectors, **loaded.tables}
            for name, array in expected.items():
                assert same_bits(np.asarray(actual[name]), array[:limit])
        sizes.append(path.stat().st_size)
    assert sizes[0] + VECTORS.nbytes <= sizes[1]  # a center table that equals the vectors is not stored twice


@pytest.mark.parametrize("ending", EVERY)
@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16])
def test_precision_is_converted_or_kept(ending: str, dtype: Any, tmp_path: Path) -> None:
    vectors = np.clip(VECTORS, -9, 9)
    save(tmp_path / f"v{ending}", Table(WORDS, vectors))
    exact = vectors.astype(str) if ending in (".txt", ".vec") else vectors  # shortest digits of float32
    assert same_bits(load(tmp_path / f"v{ending}", dtype=dtype).vectors, exact.astype(np.float64).astype(dtype))
    save(tmp_path / f"w{ending}", Table(WORDS, vectors.astype(dtype) / 3))
    back = load(tmp_path / f"w{ending}", dtype=dtype).vectors
    if ending == ".bin":  # which holds float32
        np.testing.assert_array_equal(back, (vectors.astype(dtype) / 3).astype(np.float32).astype(dtype))
    else:
        assert same_bits(back, vectors.astype(dtype) / 3)


@pytest.mark.parametrize("ending", EVERY)
def test_every_bit_comes_back_and_limit_reads_the_first_words(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{ending}"
    save(path, Table(WORDS, VECTORS))
    for limit in (1, np.int64(4), 5, 10**15, None):
        assert_loads(path, WORDS[:limit], VECTORS[:limit], limit=limit)
    assert load(path)[2:] == (None, {})
    if ending in WORD2VEC:  # the rest is not read
        path.write_bytes(path.read_bytes()[:-20])
        assert load(path, limit=4).words == WORDS[:4]


@pytest.mark.parametrize("ending", EVERY)
def test_compressed_files_and_urls_load(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{ending}"
    save(path, Table(WORDS, VECTORS))
    (tmp_path / f"v{ending}.gz").write_bytes(gzip.compress(path.read_bytes()))
    for source in (f"{path}.gz", f"file://{path}"):
        assert_loads(source, WORDS, VECTORS)


def test_chunks_of_any_size_load_the_same_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"w{i}" * (i % 7 + 1) for i in range(999)]
    vectors = np.random.default_rng(1).normal(size=(999, 3)).astype(np.float32)
    for ending in WORD2VEC:
        for size in (1, 100, 5_000, 1 << 20):
            monkeypatch.setattr("w2v_jax.vectors.word2vec_formats.CHUNK_BYTES", size)
            monkeypatch.setattr("w2v_jax.vectors.word2vec_formats.NUMBERS_PER_WRITE", size)
            save(tmp_path / f"v{ending}", Table(words, vectors))
            assert_loads(tmp_path / f"v{ending}", words, vectors)


@pytest.mark.parametrize("ending", EVERY)
def test_jax_takes_vectors_over_without_a_copy(ending: str, tmp_path: Path) -> None:
    save(tmp_path / f"v{ending}", Table(WORDS, VECTORS))
    vectors = KeyedVectors.load(tmp_path / f"v{ending}").vectors
    array = jnp.from_dlpack(vectors, copy=False)
    assert array.unsafe_buffer_pointer() == vectors.ctypes.data == np.from_dlpack(array).ctypes.data
    np.testing.assert_array_equal(array, VECTORS)


def test_safetensors_are_mapped_copy_on_write(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save(path, Table(WORDS, VECTORS))
    before = path.read_bytes()
    base: Any = (vectors := load(path).vectors)
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert not isinstance(vectors, np.memmap)
    vectors[:] = 0
    assert path.read_bytes() == before
    save(path, Table(WORDS[:1], VECTORS[:1]))  # replaces the mapped file, which stays alive
    assert load(path).words == WORDS[:1]
    assert vectors.shape == (5, 7)


@pytest.mark.parametrize(
    ("ending", "word"),
    [(ending, word) for ending in WORD2VEC for word in ("whole milk", "", "a\nb", "a" * (MAX_WORD_LENGTH + 1))]
    + [(ending, word) for ending in EVERY for word in ("\ud800", "a")],
    ids=lambda part: part[:9],
)
def test_word_that_the_format_cannot_hold_is_refused(ending: str, word: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{ending}"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="v[.][a-z2]+: [^\n]*(cannot hold|can hold|is repeated)[^\n]*$"):
        save(path, Table(["a", word], VECTORS[:2]))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [*EVERY, ".tsv"])
def test_infinities_nans_and_empty_tables_are_not_saved(ending: str, tmp_path: Path) -> None:
    for bad in (np.array([[1, np.nan]], np.float32), np.array([[np.inf, 1]]), np.zeros((0, 3))):
        with pytest.raises(InputError, match="'a' holds a number that is not finite|no vectors to write"):
            save(tmp_path / f"v{ending}", Table(["a"][: len(bad)], bad))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"errors": "?"}, {"limit": 0}, {"limit": 1.5}, {"dtype": np.int32}])
def test_invalid_options_are_refused(options: Any, tmp_path: Path) -> None:
    save(tmp_path / "v.bin", Table(WORDS, VECTORS))
    with pytest.raises(InputError, match=f"{next(iter(options))} is .*; it must be"):
        load(tmp_path / "v.bin", **options)


@pytest.mark.parametrize("name", ["v", "v.gz", "v.pkl", "v.kv.gz", "v.bin.gz"])
def test_other_endings_are_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the ending must be .bin.*" + "; compress it later" * name.endswith(".gz")):
        save(tmp_path / name, Table(WORDS, VECTORS))
    assert tuple(READERS) == WRITABLE


@pytest.mark.parametrize("written", EVERY)
@pytest.mark.parametrize("named", ["v.bin", "v.vec", "v.emb", "v", "v.safetensors", "v.npz", "v.tsv"])
def test_files_are_read_by_their_bytes_whatever_their_name(written: str, named: str, tmp_path: Path) -> None:
    save(tmp_path / f"w{written}", Table(WORDS, VECTORS))
    assert_loads((tmp_path / f"w{written}").rename(tmp_path / named), WORDS, VECTORS)


@pytest.mark.parametrize(
    ("head", "message"),
    [(b"\xba\x16\x4f\x2f", "is a fastText model, .* fasttext print-word-vectors"),
     (pickle.dumps({}), "is a pickle, as gensim's .* save_word2vec_format"), (b"\x89HDF\r\n", "is an HDF5 file"),
     (b"PAR1", "is a Parquet file, .* save KeyedVectors"), (b"\x93NUMPY", "is a NumPy array")],
)  # fmt: skip
def test_other_formats_are_named_with_how_to_convert_them(head: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.bin").write_bytes(head + bytes(99))
    with pytest.raises(InputError, match=f"v.bin: {message}[^\n]*$"):
        load(tmp_path / "v.bin")


def test_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "v.txt").write_text("1 2\na 1 2\n")
    check_source("~/v.txt")
    assert KeyedVectors.load("~/v.txt").words == ["a"]
    with pytest.raises(InputError, match="~/w.txt: no such file"):
        check_source("~/w.txt")
