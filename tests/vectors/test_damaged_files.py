"""Damaged, random and hostile vectors files are read or refused in one line, and any words and bits come back."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from w2v_jax.errors import InputError
from w2v_jax.vectors.formats import load, save
from w2v_jax.vectors.table import Table


def small_files() -> dict[str, bytes]:
    """Return a file of each format, small enough to damage at every byte."""
    rows = np.array([[1, 2], [3, -0.5]], np.float32)
    table = Table(["a", "é"], rows, np.array([3, 1]), {"center": rows + 1, "outside": rows - 1})
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".bin", ".txt", ".safetensors", ".npz"):
            save(f"{folder}/v{ending}", table)
        return {ending: Path(f"{folder}/v{ending}").read_bytes() for ending in (".bin", ".txt", ".safetensors", ".npz")}


SMALL = small_files()


@pytest.mark.parametrize("ending", SMALL)
def test_truncated_file_is_refused(ending: str, tmp_path: Path) -> None:
    path, content = tmp_path / f"v{ending}", SMALL[ending]
    path.write_bytes(content)
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        if content[length:] in (b"\n", b"5\n", b".5\n"):  # text, and the last number may still be one
            assert load(path).words == ["a", "é"]
            continue
        with pytest.raises(InputError, match=f"^[^\n]*v{ending}: [^\n]+$"):
            load(path)


def assert_read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    message = ""
    try:
        table = load(path)
        assert len(table.words) == len(table.vectors) == len(set(table.words))
        assert np.isfinite(table.vectors).all()
    except InputError as error:
        message = str(error)
    assert "\n" not in message


@settings(max_examples=100, deadline=None)
@given(
    ending=st.sampled_from(list(SMALL)),
    flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 2**16),
    extra=st.binary(max_size=9),
)
def test_damaged_bytes_are_read_or_refused(
    ending: str, flips: list[tuple[int, int]], cut: int, extra: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(SMALL[ending])
    for place, value in flips:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged{ending}"
    assert_read_or_refused(path, bytes(content))
    assert_read_or_refused(path, bytes(content[: cut % len(content)]) + extra)


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=60)
    | st.text("0123456789. -eainfx_\r\n\té", max_size=60).map(lambda text: ("2 2\n" + text).encode()),
)
@example(content=b"1 1\na \r1\n")
@example(content=b"a 1 2\n\n")
def test_random_bytes_are_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    for ending in SMALL:
        assert_read_or_refused(tmp_path_factory.getbasetemp() / f"fuzz{ending}", content)


@settings(max_examples=50, deadline=None)
@given(
    words=st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=6, unique=True),
    bits=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=12, max_size=12),
)
@example(words=[""], bits=[0.0] * 12)
@example(words=["1", "2 3"], bits=[1e-45] * 12)
@example(words=["0"], bits=[2.453871011734009] + [0.0] * 11)  # whose first bytes are "9 "
@example(words=["\0" * 10_000], bits=[0.5] * 12)
def test_any_words_and_bits_come_back(
    words: list[str], bits: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    vectors = np.array(bits, np.float32).reshape(6, 2)[: len(words)]
    for ending in SMALL:
        path = tmp_path_factory.getbasetemp() / f"any{ending}"
        path.write_bytes(b"old")
        try:
            save(path, Table(words, vectors))
        except InputError:
            assert ending in (".bin", ".txt")
            assert path.read_bytes() == b"old"
            continue
        loaded = load(path)
        assert loaded.words == words
        assert loaded.vectors.tobytes() == vectors.tobytes()


def test_hostile_header_allocates_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, empty = list[int](), np.empty
    monkeypatch.setattr(np, "empty", lambda size, *rest: sizes.append(int(np.prod(size))) or empty(size, *rest))
    entry = b'{"vectors": {"dtype": "F32", "shape": [1000000000000, 300], "data_offsets": [0, 1200000000000000]}}'
    lies = {
        "v.bin": b"1000000000000 300\na " + bytes(1200),
        "v.txt": b"1000000000000 300\na" + b" 1" * 300,
        "v.safetensors": len(entry).to_bytes(8, "little") + entry + bytes(64),
    }
    for name, content in lies.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: "):
            load(tmp_path / name)
    assert sizes
    assert max(sizes) < 10_000
