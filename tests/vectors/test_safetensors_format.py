"""safetensors: the library that owns the format is the witness."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from w2v_jax.errors import InputError
from w2v_jax.vectors.formats import load, save
from w2v_jax.vectors.table import Table

WORDS = ["a", "", "whole milk", "\n\0é"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "vectors": VECTORS,
    "words": np.frombuffer("".join(WORDS).encode(), np.uint8),
    "word_ends": np.array([1, 1, 11, 15]),
}


def test_the_library_reads_what_we_write(tmp_path: Path) -> None:
    counts, tables = np.array([4, 3, 2, 1]), (VECTORS + 1, VECTORS.astype(np.float16))
    save(tmp_path / "v.safetensors", Table(WORDS, VECTORS, counts, tables))
    theirs = safetensors.numpy.load_file(tmp_path / "v.safetensors")
    expected = {**ARRAYS, "counts": counts, "center": tables[0], "outside": tables[1]}
    assert theirs.keys() == expected.keys()
    for key, array in expected.items():
        assert theirs[key].dtype == array.dtype
        np.testing.assert_array_equal(theirs[key], array)


def test_we_read_what_the_library_writes(tmp_path: Path) -> None:
    others = {"unknown": np.zeros(3, np.int16)}
    safetensors.numpy.save_file(ARRAYS | others, tmp_path / "v.safetensors", {"some": "remark"})
    back = load(tmp_path / "v.safetensors")
    assert back.words == WORDS
    assert back.vectors.tobytes() == VECTORS.tobytes()


def entry(kind: object = "F32", shape: object = (4, 3), at: object = (0, 48)) -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": at}


REST = {"words": entry("U8", [4], [0, 4]), "word_ends": entry("I64", [4], [8, 40])}
DATA = b"abcd" + bytes(4) + np.array([1, 2, 3, 4]).tobytes() + bytes(64)


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
        ({"vectors": 3}, "'vectors' is described as '3'"),
        ({"vectors": entry("F31")}, "is described as"),
        ({"vectors": entry(["F32"])}, "is described as"),
        ({"vectors": entry(shape=[-4, -3])}, "is described as"),
        ({"vectors": entry(shape=[True, 12])}, "is described as"),
        ({"vectors": entry(shape="43")}, "is described as"),
        ({"vectors": entry(shape=[1e400])}, "is described as"),
        ({"vectors": entry(shape=[1 << 40] * 100)}, "is described as"),
        ({"vectors": entry(at=[0, 52])}, "is described as"),
        ({"vectors": entry(at=[1 << 70, (1 << 70) + 48])}, "is described as"),
        ({"vectors": entry(at=[-48, 0])}, "is described as"),
        ({"vectors": entry(shape=[12])}, "'vectors' has the shape .12,.; it must be"),
        ({"vectors": entry(shape=[0, 3], at=[0, 0])}, "'vectors' has the shape"),
        ({"vectors": entry("I64", [4, 1], [8, 40])}, "'vectors' has the shape .* which does not fit"),
        ({"words": entry("F32", [1], [0, 4])}, "'words' has the shape .* which does not fit"),
        ({"word_ends": entry("I64", [3], [8, 32])}, "'word_ends' has the shape .* which does not fit"),
        ({"counts": entry("I64", [3], [8, 32])}, "'counts' has the shape .* which does not fit"),
        ({"outside": entry("F32", [2, 4], [8, 40])}, "'outside' has the shape .* which does not fit"),
        ({"words": entry("U8", [3], [0, 3])}, "'word_ends' do not divide 'words'"),
        ({"word_ends": entry("I64", [4], [0, 32])}, "'word_ends' do not divide 'words'"),
    ],
    ids=lambda part: str(part)[:30],
)
def test_a_header_that_does_not_fit(header: object, message: str, tmp_path: Path) -> None:
    full = {"vectors": entry(at=[8, 56]), **REST, **header} if isinstance(header, dict) else header
    text = full if isinstance(full, bytes) else json.dumps(full).encode()
    (tmp_path / "v.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + DATA)
    with pytest.raises(InputError, match=f"v.safetensors: [^\n]*{message}"):
        load(tmp_path / "v.safetensors")


def test_numbers_below_zero_and_words_that_are_not_utf_8(tmp_path: Path) -> None:
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
