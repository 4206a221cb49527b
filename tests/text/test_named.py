"""Named corpora: text8 from a local file server, docstrings from a small module."""

import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from w2v_jax.errors import InputError
from w2v_jax.files import open_input
from w2v_jax.text import named
from w2v_jax.text.named import named_corpus


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server for the files in tmp_path / "served"."""
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def test_text8_is_downloaded_once_and_verified(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "served" / "text8.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("text8", "anarchism originated as a term of abuse")
    monkeypatch.setattr(named, "TEXT8_URL", f"{server}/text8.zip")
    monkeypatch.setattr(named, "TEXT8_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    path = named_corpus("text8", cache=tmp_path / "cache")
    with open_input(path) as file:
        assert file.read().startswith(b"anarchism originated")
    archive.unlink()
    assert named_corpus("text8", cache=tmp_path / "cache") == path  # from the cache


@pytest.mark.parametrize("name", ["text8.zip", "missing.zip"])
def test_wrong_hash_or_missing_download_is_refused(
    name: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "served" / "text8.zip").write_bytes(b"something else")
    monkeypatch.setattr(named, "TEXT8_URL", f"{server}/{name}")
    with pytest.raises(InputError, match="cannot be downloaded[^\n]*$"):
        named_corpus("text8", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/cache: cannot be written: Not a directory$"):
        named_corpus("text8", cache=tmp_path / "file" / "cache")


def test_docstrings_become_unique_lower_case_paragraphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        '"""The Module\'s first paragraph, here.\n\nA second one follows it.\n\n>>> not_this()\n"""\n'
        'def f():\n    """A second one follows it."""\n    x = """no documentation string at all"""\n'
        'class C:\n    def method(self):\n        """Deeply nested but found all the same."""\n'
    )
    (tmp_path / "broken.py").write_text("def f(:")
    monkeypatch.setattr(named, "_source_files", lambda: [source, tmp_path / "broken.py", tmp_path / "missing.py"])
    assert named_corpus("docstrings", cache=tmp_path / "cache").read_text().splitlines() == [
        "the module s first paragraph here",
        "a second one follows it",
        "deeply nested but found all the same",
    ]


def test_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the named ones are docstrings and text8"):
        named_corpus("text9", cache=tmp_path)
