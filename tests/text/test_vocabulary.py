"""Order, lookup and fingerprint of a vocabulary."""

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.text.vocabulary import Vocabulary, select_words


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_words_are_sorted_by_falling_count_then_code_point(order: list[int]) -> None:
    words, counts = ["b", "a", "é", "z"], [2, 2, 2, 7]
    chosen = select_words([words[i] for i in order], [counts[i] for i in order], min_count=1, max_size=None)
    assert [words[order[i]] for i in chosen] == ["z", "a", "b", "é"]


@pytest.mark.parametrize(("max_size", "expected"), [(None, "becd"), (9, "becd"), (3, "bcd"), (2, "cd")])
def test_known_words_stay_and_new_words_fill_the_rest(max_size: int | None, expected: str) -> None:
    chosen = select_words("abcde", [1, 9, 5, 1, 7], min_count=5, max_size=max_size, known=np.array([3, 2]))
    assert "".join("abcde"[i] for i in chosen) == expected


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
