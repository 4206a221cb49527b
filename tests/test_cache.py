"""Cache directories are complete or absent, found by key, and never replace other files."""

import os
from pathlib import Path

import pytest

from w2v_jax.cache import atomic_dir, lookup, read_manifest
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
