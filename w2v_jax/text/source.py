"""Where a text comes from: standard input and pipes are copied, and what is no text is refused by its first bytes."""

import contextlib
import itertools
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..cache import cannot_write, temporary_dir
from ..errors import InputError
from ..files import describe_format, open_input
from ..paths import expand
from .records import check_json, find_fields, read_field
from .shard import PROCESS, TextShard, read_shard

STDIN = "-"
COPY_BYTES = 1 << 20


@contextlib.contextmanager
def rereadable(path: str | os.PathLike[str], folder: Path) -> Iterator[str]:
    """Yield the path of a text that can be read twice: of a copy in `folder`, for standard input (-) and for pipes.

    Raises:
      InputError: the copy cannot be written.
    """
    name = expand(path)
    if name != STDIN and (os.path.isfile(name) or os.path.isdir(name) or not os.path.exists(name)):
        yield name
        return
    if name == STDIN and sys.stdin is None:
        raise InputError("standard input is closed; name a file")
    try:
        with temporary_dir(folder, f"input-{uuid.uuid4().hex[:16]}") as temporary:
            with (
                contextlib.nullcontext(sys.stdin.buffer) if name == STDIN else open(name, "rb") as source,
                open(temporary / "text", "wb") as copy,
            ):
                shutil.copyfileobj(source, copy, COPY_BYTES)
            yield str(temporary / "text")
    except OSError as error:
        raise InputError(f"{name}: cannot be copied: {cannot_write(folder, error)}") from error


def read_text(
    path: str, shard: TextShard | None, *, field: str | None, name: str, most: int = sys.maxsize
) -> Iterator[bytes]:
    """Yield a text in chunks: the whole of a file or a shard of it, or a field of its records.

    Raises:
      InputError: the file is no text, or has fields of which none is named.
    """
    if field is None:
        chunks = read_shard(path, shard, most=most)
        head = next(chunks, b"")
        _check_text(head, name)
        yield from itertools.chain([head], chunks)
    elif shard and PROCESS not in path:
        raise InputError(f"{name}: {shard.count} processes cannot share records with fields; give each a file of its "
                         f"own, with {PROCESS} in its name")  # fmt: skip
    else:
        with open_input(path.replace(PROCESS, str(shard.index)) if shard else path) as file:
            yield from read_field(file, field, name)


def _check_text(head: bytes, name: str) -> None:
    """Refuse what is no text, by its first bytes."""
    kind = describe_format(head)
    if kind == "a Parquet file":
        raise InputError(f"{name}: is {kind}; name the field of its text with --field")
    if kind and kind.endswith("text"):
        has_mark = head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
        code = kind.split()[0].lower() + ("" if has_mark else "be" if head.startswith(b"\0") else "le")
        raise InputError(f"{name}: is {kind}; convert it: iconv -f {code} -t utf-8")
    if kind:
        raise InputError(f"{name}: is {kind}, not a text; give the text that is in it, one sentence a line")
    if fields := find_fields(head, name):
        raise InputError(
            f"{name}: holds records; name the field of its text with --field, of {', '.join(fields)[:200]}"
        )
    check_json(head, name)
