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


def encoded(text: str, config: TextConfig) -> tuple[Encoded, list[int], list[int]]:
    ids, ends = io.BytesIO(), io.BytesIO()
    pieces = pieces_of_text(io.BytesIO(text.encode()), config, "text")
    result = encode(pieces, config, "text", scratch=io.BytesIO(), ids=ids, ends=ends)
    return result, np.frombuffer(ids.getvalue(), np.int32).tolist(), np.frombuffer(ends.getvalue(), np.int64).tolist()


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "é", "字"]))),
    min_count=st.integers(1, 3),
    max_vocab=st.none() | st.integers(1, 4),
    slice_tokens=st.integers(1, 5),
)
def test_encoding_is_what_a_loop_says(
    lines: list[list[str]], min_count: int, max_vocab: int | None, slice_tokens: int
) -> None:
    counts = Counter(word for line in lines for word in line)
    words = sorted((w for w in counts if counts[w] >= min_count), key=lambda w: (-counts[w], w))[:max_vocab]
    text, config = "\n".join(map(" ".join, lines)), TextConfig(min_count=min_count, max_vocab=max_vocab)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "SLICE", slice_tokens)  # so that lines reach over slices
        if not words:
            with pytest.raises(InputError):
                encoded(text, config)
            return
        result, ids, ends = encoded(text, config)
    assert result.vocabulary.words == tuple(words)
    assert result.vocabulary.counts.tolist() == [counts[word] for word in words]
    kept = [[words.index(word) for word in line if word in words] for line in lines]
    assert ids == [i for line in kept for i in line]
    assert ends == np.cumsum([len(line) for line in kept if line]).tolist()  # a line left empty is none
    assert (result.source_tokens, result.tokens) == (counts.total(), len(ids))


def test_nothing_to_encode() -> None:
    with pytest.raises(InputError, match="^text: holds no words"):
        encoded(" \n\n", TextConfig())
    with pytest.raises(InputError, match=r"^text: none of its 2 words occurs 5 times; .*occurs 3 times"):
        encoded("a a a b", TextConfig())
