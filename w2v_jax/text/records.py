"""Records with fields: JSON lines, CSV and Parquet, whose text is one field."""

import csv
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from ..errors import InputError
from ..files import describe_format

BLOCK_BYTES = 1 << 24  # of records that are parsed together
BATCH_ROWS = 1 << 12
HEAD_BYTES = 1 << 22
HEAD_LINES = 50  # that tell a table from a text with commas


def find_fields(head: bytes, name: str) -> list[str]:
    """Return the names of the fields of JSON lines or CSV, by the first bytes and the file's name; none for a text."""
    records = _json_records(head)
    if records:
        return list(dict.fromkeys(key for record in records for key in record))
    rows = _rows(head)
    header = rows[0] if rows else []
    is_named = re.search(r"\.(csv|tsv)(\.\w+)?$", name, re.IGNORECASE)
    is_table = len(rows) > 4 and {len(row) for row in rows[:-1]} == {len(header)} and _delimiter(head) in ",;"
    is_table = is_table and len(set(header)) == len(header) and all(re.fullmatch(r"[^\W\d]\w*", key) for key in header)
    return header if len(header) > 1 and (is_named or is_table) else []


def check_json(head: bytes, name: str) -> None:
    """Refuse JSON that is not one object a line."""
    if re.match(rb"(\xef\xbb\xbf)?\s*(\[\s*)?\{\s*\"", head):
        raise InputError(f"{name}: is JSON; give one object a line, e.g. jq -c '.[]', and name the field of its text "
                         "(--field)")  # fmt: skip


def read_field(file: BinaryIO, field: str, name: str) -> Iterator[bytes]:
    """Yield the text of a field as lines, from a file of JSON lines, CSV or Parquet.

    Raises:
      InputError: the file has no such field, or the field holds no text.
    """
    try:
        with io.BufferedReader(cast(io.RawIOBase, file), HEAD_BYTES) as stream:
            head = stream.peek()
            if describe_format(head) == "a Parquet file":
                yield from map(_lines, _parquet_columns(stream, field, name))
            elif records := _json_records(head):
                _check_field(field, list(dict.fromkeys(key for record in records for key in record)), name)
                values = [record[field] for record in records if record.get(field) is not None]
                yield from map(_lines, _json_columns(stream, field, values[0] if values else "", name))
            else:
                check_json(head, name)
                _check_field(field, next(iter(_rows(head)), []), name)
                parse = pa.csv.ParseOptions(delimiter=_delimiter(head), newlines_in_values=True)
                convert = pa.csv.ConvertOptions(include_columns=[field], column_types={field: pa.string()})
                read = pa.csv.ReadOptions(block_size=BLOCK_BYTES)
                for batch in pa.csv.open_csv(stream, read, parse, convert):
                    yield _lines(batch.column(0))
    except pa.ArrowException as error:
        reason = re.sub(r" in row \d+$", "", str(error).splitlines()[0][:200])
        raise InputError(f"{name}: the text of {field} cannot be read: {reason}") from error


def _parquet_columns(stream: BinaryIO, field: str, name: str) -> Iterator[Any]:
    with tempfile.TemporaryFile() as copy:
        if not stream.seekable():
            shutil.copyfileobj(stream, copy)
        file = pa.parquet.ParquetFile(stream if stream.seekable() else copy, buffer_size=HEAD_BYTES)
        schema = file.schema_arrow
        _check_field(field, schema.names, name)
        kind = schema.field(field).type
        item = kind.value_type if hasattr(kind, "value_type") else kind  # of a list or a dictionary
        if not (pa.types.is_string(item) or pa.types.is_large_string(item) or item == pa.string_view()):
            raise _no_text(field, str(kind), name)
        for batch in file.iter_batches(BATCH_ROWS, columns=[field]):
            yield batch.column(0)


def _json_columns(stream: BinaryIO, field: str, example: Any, name: str) -> Iterator[Any]:
    if not isinstance(example, str | list):
        raise _no_text(field, f"values such as {json.dumps(example)[:40]}", name)
    kind = pa.string() if isinstance(example, str) else pa.list_(pa.string())
    parse = pa.json.ParseOptions(pa.schema([(field, kind)]), unexpected_field_behavior="ignore")
    while block := stream.read(BLOCK_BYTES) + stream.readline(BLOCK_BYTES):
        if block.strip():
            read = pa.json.ReadOptions(block_size=len(block) + 1)
            yield pa.json.read_json(pa.BufferReader(block), read, parse).column(field)


def _json_records(head: bytes) -> list[dict[str, Any]]:
    """Return the objects of the first bytes of JSON lines, [] for another file."""
    records: list[dict[str, Any]] = []
    for line in _head_lines(head):
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
    return records


def _head_lines(head: bytes) -> list[str]:
    """Return the first lines that are not blank, without one that the end of the head cuts."""
    lines = head[:HEAD_BYTES].split(b"\n", HEAD_LINES)
    if len(lines) > 1 and (len(lines) > HEAD_LINES or len(head) >= HEAD_BYTES):
        lines.pop()
    return [line.decode("utf-8-sig", "replace") for line in lines if line.strip()]


def _rows(head: bytes) -> list[list[str]]:
    """Return the first rows of CSV; of other text, whatever commas make of it."""
    try:
        return list(csv.reader(_head_lines(head), delimiter=_delimiter(head)))
    except csv.Error:  # a line too long for a table's
        return []


def _delimiter(head: bytes) -> str:
    lines = _head_lines(head)
    return max(",\t;|", key=lines[0].count) if lines else ","


def _lines(column: Any) -> bytes:
    """Return the text of a column, a record or more a line; a list of words is one line."""
    values = (value for value in column.to_pylist() if value)
    return "".join(
        f"{value if isinstance(value, str) else ' '.join(filter(None, value))}\n" for value in values
    ).encode()


def _check_field(field: str, fields: list[str], name: str) -> None:
    if field not in fields:
        raise InputError(f"{name}: has no field {field}; its fields are {', '.join(fields)[:200]}")


def _no_text(field: str, kind: str, name: str) -> InputError:
    return InputError(f"{name}: its field {field} holds {kind}, not text; name another field")
