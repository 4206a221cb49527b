"""Reading of local, remote and compressed files; atomic writes."""

import bz2
import errno
import gzip
import io
import lzma
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.compression import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from w2v_jax import files
from w2v_jax.errors import InputError
from w2v_jax.files import atomic_write, check_writable, describe_format, open_input
from w2v_jax.paths import expand


def zip_compress(content: bytes, name: str = "text") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


TEXT = b"to be or not to be\n" * 5_000
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".txt": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd.compress,
    ".zip": zip_compress,
}  # fmt: skip
for_all_codecs = pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESS if suffix != ".txt"])


def read(path: str | os.PathLike[str]) -> bytes:
    with open_input(path) as file:
        return file.read()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_file_is_decompressed_once_by_its_suffix(suffix: str, tmp_path: Path) -> None:
    once, twice = tmp_path / f"text{suffix}", tmp_path / f"text{suffix}{suffix}"
    once.write_bytes(COMPRESS[suffix](TEXT))
    twice.write_bytes(COMPRESS[suffix](once.read_bytes()))
    assert read(once) == read(f"file://{once}") == TEXT
    assert read(twice) == once.read_bytes()
    if suffix != ".zip":  # all frames are read
        once.write_bytes(COMPRESS[suffix](TEXT) * 2)
        assert read(once) == TEXT * 2


@for_all_codecs
@pytest.mark.parametrize("damage", ["cut short", "not compressed"])
def test_damaged_file_is_refused(damage: str, suffix: str, tmp_path: Path) -> None:
    compressed = COMPRESS[suffix](os.urandom(100_000))
    path = tmp_path / f"text{suffix}"
    path.write_bytes(TEXT if damage == "not compressed" else compressed[: len(compressed) // 2])
    with pytest.raises(InputError, match=f"text{suffix}: cannot be read: [^\n]+$"):
        read(path)


@for_all_codecs
def test_compressed_file_is_known_by_its_bytes(suffix: str, tmp_path: Path) -> None:
    for path in (tmp_path / "log::2024", tmp_path / "wrong.gz"):
        path.write_bytes(COMPRESS[suffix](TEXT))
        assert read(path) == TEXT


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"PAR1\x15", "a Parquet file"), ("né".encode("utf-16"), "UTF-16 text"), (b"t\0o\0 \0b\0", "UTF-16 text"),
     ("né".encode("utf-32"), "UTF-32 text"), (pickle.dumps({}), "a pickle, as gensim's .kv and .model are"),
     (struct.pack("<ii", 793712314, 12), "a fastText model"), (b"\xef\xbb\xbf<!doctype HTML>", "an HTML page"),
     (zip_compress(b"", "[Content_Types].xml"), "an Office document"),
     (zip_compress(b"", "x/data.pkl"), "a PyTorch file"),
     (b"%PDF-1.4", "a PDF file"), ("né".encode("latin-1"), None), (b"2 3\nking ", None), (b"", None)],
    ids=lambda part: str(part)[:20],
)  # fmt: skip
def test_format_is_known_by_its_first_bytes(head: bytes, kind: str | None) -> None:
    assert describe_format(head) == kind


def test_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with atomic_write("~/out") as file:
        file.write(b"x")
    check_writable("~/out")
    assert read("~/out") == (tmp_path / "out").read_bytes() == b"x"
    assert expand("~nobody.txt") == "~nobody.txt"


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing", "missing: no such file"), ("", "is a directory"), ("nosuchprotocol://host/file", "nosuchprotocol")],
)
def test_missing_file_directory_and_unknown_protocol_are_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read(name if ":" in name else tmp_path / name)


def test_write_replaces_the_file_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    mode = path.stat().st_mode
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode == mode  # as the umask has it
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace", "getlogin"])
def test_failure_leaves_the_old_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("bug") if call == "getlogin" else OSError(errno.EIO, "Input/output error")

    path = tmp_path / "out"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, fail)
    message = "^bug$" if call == "getlogin" else "out: cannot be written: Input/output error$"
    with pytest.raises((InputError, RuntimeError), match=message), atomic_write(path) as file:
        file.write(b"new" if call != "getlogin" else os.getlogin().encode())  # fails in the caller's block
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [("no/such/folder/out", "cannot be written: No such file or directory"), (".", "is a directory"),
     ("x" * 256, "cannot be written: File name too long"), ("pipe", "pipe: is not a regular file"),
     ("link", "(link|pipe): is not a regular file")],
)  # fmt: skip
def test_unwritable_path_is_refused(name: str, message: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with pytest.raises(InputError, match=message):
        check_writable(tmp_path / name)
    with pytest.raises(InputError, match=message), atomic_write(tmp_path / name):
        pass
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["loop", "字" * 80])
def test_circular_link_and_long_name_can_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with atomic_write(tmp_path / name) as file:
        file.write(b"complete")
    assert (tmp_path / name).read_bytes() == b"complete"


OPERATIONS: dict[str, Callable[[Any, int], object]] = {
    "read": lambda file, n: file.read(n),
    "readline": lambda file, n: file.readline(n % 30),
    "readinto": lambda file, n: (file.readinto(buffer := bytearray(n)), buffer),
    "lines": lambda file, n: [line for line, _ in zip(file, range(n % 50), strict=False)],
}


@for_all_codecs
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 120_000)), max_size=8))
def test_compressed_file_behaves_like_bytesio(suffix: str, steps: list[tuple[str, int]], tmp_path: Path) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_bytes(COMPRESS[suffix](TEXT))
    run = lambda file: [*(OPERATIONS[name](file, n) for name, n in steps), file.read()]
    with open_input(path) as file:
        assert run(file) == run(io.BytesIO(TEXT))


BOMB = bytes(16 << 20)
REFUSED = "expands to over 0 GiB and over 200 times its compressed size, as a decompression bomb does; decompress it"


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """Lower the limit from 1 GiB to 1 MiB, for speed."""
    monkeypatch.setattr(files, "MAX_DECOMPRESSED", 1 << 20)
    return 1 << 20


def bytes_before_refusal(path: str | os.PathLike[str]) -> int:
    sizes: list[int] = []
    with pytest.raises(InputError, match=f"^{path}: {REFUSED}"), open_input(path) as file:
        sizes.extend(map(len, iter(lambda: file.read(100_000), b"")))
    return sum(sizes)


@for_all_codecs
def test_decompression_bomb_is_refused_while_read(suffix: str, limit: int, tmp_path: Path) -> None:
    compressed = COMPRESS[suffix](BOMB)
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(compressed)
    most = max(limit, 200 * len(compressed))
    assert most < len(BOMB)
    assert limit - 200_000 < bytes_before_refusal(path) <= most
    with open_input(path, decompress=False) as file:
        assert file.read() == compressed
    for content in (TEXT * 5, bytes(limit), os.urandom(2 * limit)):  # either long or highly compressed
        path.write_bytes(COMPRESS[suffix](content))
        assert read(path) == content


def test_remote_bomb_is_refused(limit: int) -> None:
    with fsspec.open("memory://bomb.gz", "wb") as file:
        file.write(gzip.compress(BOMB))
    assert bytes_before_refusal("memory://bomb.gz") < len(BOMB) // 2
