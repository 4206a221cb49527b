"""Ids, counts and line ends equal those of a loop in plain Python."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.config import TextConfig
from w2v_jax.errors import InputError
from w2v_jax.text import encoding
from w2v_jax.text.encoding import IDS, LINE_ENDS, encode
from w2v_jax.text.tokens import tokenize
from w2v_jax.text.vocabulary import Vocabulary


def encode_text(text: str, config: TextConfig, known: Vocabulary) -> tuple[Vocabulary, int, list[int], list[int]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = encode(tokenize([text.encode()], config, "text"), config, "text", folder, known=known)
        return *result, np.fromfile(folder / IDS, np.int32).tolist(), np.fromfile(folder / LINE_ENDS, np.int64).tolist()


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "é", "字"]))),
    min_count=st.integers(1, 3),
    max_vocab=st.none() | st.integers(1, 4),
    block_tokens=st.integers(1, 5),
    known=st.dictionaries(st.sampled_from(["b", "d", "é", "old", "older", ""]), st.integers(0, 4)),
)
def test_encoding_equals_a_python_loop(
    lines: list[list[str]], min_count: int, max_vocab: int | None, block_tokens: int, known: dict[str, int]
) -> None:
    counts = Counter(word for line in lines for word in line)
    prior = {word: max(1, count) for word, count in known.items() if word}  # a known word counts at least once
    total = counts + Counter(prior)
    in_order = lambda words: sorted(words, key=lambda word: (-total[word], word))
    room = None if max_vocab is None else max(0, max_vocab - len(prior))
    new = in_order(word for word in counts if counts[word] >= min_count and word not in prior)[:room]
    words = in_order([*prior, *new])
    text, config = "\n".join(map(" ".join, lines)), TextConfig(min_count=min_count, max_vocab=max_vocab)
    known_vocabulary = Vocabulary(tuple(known), np.array(list(known.values()), np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "BLOCK_TOKENS", block_tokens)  # so that blocks cut lines
        if not set(words) & set(counts) or (max_vocab is not None and len(prior) > max_vocab):
            with pytest.raises(InputError):
                encode_text(text, config, known_vocabulary)
            return
        vocabulary, source_tokens, ids, ends = encode_text(text, config, known_vocabulary)
    assert vocabulary.words == tuple(words)
    assert vocabulary.counts.tolist() == [total[word] for word in words]
    kept = [[words.index(word) for word in line if word in words] for line in lines]
    assert ids == [i for line in kept for i in line]
    assert ends == np.cumsum([len(line) for line in kept if line]).tolist()  # without empty lines
    assert source_tokens == counts.total()


@pytest.mark.parametrize(
    ("text", "max_vocab", "known", "message"),
    [
        (" \n\n", None, (), "text: holds no words"),
        ("a a a b", None, (), r"text: none of its 2 words occurs 5 times; .*occurs 3 times"),
        ("a a a b", None, ("x", "y"), r"text: none of its 2 words is known or occurs 5 times; lower"),
        ("a a a b", 1, ("x", "y"), "max_vocab is 1, but 2 words are known; raise it to that or more$"),
    ],
)
def test_empty_vocabulary_is_refused(text: str, max_vocab: int | None, known: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        encode_text(text, TextConfig(max_vocab=max_vocab), Vocabulary(known, np.full(len(known), 9)))
