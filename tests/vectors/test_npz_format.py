"""NumPy archives, compared with NumPy, which reads and writes them too."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.vectors import npz_format
from w2v_jax.vectors.formats import load, save
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.table import Table

WORDS = ["a", "", "whole milk", "\n\0é"]
VECTORS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
TABLES: dict[str, Any] = {"center": VECTORS + 1, "outside": VECTORS + 2, "wide": np.ones((4, 9), np.float16)}


def test_numpy_reads_our_archive_and_we_read_what_numpy_writes(tmp_path: Path) -> None:
    save(tmp_path / "v.npz", Table(WORDS, VECTORS, np.arange(4), TABLES))
    arrays = dict(np.load(tmp_path / "v.npz"))
    assert bytes(arrays["words"]).decode() == "".join(WORDS)
    np.testing.assert_array_equal(arrays["vectors"], VECTORS)
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "w.npz", **arrays | {"vectors": np.asfortranarray(VECTORS), "other": np.array(["x"])})
        loaded = KeyedVectors.load(tmp_path / "w.npz", limit=3)
        assert loaded.words == WORDS[:3]
        np.testing.assert_array_equal(loaded.vectors, VECTORS[:3])
        assert loaded.tables.keys() == TABLES.keys()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [("vectors", np.zeros((4, 3), object), "the array 'vectors' is damaged, or not of numbers"),
     ("vectors", np.zeros(12, np.float32), "'vectors' has the shape"), ("vectors", None, "holds no array 'vectors'"),
     ("vectors", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9999999, 300), }\n",
      "the array 'vectors' is damaged"),
     ("words", np.array(WORDS), "the array 'words' is damaged, or not of numbers")],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(name: str, array: Any, message: str, tmp_path: Path) -> None:
    save(tmp_path / "v.npz", Table(WORDS, VECTORS))
    arrays = dict(np.load(tmp_path / "v.npz")) | {name: array}
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        for key, value in arrays.items():
            np.save(content := io.BytesIO(), value) if isinstance(value, np.ndarray) else None
            if value is not None:
                archive.writestr(f"{key}.npy", value if isinstance(value, bytes) else content.getvalue())
    with pytest.raises(InputError, match=f"w.npz: {message}"):
        load(tmp_path / "w.npz")


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "v.npz", vectors=np.zeros((1000, 300)))
    monkeypatch.setattr(npz_format, "MAX_DECOMPRESSED", 1 << 16)
    with pytest.raises(InputError, match="v.npz: expands to over 200 times its size"):
        load(tmp_path / "v.npz")
