"""Cache directories are complete or absent, found by key, and never replace other files."""

import errno
import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from w2v_jax import cache
from w2v_jax.cache import atomic_dir, cache_folder, exclusive, lookup, read_manifest, sweep, temporary_dir
from w2v_jax.errors import InputError

KEY = {"of": 1}


def write_dir(folder: Path, key: dict[str, int], text: str = "old") -> None:
    with atomic_dir(folder, key) as (temporary, manifest):
        (temporary / "file").write_text(text)
        manifest["note"] = text


def test_lookup_finds_a_directory_by_its_key(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "folder"
    write_dir(folder, KEY)
    manifest = lookup(folder, KEY)
    assert manifest is not None
    assert manifest["note"] == "old"
    assert lookup(folder, {"of": 2}) is None
    assert list(folder.parent.iterdir()) == [folder]
    (tmp_path / "plain").mkdir()
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode  # as the umask has it


@pytest.mark.parametrize(
    ("name", "content"), [("file", "ol"), ("file", None), ("about.json", None), ("about.json", "[]")]
)
def test_incomplete_directory_is_replaced(name: str, content: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write_dir(folder, KEY)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    assert read_manifest(folder) is None
    write_dir(folder, KEY, "new")
    assert lookup(folder, KEY) is not None
    assert (folder / "file").read_text() == "new"


@pytest.mark.parametrize("existing", ["same key", "other key", "other files"])
def test_concurrent_writer_keeps_what_exists(existing: str, tmp_path: Path) -> None:
    def race() -> None:
        with atomic_dir(tmp_path / "folder", KEY) as (temporary, _):
            (temporary / "file").write_text("second")
            write_dir(tmp_path / "folder", {"of": 2} if existing == "other key" else KEY, "first")
            if existing == "other files":
                (tmp_path / "folder" / "about.json").rename(tmp_path / "folder" / "thesis.txt")

    if existing == "same key":
        race()
    else:
        with pytest.raises(InputError, match="holds something else; name another folder"):
            race()
    assert (tmp_path / "folder" / "file").read_text() == "first"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.mark.parametrize(
    ("error", "message"),
    [(OSError(28, os.strerror(28)), "folder: cannot be written: No space left on device"),
     (OSError("12 requested and 3 written"), "folder: cannot be written: 12 requested and 3 written"),  # numpy's
     (KeyboardInterrupt(), "^$")],
)  # fmt: skip
def test_failure_leaves_no_files_and_is_reported(error: BaseException, message: str, tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_dir(tmp_path / "folder", KEY) as (temporary, _):
            (temporary / "file").write_text("half")
            raise error

    with pytest.raises((InputError, KeyboardInterrupt), match=message):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_sweep_removes_what_no_process_owns(tmp_path: Path) -> None:
    name = f"text-{'0' * 16}"
    (tmp_path / f".{name}.{'1' * 32}").mkdir()
    (tmp_path / f".{name}-counts-{'0' * 16}.{'1' * 32}").mkdir()
    (tmp_path / f".{name}.lock").touch()
    kept = [tmp_path / other for other in (".config", ".poetry.lock", f".git.{'1' * 32}")]  # of other programs
    for path in kept:
        path.mkdir()
    with temporary_dir(tmp_path, name) as temporary, exclusive(tmp_path / "own-0000000000000000"):
        sweep(tmp_path)
        assert set(tmp_path.iterdir()) == {temporary, tmp_path / ".own-0000000000000000.lock", *kept}
    assert set(tmp_path.iterdir()) == set(kept)


def test_blocks_of_one_folder_are_entered_one_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []

    def enter(i: int) -> int:
        with exclusive(tmp_path / "folder"):
            inside.append(i)
            time.sleep(0.02)
            inside.remove(i)
            return len(inside)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(enter, range(6))) == [0] * 6


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), BlockingIOError()])
def test_a_lock_that_cannot_be_had_is_not_waited_for(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(cache, "LOCK_SECONDS", 0.1)
    with exclusive(tmp_path / "folder"):
        write_dir(tmp_path / "folder", KEY)
    sweep(tmp_path)
    assert lookup(tmp_path / "folder", KEY)


def test_a_missing_home_folder_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(InputError, match="no home folder is known, where a cache could be; name a folder with --cache"):
        cache_folder()
    with pytest.raises(InputError, match="the home folder is not known; set HOME"):
        cache_folder("~/cache")
