"""A field of JSON lines, CSV and Parquet is read as text, in bounded memory."""

import bz2
import csv
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2v_jax.errors import InputError
from w2v_jax.files import open_input
from w2v_jax.text import records
from w2v_jax.text.records import read_field

ROWS = [{"id": i, "text": f'to, "be"\nor né {i}', "tags": ["a", "b c", None], "none": None} for i in range(40)]
ROWS[3]["text"] = None
LINES = [line for row in ROWS if row["text"] for line in str(row["text"]).split("\n")]


def write_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode("utf-8-sig")


def write_parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "JSON lines": lambda rows: "\n".join(map(json.dumps, rows)).encode("utf-8-sig"),
    "CSV": write_csv,
    "CSV with semicolons": lambda rows: write_csv(rows, ";"),
    "TSV": lambda rows: write_csv(rows, "\t"),
    "Parquet": write_parquet,
}


def read(content: bytes, field: str, folder: Path) -> list[str]:
    (folder / "data").write_bytes(content)
    with open_input(folder / "data") as file:
        return b"".join(read_field(file, field, "data")).decode().split("\n")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_field_is_read_as_lines(
    form: str, compress: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 1 << 10)  # blocks end within records
    monkeypatch.setattr(records, "BATCH_ROWS", 7)
    content = compress(FORMATS[form](ROWS))
    assert read(content, "text", tmp_path) == [*LINES, ""]
    if form in ("JSON lines", "Parquet"):
        assert read(content, "tags", tmp_path) == ["a b c"] * 40 + [""]
        with pytest.raises(InputError, match="data: its field id holds .*, not text; name another field"):
            read(content, "id", tmp_path)
    with pytest.raises(InputError, match="data: has no field body; its fields are id, text, tags, none$"):
        read(content, "body", tmp_path)


def test_a_long_first_record_and_odd_line_ends_are_read(tmp_path: Path) -> None:
    texts = ["to be " * 500_000, "or\u2028not\x85to"]
    content = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\r\n" for text in texts).encode()
    assert read(content, "text", tmp_path) == [*texts, ""]
    assert read(content[content.index(b"\n") + 1 :], "text", tmp_path) == [texts[1], ""]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b'{"text": "to"}\n{"text": 5}\n', "changed from string to number$"), (b'{"text": "to"}\nbe\n', "Invalid value"),
     (b"id,text\n1,to\n1,to,be\n", "Expected 2 columns, got 3"), (b"id,text\n1,\xe9\n", "invalid UTF8"),
     (write_parquet(ROWS)[:-9], "[Pp]arquet")],
)  # fmt: skip
def test_damaged_records_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^data: the text of text cannot be read: [^\n]*{reason}"):
        read(content, "text", tmp_path)
    with pytest.raises(InputError, match="is JSON; give one object a line"):
        read(b"[\n" + content, "text", tmp_path) if content.startswith(b"{") else read(b'[{"', "text", tmp_path)


@pytest.mark.parametrize("form", ["JSON lines", "CSV", "Parquet"])
def test_memory_does_not_grow_with_the_file(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLOCK_BYTES", "HEAD_BYTES"):
        monkeypatch.setattr(records, name, 1 << 16)
    monkeypatch.setattr(records, "BATCH_ROWS", 1 << 9)
    (tmp_path / "data").write_bytes(FORMATS[form]([{"id": str(i), "text": f"word{i} " * 40} for i in range(60_000)]))
    tracemalloc.start()
    base = pa.total_allocated_bytes()
    with open_input(tmp_path / "data") as file:
        peak = max(pa.total_allocated_bytes() - base for _ in read_field(file, "text", "data"))
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + traced < 8 << 20
