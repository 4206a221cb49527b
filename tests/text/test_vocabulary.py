"""Lookup and fingerprint of a vocabulary."""

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.text.vocabulary import Vocabulary


def test_fingerprint_depends_on_words_and_counts() -> None:
    first, same, other = [Vocabulary(("a", "b"), np.array(counts)) for counts in ([2, 1], [2, 1], [3, 1])]
    assert first.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize(
    ("word", "message"), [("bankin", "; did you mean banking"), ("paris", "; did you mean Paris"), ("qqqq", "$")]
)
def test_unknown_word_raises_and_suggests_close_spellings(word: str, message: str) -> None:
    with pytest.raises(InputError, match=f"'{word}' is not in the vocabulary{message}"):
        Vocabulary(("the", "banking", "crises", "Paris"), np.array([9, 4, 2, 1]))[word]


def test_words_and_counts_must_match() -> None:
    with pytest.raises(InputError, match="2 words but 1 counts"):
        Vocabulary(("a", "b"), np.array([1]))
