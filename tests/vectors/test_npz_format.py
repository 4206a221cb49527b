"""numpy's files: numpy is the witness."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.vectors.formats import load, save
from w2v_jax.vectors.table import Table

VECTORS = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
ARRAYS = {"vectors": VECTORS, "words": np.frombuffer(b"a\n", np.uint8), "word_ends": np.array([1, 2])}


def test_numpy_reads_what_we_write_and_we_what_it_writes(tmp_path: Path) -> None:
    save(tmp_path / "v.npz", Table(["a", "\n"], VECTORS))
    with np.load(tmp_path / "v.npz", allow_pickle=False) as theirs:
        assert set(theirs) == ARRAYS.keys()
        for key, array in ARRAYS.items():
            np.testing.assert_array_equal(theirs[key], array)
    np.savez(tmp_path / "w.npz", other=np.zeros(3, bool), **ARRAYS)
    assert load(tmp_path / "w.npz").vectors.tobytes() == VECTORS.tobytes()
    assert load(tmp_path / "w.npz").words == ["a", "\n"]


def npy(header: str, data: bytes = bytes(24)) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def packed(content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("vectors.npy", content)
    return file.getvalue()


PLAIN = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged, or not one that numpy.savez wrote"),
        (b"PK\x05\x06" + bytes(18), "holds no array 'vectors'"),
        (packed(npy(PLAIN)), "holds no array 'words'"),
        (packed(npy(PLAIN), compression=zipfile.ZIP_DEFLATED), "is compressed or damaged; write it by numpy.savez"),
        (packed(npy(PLAIN, bytes(20))), r"promises the shape \(2, 3\) but has 20 bytes"),
        (packed(npy(PLAIN.replace("2, 3", "200000000000000, 3"))), "promises the shape"),
        (packed(npy(PLAIN.replace("<f4", "|O"))), "is no plain array of numbers"),
        (packed(npy(PLAIN.replace("False", "True"))), "is no plain array of numbers"),
        (packed(npy(PLAIN.replace("2, 3", "2, 3 if print(1) else 4"))), "is no plain array of numbers"),
        (packed(b"not npy"), "is no plain array of numbers"),
    ],
)
def test_files_that_savez_did_not_write(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.npz").write_bytes(content)
    with pytest.raises(InputError, match=f"v.npz: [^\n]*{message}"):
        load(tmp_path / "v.npz")


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    raw = bytearray(packed(npy(PLAIN)))
    for at in (raw.find(b"PK\x03\x04") + 18, raw.find(b"PK\x01\x02") + 20):
        raw[at : at + 8] = (1 << 31).to_bytes(4, "little") * 2
    (tmp_path / "v.npz").write_bytes(raw)
    with pytest.raises(InputError, match="is compressed or damaged"):
        load(tmp_path / "v.npz")
