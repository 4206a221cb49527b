"""Texts from pipes, and what is no text."""

import gzip
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from w2v_jax.config import TextConfig
from w2v_jax.errors import InputError
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.shard import TextShard

TEXT = b"to be or\nnot to be\n"
JSON = b'{"id": 1, "text": "to be"}\n'


@pytest.mark.parametrize("content", [TEXT, gzip.compress(TEXT, mtime=0)])
@pytest.mark.parametrize("source", ["-", "pipe", "fd"])
def test_pipes_are_copied_and_the_copy_is_removed(
    source: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    reader, writer = os.pipe()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "cache" / f".input-{'0' * 16}.{'1' * 32}").mkdir(parents=True)  # left by a killed process
    path = {"-": "-", "pipe": str(tmp_path / "pipe"), "fd": f"/dev/fd/{reader}"}[source]
    write = lambda: (tmp_path / "pipe").write_bytes(content) if source == "pipe" else os.write(writer, content)
    thread = threading.Thread(target=lambda: (write(), os.close(writer)))
    thread.start()
    corpus = Corpus.from_file(path, TextConfig(min_count=1), cache=tmp_path / "cache")
    thread.join()
    os.close(reader)
    assert corpus.source_tokens == 6
    assert list((tmp_path / "cache").iterdir()) == [corpus.folder]
    assert source != "-" or str(corpus.folder and corpus.folder.name).startswith("stdin-")


def test_closed_and_shared_pipes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT)))
    with pytest.raises(InputError, match="-: 2 processes cannot share a pipe; name a file"):
        Corpus.from_file("-", cache=tmp_path, shard=TextShard(0, 2, lambda message: [message]))
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed; name a file"):
        Corpus.from_file("-", cache=tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("a.txt", b"%PDF-1.4", "is a PDF file, not a text"), ("a.parquet", b"PAR1", "is a Parquet file; .*--field"),
     ("a.gz", gzip.compress(b"x" * 257 + b"ustar", mtime=0), "is a tar archive, not a text"),
     ("a.txt", "to be".encode("utf-16"), "is UTF-16 text; convert it: iconv -f utf-16 -t utf-8"),
     ("a.txt", "to be".encode("utf-16-be"), "iconv -f utf-16be -t"),
     ("a", "to be".encode("utf-32-le"), "-f utf-32le -t"),
     ("a.txt", JSON * 9, "holds records; name the field of its text with --field, of id, text$"),
     ("a.csv", b"id,text\n1,to be\n", "with --field, of id, text$"),
     ("a.tsv", b"id\ttext\n", "with --field, of id, text$"),
     ("a.txt", b"id;text\n" + b"1;to be\n" * 9, "with --field, of id, text$"),
     ("a.json", b'[\n{"text": "to be"}]', "is JSON; give one object a line, e.g. jq -c")],
    ids=lambda part: str(part)[:20],
)  # fmt: skip
def test_what_is_no_text_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: [^\n]*{message}"):
        Corpus.from_file(tmp_path / name, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "text", [b"to be, or\nnot to be, that\n" * 9, b"to\tbe\nor\tnot\n" * 9, b'"' + b"to " * 99_999]
)
def test_text_with_commas_or_tabs_is_a_text(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(text)
    assert Corpus.from_file(tmp_path / "text.txt", cache=tmp_path / "cache").source_tokens == len(text.split())
