"""NumPy archives, compared with NumPy, which reads and writes them too."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.vectors import npz_format
from w2v_jax.vectors.formats import load, save
from w2v_jax.vectors.table import Table

WORDS = ["a", "", "whole milk", "\n\0é"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def test_numpy_reads_our_archive_and_we_read_what_numpy_writes(tmp_path: Path) -> None:
    save(tmp_path / "v.npz", Table(WORDS, VECTORS, np.arange(4), {"wide": np.ones((4, 9), np.float16)}))
    arrays = dict(np.load(tmp_path / "v.npz"))
    assert bytes(arrays["words"]).decode() == "".join(WORDS)
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "w.npz", **arrays | {"vectors": np.asfortranarray(VECTORS), "other": np.array(["x"])})
        table = load(tmp_path / "w.npz")
        assert (table.words, [*table.tables]) == (WORDS, ["wide"])
        np.testing.assert_array_equal(table.vectors, VECTORS)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [("vectors", np.zeros((4, 3), object), "the array 'vectors' is damaged, or not of numbers"),
     ("vectors", np.zeros(12, np.float32), "'vectors' has the shape"), ("vector", np.zeros(3), "no array 'vectors'"),
     ("words", np.array(WORDS), "the array 'words' is damaged, or not of numbers"),
     ("vectors", np.zeros((1000, 300)), "expands to over 200 times its size")],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(
    name: str, array: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz_format, "MAX_DECOMPRESSED", 1 << 16)
    arrays: Any = {"words": np.frombuffer(b"abcd", np.uint8), "word_ends": np.array([1, 2, 3, 4]), name: array}
    np.savez_compressed(tmp_path / "v.npz", **arrays)
    with pytest.raises(InputError, match=f"v.npz: .*{message}"):
        load(tmp_path / "v.npz")


def test_header_that_promises_more_than_its_bytes_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "v.npz", Table(WORDS, VECTORS))
    with ZipFile(tmp_path / "v.npz") as archive, ZipFile(tmp_path / "w.npz", "w") as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name).replace(b"(4, 3), }", b"(4, 9), }"))
    with pytest.raises(InputError, match="w.npz: the array 'vectors' is damaged"):
        load(tmp_path / "w.npz")
