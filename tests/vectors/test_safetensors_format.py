"""safetensors files, compared with the library that defines the format."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from w2v_jax.errors import InputError
from w2v_jax.vectors.formats import load, save
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.table import Table

WORDS = ["a", "", "whole milk", "\n\0é"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "vectors": VECTORS,
    "words": np.frombuffer("".join(WORDS).encode(), np.uint8),
    "word_ends": np.array([1, 1, 11, 15]),
}
TABLES: dict[str, np.ndarray[Any, Any]] = {
    "center": np.ones((9, 3), np.float32), "outside": VECTORS + 2, "ngrams": np.ones((7, 2), np.float16),
    "wide": VECTORS.repeat(5, 1), "empty": np.zeros((0, 5), np.float32), "no columns": np.zeros((4, 0), np.float32),
}  # fmt: skip
NAMES = set(TABLES)


def test_the_library_reads_our_file(tmp_path: Path) -> None:
    counts, tables = np.array([4, 3, 2, 1]), {"center": VECTORS + 1, "outside": VECTORS.astype(np.float16)}
    save(tmp_path / "v.safetensors", Table(WORDS, VECTORS, counts, tables))
    library = safetensors.numpy.load_file(tmp_path / "v.safetensors")
    expected = {**ARRAYS, "counts": counts, **tables}
    assert library.keys() == expected.keys()
    for key, array in expected.items():
        assert library[key].dtype == array.dtype
        np.testing.assert_array_equal(library[key], array)


def test_we_read_a_file_of_the_library(tmp_path: Path) -> None:
    others = {"unknown": np.zeros(3, np.int16)}
    safetensors.numpy.save_file(ARRAYS | others, tmp_path / "v.safetensors", {"some": "remark"})
    back = load(tmp_path / "v.safetensors")
    assert back.words == WORDS
    assert back.vectors.tobytes() == VECTORS.tobytes()


def entry(kind: object = "F32", shape: object = (4, 3), at: object = (0, 48)) -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": at}


REST = {"words": entry("U8", [4], [0, 4]), "word_ends": entry("I64", [4], [8, 40])}
DATA = b"abcd" + bytes(4) + np.array([1, 2, 3, 4]).tobytes() + bytes(160)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "is no safetensors file"),
        (b"{" * 70_000, "is no safetensors file"),
        (b"[" * 60_000, "its header is damaged: it is not JSON"),
        (b'{"vectors": ' + b"9" * 5_000 + b"}", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "it is no object"),
        (b"{}", "holds no array 'vectors'"),
        (json.dumps({"vectors": entry()}).encode(), "holds no array 'words'"),
        *[({"vectors": bad}, "'vectors' is described as") for bad in (
            3, entry("F31"), entry(["F32"]), entry(shape=[-4, -3]), entry(shape=[True, 12]), entry(shape="43"),
            entry(shape=[1e400]), entry(shape=[1 << 40] * 100), entry(shape=[1 << 31, 1 << 31]), entry(at=[0, 52]),
            entry(shape=[1 << 62, 0], at=[0, 0]), entry(at=[1 << 70, (1 << 70) + 48]), entry(at=[-48, 0]),
        )],
        ({"vectors": entry(shape=[12])}, "'vectors' has the shape .12,.; it must be"),
        ({"vectors": entry(shape=[0, 3], at=[0, 0])}, "'vectors' has the shape"),
        ({"vectors": entry("I64", [4, 1], [8, 40])}, "'vectors' has the shape .* which does not fit"),
        ({"words": entry("F32", [1], [0, 4])}, "'words' has the shape .* which does not fit"),
        ({"word_ends": entry("I64", [3], [8, 32])}, "'word_ends' has the shape .* which does not fit"),
        ({"counts": entry("I64", [3], [8, 32])}, "'counts' has the shape .* which does not fit"),
        ({"outside": entry("F32", [2, 4], [8, 40])}, "'outside' has the shape .* which does not fit"),
        ({"tables.x": entry("I64", [4, 1], [8, 40])}, "'tables.x' has the shape .* which does not fit"),
        ({"tables.x": entry(shape=[12], at=[8, 56])}, "'tables.x' has the shape .* which does not fit"),
        ({"tables.x": entry(shape=[1 << 31, 1 << 31], at=[8, 56])}, "'tables.x' is described as"),
        ({f"tables.{i}": entry(at=[8, 56]) for i in range(300)}, "its arrays overlap"),
        ({"words": entry("U8", [3], [0, 3])}, "'word_ends' do not divide 'words'"),
        ({"word_ends": entry("I64", [4], [0, 32])}, "'word_ends' do not divide 'words'"),
    ],
    ids=lambda part: str(part)[:30],
)  # fmt: skip
def test_header_that_does_not_fit_is_refused(header: object, message: str, tmp_path: Path) -> None:
    full = {"vectors": entry(at=[8, 56]), **REST, **header} if isinstance(header, dict) else header
    text = full if isinstance(full, bytes) else json.dumps(full).encode()
    (tmp_path / "v.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + DATA)
    with pytest.raises(InputError, match=f"v.safetensors: [^\n]*{message}"):
        load(tmp_path / "v.safetensors")


def test_arrays_with_invalid_content_are_refused(tmp_path: Path) -> None:
    for changed, message in (
        ({"counts": np.array([1, -1, 0, 0])}, "'counts' holds a number below 0"),
        ({"word_ends": np.array([5, 1, 11, 15])}, "'word_ends' do not divide 'words'"),
        ({"word_ends": np.array([-1, 1, 11, 15])}, "'word_ends' do not divide 'words'"),
        ({"words": ARRAYS["words"] | np.uint8(128)}, "word 1, .* is not UTF-8"),
        ({"outside": VECTORS * np.float32(np.inf)}, "'a' holds a number that is not finite"),
    ):
        safetensors.numpy.save_file(ARRAYS | changed, tmp_path / "v.safetensors")
        with pytest.raises(InputError, match=message):
            load(tmp_path / "v.safetensors")
    (tmp_path / "v.safetensors").write_bytes((1 << 63).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputError, match="is no safetensors file"):
        load(tmp_path / "v.safetensors")


@pytest.mark.parametrize("names", [{"ngrams"}, {"center", "ngrams", "empty"}, {"outside"}, {"outside", "wide"}, NAMES])
def test_tables_of_any_shape_come_back(names: set[str], tmp_path: Path) -> None:
    tables = {name: table for name, table in TABLES.items() if name in names}
    KeyedVectors(WORDS, VECTORS, None, tables).save(tmp_path / "v.safetensors")
    params = KeyedVectors.load(tmp_path / "v.safetensors").params
    assert isinstance(params, dict)
    assert params.keys() == tables.keys()
    for name, table in tables.items():
        assert params[name].dtype == table.dtype
        np.testing.assert_array_equal(params[name], table)


def test_center_and_outside_keep_their_names_beside_other_tables(tmp_path: Path) -> None:
    tables = {"center": VECTORS, "outside": VECTORS + 1, "wide": TABLES["wide"]}
    KeyedVectors(WORDS, VECTORS, None, tables).save(tmp_path / "v.safetensors")
    library = safetensors.numpy.load_file(tmp_path / "v.safetensors")
    assert library.keys() == {*ARRAYS, "outside", "tables.wide"}
    np.testing.assert_array_equal(KeyedVectors.load(tmp_path / "v.safetensors").tables["center"], VECTORS)


def test_limit_and_repeated_words_select_the_rows_of_tables_per_word(tmp_path: Path) -> None:
    """A table without a row per word stays whole, even if it has as many rows as words are left."""
    ends, path = np.array([1, 2, 3, 4]), tmp_path / "v.safetensors"
    arrays = {"vectors": VECTORS, "words": np.frombuffer(b"abac", np.uint8), "word_ends": ends, "outside": VECTORS + 1}
    tables = {"wide": TABLES["wide"], "three": np.ones((3, 2)), "two": np.ones((2, 9))}
    safetensors.numpy.save_file(arrays | {f"tables.{name}": table for name, table in tables.items()}, path)
    for limit, keep in ((None, [0, 1, 3]), (3, [0, 1]), (2, [0, 1]), (1, [0])):
        words, vectors, _, loaded = load(path, limit=limit)
        assert words == ["abac"[i] for i in keep]
        expected = {"center": VECTORS[keep], "outside": VECTORS[keep] + 1, **tables, "wide": TABLES["wide"][keep]}
        assert loaded.keys() == expected.keys()
        for name, table in [*expected.items(), ("center", vectors)]:
            np.testing.assert_array_equal(loaded[name], table)


def test_invalid_tables_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 1 of the table 'x' holds a number that is not finite in float32"):
        save(tmp_path / "v.safetensors", Table(WORDS, VECTORS, None, {"x": np.array([[1], [np.nan]], np.float32)}))
    with pytest.raises(InputError, match="2,000 tables need a header of .* bytes; keep fewer tables"):
        save(tmp_path / "v.safetensors", Table(WORDS, VECTORS, None, {f"{i}": VECTORS for i in range(2_000)}))
    assert list(tmp_path.iterdir()) == []
