"""Ids, counts and line ends, against a few lines of plain Python."""

import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v_jax.config import TextConfig
from w2v_jax.errors import InputError
from w2v_jax.text import encoding
from w2v_jax.text.encoding import Encoded, encode
from w2v_jax.text.tokens import pieces_of_text
from w2v_jax.text.vocabulary import Vocabulary


def encoded(text: str, config: TextConfig, known: Vocabulary | None = None) -> tuple[Encoded, list[int], list[int]]:
    ids, ends = io.BytesIO(), io.BytesIO()
    pieces = pieces_of_text(io.BytesIO(text.encode()), config, "text")
    result = encode(pieces, config, "text", scratch=io.BytesIO(), ids=ids, ends=ends, known=known)
    return result, np.frombuffer(ids.getvalue(), np.int32).tolist(), np.frombuffer(ends.getvalue(), np.int64).tolist()


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "é", "字"]))),
    min_count=st.integers(1, 3),
    max_vocab=st.none() | st.integers(1, 4),
    slice_tokens=st.integers(1, 5),
    known=st.dictionaries(st.sampled_from(["b", "d", "é", "old", "older", ""]), st.integers(0, 4)),
)
def test_encoding_is_what_a_loop_says(
    lines: list[list[str]], min_count: int, max_vocab: int | None, slice_tokens: int, known: dict[str, int]
) -> None:
    counts = Counter(word for line in lines for word in line)
    before = {word: max(1, count) for word, count in known.items() if word}  # a word known has been seen once
    total = counts + Counter(before)
    in_order = lambda words: sorted(words, key=lambda word: (-total[word], word))
    room = None if max_vocab is None else max(0, max_vocab - len(before))
    new = in_order(word for word in counts if counts[word] >= min_count and word not in before)[:room]
    words = in_order([*before, *new])
    text, config = "\n".join(map(" ".join, lines)), TextConfig(min_count=min_count, max_vocab=max_vocab)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "SLICE", slice_tokens)  # so that lines reach over slices
        old = Vocabulary(tuple(known), np.array(list(known.values()), np.int64))
        if not set(words) & set(counts) or (max_vocab is not None and len(before) > max_vocab):
            with pytest.raises(InputError):
                encoded(text, config, old)
            return
        result, ids, ends = encoded(text, config, old)
    assert result.vocabulary.words == tuple(words)
    assert result.vocabulary.counts.tolist() == [total[word] for word in words]
    kept = [[words.index(word) for word in line if word in words] for line in lines]
    assert ids == [i for line in kept for i in line]
    assert ends == np.cumsum([len(line) for line in kept if line]).tolist()  # a line left empty is none
    assert (result.source_tokens, result.tokens) == (counts.total(), len(ids))


def test_nothing_to_encode() -> None:
    with pytest.raises(InputError, match="^text: holds no words"):
        encoded(" \n\n", TextConfig())
    with pytest.raises(InputError, match=r"^text: none of its 2 words occurs 5 times; .*occurs 3 times"):
        encoded("a a a b", TextConfig())
    known = Vocabulary(("x", "y"), np.array([9, 9]))
    with pytest.raises(InputError, match=r"^text: none of its 2 words is known or occurs 5 times; lower"):
        encoded("a a a b", TextConfig(), known)
    with pytest.raises(InputError, match=r"^max_vocab is 1, but 2 words are known already; give no less$"):
        encoded("a a a b", TextConfig(max_vocab=1), known)
