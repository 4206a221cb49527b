"""The encoded corpus on disk: reused only when it matches, complete or absent."""

import gzip
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.cache import MANIFEST, checksum
from w2v_jax.config import TextConfig
from w2v_jax.errors import InputError
from w2v_jax.text import corpus as corpus_module
from w2v_jax.text.corpus import IDS, LINE_ENDS, Corpus
from w2v_jax.text.vocabulary import Vocabulary

ALL_WORDS = TextConfig(min_count=1)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("to be or\nnot to be\n")
    return path


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the names of the texts that are encoded."""
    calls: list[str] = []
    encode = corpus_module.encode
    monkeypatch.setattr(corpus_module, "encode", lambda *a, **k: calls.append(a[2]) or encode(*a, **k))
    return calls


def encoded_folder(text: Path, cache: Path) -> Path:
    folder = Corpus.from_file(text, ALL_WORDS, cache=cache).folder
    assert folder is not None
    return folder


def test_encoding_is_reused_until_text_or_config_change(text: Path, tmp_path: Path, encodings: list[str]) -> None:
    for _ in range(3):
        corpus = Corpus.from_file(text, ALL_WORDS, cache=tmp_path)
        assert corpus.vocabulary.words == ("be", "to", "not", "or")
        assert corpus.ids.tolist() == [1, 0, 3, 2, 1, 0]
        assert corpus.line_ends.tolist() == [3, 6]
        assert isinstance(corpus.ids, np.memmap)
        assert set(tmp_path.iterdir()) == {text, corpus.folder}
    assert len(encodings) == 1
    assert len(Corpus.from_file(text, TextConfig(min_count=2), cache=tmp_path).vocabulary) == 2
    assert len(encodings) == 2
    stat = text.stat()
    text.write_text("to be or\nnot to do\n")  # same length and time stamps
    os.utime(text, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "do" in Corpus.from_file(text, ALL_WORDS, cache=tmp_path).vocabulary
    assert len(encodings) == 3


def test_known_vocabulary_is_extended_and_cached_apart(text: Path, tmp_path: Path, encodings: list[str]) -> None:
    plain = Corpus.from_file(text, ALL_WORDS, cache=tmp_path)
    np.testing.assert_array_equal(plain.occurrences, plain.vocabulary.counts)
    for counts, expected in (([7, 3], [7, 5, 2, 1, 1]), ([0, 0], [1, 3, 2, 1, 1]), ([7, 3], [7, 5, 2, 1, 1])):
        known = Vocabulary(("whether", "to"), np.array(counts))
        corpus = Corpus.from_file(text, ALL_WORDS, cache=tmp_path, known=known)
        vocabulary = corpus.vocabulary
        assert [vocabulary.counts[vocabulary[word]] for word in ("whether", "to", "be", "not", "or")] == expected
        assert vocabulary.counts.tolist() == sorted(expected, reverse=True)
        assert [vocabulary.words[i] for i in corpus.ids] == ["to", "be", "or", "not", "to", "be"]
        assert corpus.source_tokens == 6
        assert corpus.occurrences[[vocabulary["whether"], vocabulary["to"]]].tolist() == [0, 2]
    assert len(encodings) == 3  # the plain one, and one for each known vocabulary


def test_occurrences_are_summed_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "BLOCK_TOKENS", 4)
    corpus = Corpus.from_sentences([list("abracadabra")], ALL_WORDS)
    np.testing.assert_array_equal(corpus.occurrences, corpus.vocabulary.counts)


@pytest.mark.parametrize(("name", "raw"), [(IDS, bytes(24)), (IDS, b""), (MANIFEST, b'{"key": []}'), (MANIFEST, b"{")])
def test_damaged_encoding_is_replaced(name: str, raw: bytes, text: Path, tmp_path: Path, encodings: list[str]) -> None:
    (encoded_folder(text, tmp_path) / name).write_bytes(raw)
    assert Corpus.from_file(text, ALL_WORDS, cache=tmp_path).ids.tolist() == [1, 0, 3, 2, 1, 0]
    assert len(encodings) == 2


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((IDS, change) for change in (lambda x: x + 4, lambda x: x - 1, lambda x: x[:-1])),
        *((LINE_ENDS, change) for change in (lambda x: x[:-1], lambda x: x[::-1])),
        *((MANIFEST, lambda _, fields=fields: fields) for fields in (
            {"counts": [1, 1, 1, 0]}, {"counts": [10**30, 1, 1, 1]}, {"counts": "many"},
            {"words": ["a", "b", "c", 4]}, {"words": ["a"]}, {"source_tokens": None},
        )),
    ],
)  # fmt: skip
def test_inconsistent_encoding_is_refused(name: str, change: Callable[[Any], Any], text: Path, tmp_path: Path) -> None:
    folder = encoded_folder(text, tmp_path)
    manifest = json.loads((folder / MANIFEST).read_text())
    if name == MANIFEST:
        manifest |= change(manifest)
    else:
        (folder / name).write_bytes(change(np.fromfile(folder / name, np.int32 if name == IDS else np.int64)).tobytes())
        manifest["checksums"][name] = checksum(folder / name)  # right, and proves nothing
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="is damaged; delete it and try again$"):
        Corpus.from_file(text, ALL_WORDS, cache=tmp_path)


def test_failure_leaves_an_empty_cache(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"to be \xff")
    with pytest.raises(InputError, match="bad.txt: byte 6 is not UTF-8"):
        Corpus.from_file(tmp_path / "bad.txt", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_enwiki_has_the_token_count_of_its_readme(data: Path, tmp_path: Path) -> None:
    corpus = Corpus.from_file(data / "corpora/text8_prefix_12549840.txt.xz", cache=tmp_path)
    assert corpus.source_tokens == 2_139_749
    assert corpus.line_ends.tolist() == [len(corpus.ids)]
    assert corpus.vocabulary.counts.sum() == len(corpus.ids)
    np.testing.assert_array_equal(np.bincount(corpus.ids), corpus.vocabulary.counts)


def test_concurrent_processes_encode_a_text_once(text: Path, tmp_path: Path, encodings: list[str]) -> None:
    text.write_text("to be or not to be\n" * 5_000)
    with ThreadPoolExecutor(4) as pool:
        for i in range(5):
            cache = tmp_path / f"cache{i}"
            jobs = [pool.submit(Corpus.from_file, text, ALL_WORDS, cache=cache) for _ in range(4)]
            assert {len(job.result().ids) for job in jobs} == {30_000}
            assert len(list(cache.iterdir())) == 1
            assert len(encodings) == i + 1


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("changes", [1, 9])
def test_text_that_changes_is_kept_under_its_own_checksum_or_refused(
    changes: int, compress: Callable[[bytes], bytes], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, encode = text.read_bytes(), corpus_module.encode
    versions = [b"new words" + b" again" * i for i in range(changes)]

    def change_and_encode(*args: Any, **named: Any) -> Any:
        if versions:
            text.write_bytes(compress(versions.pop()))
        return encode(*args, **named)

    text.write_bytes(compress(old))
    monkeypatch.setattr(corpus_module, "encode", change_and_encode)
    if changes == 1:
        assert Corpus.from_file(text, ALL_WORDS, cache=tmp_path / "cache").vocabulary.words == ("new", "words")
    else:
        with pytest.raises(InputError, match="text.txt: changes while it is read; train on a copy of it$"):
            Corpus.from_file(text, ALL_WORDS, cache=tmp_path / "cache")
    monkeypatch.undo()
    text.write_bytes(compress(old))
    assert Corpus.from_file(text, ALL_WORDS, cache=tmp_path / "cache").source_tokens == 6


def test_text_that_grows_is_read_to_its_first_size(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encodings: list[str]
) -> None:
    encode, old = corpus_module.encode, text.read_bytes()
    grow = lambda *a, **k: (text.write_bytes(old + b"and more\n"), encode(*a, **k))[1]
    monkeypatch.setattr(corpus_module, "encode", grow)
    grown = Corpus.from_file(text, ALL_WORDS, cache=tmp_path)
    text.write_bytes(old)
    assert grown.source_tokens == Corpus.from_file(text, ALL_WORDS, cache=tmp_path).source_tokens == 6
    assert len(encodings) == 1


def test_unwritable_cache_and_no_temporary_folder_are_reported(
    text: Path, monkeypatch: pytest.MonkeyPatch, room_for: Any
) -> None:
    def fail(number: int, message: str) -> None:
        raise OSError(number, message)

    monkeypatch.setenv("XDG_CACHE_HOME", str(text))
    with pytest.raises(InputError, match="cannot be written: Not a directory; name another folder with --cache$"):
        Corpus.from_file(text, ALL_WORDS)
    with (
        pytest.raises(InputError, match="no temporary folder can be written: File too large; name one in TMPDIR"),
        room_for(0),
    ):
        Corpus.from_sentences([["to"]], ALL_WORDS)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", lambda: fail(2, "No usable temporary directory found"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(
        InputError, match="no temporary folder can be written: No usable temporary directory found; name"
    ):
        Corpus.from_sentences([["to"]], ALL_WORDS)
