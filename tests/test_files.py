"""Reading anything, writing whole or not at all."""

import bz2
import errno
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest
from fsspec.compression import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from w2v_jax import files
from w2v_jax.errors import InputError
from w2v_jax.files import check_writable, reading, writing


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text", content)
    return file.getvalue()


TEXT = b"to be or not to be\n" * 5_000
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".txt": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
    ".zip": zipped,
}
PACKED = [ending for ending in PACK if ending != ".txt"]


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


def test_a_url(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT)
    assert read(f"file://{tmp_path / 'text'}") == TEXT


@pytest.mark.parametrize("ending", PACKED)
def test_a_file_cut_short_is_an_error_not_a_shorter_text(ending: str, tmp_path: Path) -> None:
    packed = PACK[ending](os.urandom(100_000))
    path = tmp_path / f"text{ending}"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=f"text{ending}: cannot be read: [^\n]+$"):
        read(path)


@pytest.mark.parametrize("ending", PACKED)
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


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
def test_a_disk_that_fails_at_the_last_moment(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "out"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(InputError, match="out: cannot be written: Input/output error$"), writing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["no/such/folder/out", "."])
def test_where_nothing_can_be_written(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written|is a directory"):
        check_writable(tmp_path / place)
    with pytest.raises(InputError, match="cannot be written|is a directory"), writing(tmp_path / place):
        pass


Step = tuple[str, int]
STEPS = st.tuples(
    st.sampled_from(["read", "readline", "readinto", "seek", "seek on", "seek back", "lines"]),
    st.integers(0, 120_000),
)


def steps_taken(file: BinaryIO, steps: list[Step]) -> Iterator[object]:
    """What a file answers, and where it then stands."""
    for name, number in steps:
        if name == "read":
            yield file.read(number)
        elif name == "readline":
            yield file.readline(number % 30)
        elif name == "readinto":
            buffer = bytearray(number)
            yield file.readinto(buffer), buffer  # type: ignore[attr-defined]
        elif name == "lines":
            yield [line for line, _ in zip(file, range(number % 50), strict=False)]
        else:  # within the file; what lies beyond is each kind of file's own affair
            size, here = len(TEXT), file.tell()
            steps_to = {
                "seek": (number % size, 0),
                "seek on": (number % (size + 1 - here), 1),
                "seek back": (-(number % size), 2),
            }
            yield file.seek(*steps_to[name])
        yield file.tell()
    yield file.read()


@pytest.mark.parametrize("ending", PACKED)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=8))
def test_a_packed_file_is_a_file_like_any_other(ending: str, steps: list[Step], tmp_path: Path) -> None:
    path = tmp_path / f"text{ending}"
    path.write_bytes(PACK[ending](TEXT))
    with reading(path) as file:
        assert list(steps_taken(file, steps)) == list(steps_taken(io.BytesIO(TEXT), steps))


BOMB = bytes(16 << 20)
TAKEN = "over 0 GiB came out of it, over 200 times what was read, so it is taken for a bomb; unpack it yourself"


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> int:
    """A GiB of a MiB, for tests that do not last."""
    monkeypatch.setattr(files, "UNPACKED", 1 << 20)
    return 1 << 20


def refused_after(path: str | os.PathLike[str]) -> int:
    """The bytes that a bomb gave before it was refused."""
    given: list[int] = []

    def drain() -> None:
        with reading(path) as file:
            given.extend(map(len, iter(lambda: file.read(100_000), b"")))

    with pytest.raises(InputError, match=f"^{path}: {TAKEN}"):
        drain()
    return sum(given)


@pytest.mark.parametrize("ending", PACKED)
def test_a_bomb_is_refused_while_it_is_read(ending: str, bounded: int, tmp_path: Path) -> None:
    packed = PACK[ending](BOMB)
    path = tmp_path / f"bomb{ending}"
    path.write_bytes(packed)
    most = max(bounded, 200 * len(packed))
    assert most < len(BOMB)
    assert bounded - 200_000 < refused_after(path) <= most
    for how in (lambda file: file.seek(0, 2), lambda file: file.seek(len(BOMB)), list):
        with pytest.raises(InputError, match=TAKEN), reading(path) as file:
            how(file)
    with reading(path, unpack=False) as file:
        assert file.read() == packed


@pytest.mark.parametrize("ending", PACKED)
def test_what_is_long_or_tightly_packed_is_no_bomb_unless_it_is_both(ending: str, bounded: int, tmp_path: Path) -> None:
    for content in (TEXT * 5, bytes(bounded), os.urandom(2 * bounded)):
        (tmp_path / f"text{ending}").write_bytes(PACK[ending](content))
        assert read(tmp_path / f"text{ending}") == content


def test_a_bomb_from_elsewhere(bounded: int, tmp_path: Path) -> None:
    with fsspec.open("memory://bomb.gz", "wb") as file:
        file.write(gzip.compress(BOMB))
    assert refused_after("memory://bomb.gz") < len(BOMB) // 2


@pytest.mark.parametrize("ending", PACKED)
def test_one_layer_is_unpacked(ending: str, tmp_path: Path) -> None:
    inner = PACK[ending](TEXT)
    (tmp_path / f"text{ending}{ending}").write_bytes(PACK[ending](inner))
    assert read(tmp_path / f"text{ending}{ending}") == inner


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(InputError, match="pipe: is no regular file|link: is no regular file"):
            check_writable(tmp_path / name)
        with pytest.raises(InputError, match="pipe: is no regular file"), writing(tmp_path / name):
            pass
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_to_itself_is_a_name_like_another(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with writing(tmp_path / "loop") as file:
        file.write(b"whole")
    assert (tmp_path / "loop").read_bytes() == b"whole"
