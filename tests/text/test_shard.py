"""Shards of a text: together they are the whole text, and they share one vocabulary."""

import functools
import gzip
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from w2v_jax.config import TextConfig
from w2v_jax.errors import InputError
from w2v_jax.text.corpus import Corpus
from w2v_jax.text.shard import TextShard, read_shard


def encode_shards(texts: list[str], config: TextConfig, folder: Path) -> list[Corpus]:
    """Encode each text as a shard of one corpus, in threads that exchange messages as processes do."""
    barrier, messages = threading.Barrier(len(texts), timeout=20), [b""] * len(texts)

    def allgather(index: int, message: bytes) -> list[bytes]:
        messages[index] = message
        barrier.wait()
        gathered = list(messages)
        barrier.wait()
        return gathered

    def encode(index: int) -> Corpus:
        (folder / f"text-{index}").write_text(texts[index])
        shard = TextShard(index, len(texts), functools.partial(allgather, index))
        return Corpus.from_file(folder / "text-{process}", config, cache=folder / "cache", shard=shard)

    with ThreadPoolExecutor(len(texts)) as pool:
        return list(pool.map(encode, range(len(texts))))


def test_shards_share_a_vocabulary_and_are_encoded_together(tmp_path: Path) -> None:
    config = TextConfig(min_count=2)
    a, b = encode_shards(["to be or", "not to be"], config, tmp_path)
    assert a.vocabulary.words == b.vocabulary.words == ("be", "to")
    assert a.vocabulary.counts.tolist() == b.vocabulary.counts.tolist() == [2, 2]
    assert (a.ids.tolist(), b.ids.tolist()) == ([1, 0], [1, 0])
    again = encode_shards(["to be or", "not to be"], config, tmp_path)
    assert [shard.folder for shard in again] == [a.folder, b.folder]
    changed = encode_shards(["to be or", "not or be"], config, tmp_path)  # a changed shard changes the key of all
    assert changed[0].folder != a.folder
    assert changed[0].vocabulary.words == ("be", "or")
    assert b.folder is not None
    shutil.rmtree(b.folder)  # if one shard's encoding is lost, all are encoded again
    assert encode_shards(["to be or", "not to be"], config, tmp_path)[1].ids.tolist() == [1, 0]


def test_shard_may_have_no_word_of_the_vocabulary(tmp_path: Path) -> None:
    full, rare, blank = encode_shards(["to be to be", "rare words", " "], TextConfig(min_count=2), tmp_path)
    assert full.vocabulary.words == rare.vocabulary.words == blank.vocabulary.words == ("be", "to")
    assert [len(shard.ids) for shard in (full, rare, blank)] == [4, 0, 0]
    assert [shard.source_tokens for shard in (full, rare, blank)] == [4, 2, 0]
    assert rare.occurrences.tolist() == [0, 0]


def read(path: Path, index: int, count: int) -> bytes:
    return b"".join(read_shard(path, TextShard(index, count, lambda message: [message])))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("text", ["to be or not\nto be\n" * 3, "onelongword" * 9, "ends in a word", " \n ", "é ü\n"])
def test_byte_ranges_make_the_text_and_cut_no_word(text: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text)
    shards = [read(path, index, count) for index in range(count)]
    assert b"".join(shards) == text.encode()
    assert [word for shard in shards for word in shard.split()] == text.encode().split()


def test_compressed_text_is_not_divided(tmp_path: Path) -> None:
    message = r"2 processes cannot share a compressed text; decompress it, or .*\{process\}"
    with pytest.raises(InputError, match=message):
        read(tmp_path / "text.gz", 0, 2)
    (tmp_path / "text").write_bytes(gzip.compress(b"to be"))
    with pytest.raises(InputError, match=message):
        read(tmp_path / "text", 0, 2)
