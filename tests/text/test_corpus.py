"""The encoded corpus on disk: reused only when it fits, whole or not there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.cache import META, checksum
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


def count_encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    encode = corpus_module.encode
    monkeypatch.setattr(corpus_module, "encode", lambda *a, **k: calls.append("encoded") or encode(*a, **k))
    return calls


def test_from_file(text: Path, tmp_path: Path) -> None:
    corpus = Corpus.from_file(text, ALL_WORDS, cache=tmp_path / "cache")
    assert corpus.vocabulary.words == ("be", "to", "not", "or")
    assert corpus.ids.tolist() == [1, 0, 3, 2, 1, 0]
    assert corpus.line_ends.tolist() == [3, 6]
    assert isinstance(corpus.ids, np.memmap)
    assert corpus.folder is not None
    assert corpus.folder.parent == tmp_path / "cache"


def test_it_is_encoded_once_and_again_when_text_or_config_change(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_encodings(monkeypatch)
    for _ in range(3):
        Corpus.from_file(text, ALL_WORDS, cache=tmp_path)
    assert len(calls) == 1
    assert len(Corpus.from_file(text, TextConfig(min_count=2), cache=tmp_path).vocabulary) == 2
    assert len(calls) == 2
    stat = text.stat()
    text.write_text("to be or\nnot to do\n")  # of the same length, and, by its times, as old
    os.utime(text, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "do" in Corpus.from_file(text, ALL_WORDS, cache=tmp_path).vocabulary
    assert len(calls) == 3


def test_known_words_stay_and_make_another_encoding(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_encodings(monkeypatch)
    plain = Corpus.from_file(text, ALL_WORDS, cache=tmp_path)
    for counts, expected in (([7, 3], [7, 5, 2, 1, 1]), ([0, 0], [1, 3, 2, 1, 1]), ([7, 3], [7, 5, 2, 1, 1])):
        known = Vocabulary(("whether", "to"), np.array(counts))
        corpus = Corpus.from_file(text, ALL_WORDS, cache=tmp_path, known=known)
        of_word = dict(zip(corpus.vocabulary.words, corpus.vocabulary.counts.tolist(), strict=True))
        assert [of_word[word] for word in ("whether", "to", "be", "not", "or")] == expected
        assert corpus.vocabulary.counts.tolist() == sorted(expected, reverse=True)
        words = [corpus.vocabulary.words[i] for i in corpus.ids]
        assert words == ["to", "be", "or", "not", "to", "be"]
        assert corpus.source_tokens == 6
        assert corpus.occurrences[corpus.vocabulary["whether"]] == 0
        assert corpus.occurrences[corpus.vocabulary["to"]] == 2
    assert len(calls) == 3  # the plain one, and one for each known vocabulary
    np.testing.assert_array_equal(plain.occurrences, plain.vocabulary.counts)


def test_occurrences_are_counted_a_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "COUNTED_AT_ONCE", 4)
    corpus = Corpus.from_sentences([list("abracadabra")], ALL_WORDS)
    np.testing.assert_array_equal(corpus.occurrences, corpus.vocabulary.counts)


@pytest.mark.parametrize("damage", ["ids", "short", "meta", "not json"])
def test_a_damaged_encoding_is_made_again(
    damage: str, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Corpus.from_file(text, ALL_WORDS, cache=tmp_path).folder
    assert folder is not None
    if damage == "ids":
        (folder / IDS).write_bytes(bytes(24))
    elif damage == "short":
        (folder / IDS).write_bytes(b"")
    elif damage == "meta":
        (folder / META).write_text(json.dumps({"key": []}))
    else:
        (folder / META).write_text("{")
    calls = count_encodings(monkeypatch)
    assert Corpus.from_file(text, ALL_WORDS, cache=tmp_path).ids.tolist() == [1, 0, 3, 2, 1, 0]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (IDS, lambda x: x + 4), (IDS, lambda x: x - 1), (IDS, lambda x: x[:-1]), (LINE_ENDS, lambda x: x[:-1]),
        (LINE_ENDS, lambda x: x[::-1]), (META, lambda about: about | {"counts": [1, 1, 1, 0]}),
        (META, lambda about: about | {"words": ["a", "b", "c", 4]}), (META, lambda about: about | {"words": ["a"]}),
        (META, lambda about: about | {"counts": [10**30, 1, 1, 1]}), (META, lambda about: about | {"counts": "many"}),
        (META, lambda about: about | {"source_tokens": None}),
    ],
)  # fmt: skip
def test_an_encoding_that_somebody_made_up_is_refused(
    name: str, change: Callable[[Any], Any], text: Path, tmp_path: Path
) -> None:
    """Its checksums lie beside it, and prove nothing of who wrote it."""
    folder = Corpus.from_file(text, ALL_WORDS, cache=tmp_path).folder
    assert folder is not None
    about = json.loads((folder / META).read_text())
    if name == META:
        about = change(about)
    else:
        (folder / name).write_bytes(change(np.fromfile(folder / name, np.int32 if name == IDS else np.int64)).tobytes())
        about["checksums"][name] = checksum(folder / name)
    (folder / META).write_text(json.dumps(about))
    with pytest.raises(InputError, match="does not hold what was written there; delete it and try again$"):
        Corpus.from_file(text, ALL_WORDS, cache=tmp_path)


def test_a_failure_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"to be \xff")
    with pytest.raises(InputError, match="is not UTF-8"):
        Corpus.from_file(tmp_path / "bad.txt", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written(text: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written: Not a directory"):
        Corpus.from_file(text, cache=text / "inside a file")


def test_the_vocabulary_does_not_depend_on_the_hash_seed(text: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from w2v_jax.text.corpus import Corpus; from w2v_jax.config import TextConfig;"
        "c = Corpus.from_file(sys.argv[1], TextConfig(min_count=1), cache=sys.argv[2]);"
        "print(c.vocabulary.words, c.ids.tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, str(text), str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


def test_enwiki_has_the_tokens_that_its_readme_states(data: Path, tmp_path: Path) -> None:
    corpus = Corpus.from_file(data / "corpora/text8_prefix_12549840.txt.xz", cache=tmp_path)
    assert corpus.source_tokens == 2_139_749
    assert corpus.line_ends.tolist() == [len(corpus.ids)]
    assert corpus.vocabulary.counts.sum() == len(corpus.ids)
    np.testing.assert_array_equal(np.bincount(corpus.ids), corpus.vocabulary.counts)


def test_many_at_once_encode_the_same_text(text: Path, tmp_path: Path) -> None:
    text.write_text("to be or not to be\n" * 5_000)
    with ThreadPoolExecutor(4) as pool:
        for round_ in range(5):
            cache = tmp_path / f"cache{round_}"
            jobs = [pool.submit(Corpus.from_file, text, ALL_WORDS, cache=cache) for _ in range(4)]
            assert {len(job.result().ids) for job in jobs} == {30_000}
            assert len(list(cache.iterdir())) == 1
