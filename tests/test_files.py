"""Reading anything, writing whole or not at all."""

import bz2
import gzip
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.compression import zstd

from w2v_jax.errors import InputError
from w2v_jax.files import check_writable, reading, writing

TEXT = b"to be or not to be\n" * 5_000
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".txt": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}


def read(path: str | os.PathLike[str]) -> bytes:
    with reading(path) as file:
        return file.read()


@pytest.mark.parametrize("ending", PACK)
def test_packed_files_are_unpacked_by_their_ending(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"text{ending}"
    path.write_bytes(PACK[ending](TEXT))
    assert read(path) == TEXT


def test_two_zstd_frames_are_one_text(tmp_path: Path) -> None:
    path = tmp_path / "text.zst"
    path.write_bytes(zstd.compress(TEXT) + zstd.compress(TEXT))
    assert read(path) == TEXT * 2


def test_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("text", TEXT)
    assert read(tmp_path / "text.zip") == TEXT


def test_a_url(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    assert read(f"file://{tmp_path / 'text'}") == TEXT


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_file_cut_short_is_an_error_not_a_shorter_text(ending: str, tmp_path: Path) -> None:
    packed = PACK[ending](os.urandom(100_000))
    path = tmp_path / f"text{ending}"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=f"text{ending}: cannot be read: [^\n]+$"):
        read(path)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".zip"])
def test_a_file_that_is_not_what_its_ending_says(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"text{ending}"
    path.write_bytes(TEXT)
    with pytest.raises(InputError, match=f"text{ending}: cannot be read: [^\n]+$"):
        read(path)


def test_missing_and_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing: no such file"):
        read(tmp_path / "missing")
    with pytest.raises(InputError, match="is a directory"):
        read(tmp_path)
    with pytest.raises(InputError, match="nosuchprotocol"):
        read("nosuchprotocol://host/file")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail_halfway() -> None:
        with writing(path) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with writing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"  # until it is whole
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["no/such/folder/out", "."])
def test_where_nothing_can_be_written(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written|is a directory"):
        check_writable(tmp_path / place)
    with pytest.raises(InputError, match="cannot be written|is a directory"), writing(tmp_path / place):
        pass
