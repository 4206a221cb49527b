"""Folders appear whole or not at all, are known by their key, and nobody else's is taken away."""

import os
from pathlib import Path

import pytest

from w2v_jax.cache import made, making, whole
from w2v_jax.errors import InputError

KEY = {"of": 1}


def make(folder: Path, key: dict[str, int], text: str = "old") -> None:
    with making(folder, key) as (temporary, about):
        (temporary / "file").write_text(text)
        about["said"] = text


def test_what_was_made_is_there_by_its_key_alone(tmp_path: Path) -> None:
    make(tmp_path / "room" / "folder", KEY)
    about = made(tmp_path / "room" / "folder", KEY)
    assert about is not None
    assert about["said"] == "old"
    assert made(tmp_path / "room" / "folder", {"of": 2}) is None
    assert [path.name for path in (tmp_path / "room").iterdir()] == ["folder"]
    (tmp_path / "plain").mkdir()
    modes = [path.stat().st_mode for path in (tmp_path / "room" / "folder", tmp_path / "plain")]
    assert modes[0] == modes[1]  # what the umask lets others read, they can


@pytest.mark.parametrize("damage", ["cut", "gone", "no description", "a description of nothing"])
def test_what_is_not_whole_is_made_again(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    make(folder, KEY)
    if damage == "cut":
        (folder / "file").write_text("ol")
    elif damage == "gone":
        (folder / "file").unlink()
    elif damage == "no description":
        (folder / "about.json").unlink()
    else:
        (folder / "about.json").write_text("[]")
    assert whole(folder) is None
    make(folder, KEY, "new")
    assert made(folder, KEY) is not None
    assert (folder / "file").read_text() == "new"


def test_of_two_that_make_one_folder_the_first_stays(tmp_path: Path) -> None:
    with making(tmp_path / "folder", KEY) as (temporary, _):
        (temporary / "file").write_text("second")
        make(tmp_path / "folder", KEY, "first")
    assert (tmp_path / "folder" / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("first", ["of another key", "no folder of ours"])
def test_what_somebody_else_made_is_left_alone(first: str, tmp_path: Path) -> None:
    def race() -> None:
        with making(tmp_path / "folder", KEY) as (temporary, _):
            (temporary / "file").write_text("second")
            make(tmp_path / "folder", {"of": 2}, "first")
            if first == "no folder of ours":
                (tmp_path / "folder" / "about.json").rename(tmp_path / "folder" / "thesis.txt")

    with pytest.raises(InputError, match="holds something else; name another folder"):
        race()
    assert (tmp_path / "folder" / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_leaves_nothing_and_says_what_it_was(tmp_path: Path) -> None:
    def fail(error: Exception) -> None:
        with making(tmp_path / "folder", KEY) as (temporary, _):
            (temporary / "file").write_text("half")
            raise error

    for error, said in (
        (OSError(28, os.strerror(28)), "No space left on device"),
        (OSError("12 requested and 3 written"), "12 requested and 3 written"),  # numpy's, of a full disk
    ):
        with pytest.raises(InputError, match=f"folder: cannot be written: {said}"):
            fail(error)
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
