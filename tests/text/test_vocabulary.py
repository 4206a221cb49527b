"""The vocabulary's order and its answers."""

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.text.vocabulary import Vocabulary, select

VOCABULARY = Vocabulary(("the", "banking", "crises", "Paris"), np.array([9, 4, 2, 1]))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_order_is_by_falling_count_then_code_point_whatever_came_first(order: list[int]) -> None:
    words, counts = ["b", "a", "é", "z"], [2, 2, 2, 7]
    chosen = select([words[i] for i in order], [counts[i] for i in order], min_count=1, max_size=None)
    assert [words[order[i]] for i in chosen] == ["z", "a", "b", "é"]


def test_known_words_stay_and_the_others_fill_what_they_leave() -> None:
    words, counts = ["a", "b", "c", "d", "e"], [1, 9, 5, 1, 7]
    chosen = lambda size: [words[i] for i in select(words, counts, min_count=5, max_size=size, known=np.array([3, 2]))]
    assert chosen(None) == chosen(9) == ["b", "e", "c", "d"]
    assert chosen(3) == ["b", "c", "d"]
    assert chosen(2) == ["c", "d"]


def test_the_same_words_with_other_counts_are_another_vocabulary() -> None:
    some = [Vocabulary(("a", "b"), np.array(counts)) for counts in ([2, 1], [2, 1], [3, 1])]
    assert some[0].sha256 == some[1].sha256 != some[2].sha256


def test_an_unknown_word_is_answered_with_close_ones() -> None:
    with pytest.raises(InputError, match="'bankin' is not in the vocabulary; did you mean banking"):
        VOCABULARY["bankin"]
    with pytest.raises(InputError, match="did you mean Paris"):
        VOCABULARY["paris"]
    with pytest.raises(InputError, match="'qqqq' is not in the vocabulary$"):
        VOCABULARY["qqqq"]


def test_words_and_counts_must_match() -> None:
    with pytest.raises(InputError, match="2 words but 1 counts"):
        Vocabulary(("a", "b"), np.array([1]))
