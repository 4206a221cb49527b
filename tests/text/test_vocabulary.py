"""Lookup and fingerprint of a vocabulary."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from w2v_jax.errors import InputError, UnknownWordError
from w2v_jax.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("the", "banking", "crises", "Paris", "cri\nes", "Caf\xe9"), np.array([9, 4, 2, 1, 1, 1]))


def test_fingerprint_depends_on_words_and_counts() -> None:
    first, same, other = [Vocabulary(("a", "b"), np.array(counts)) for counts in ([2, 1], [2, 1], [3, 1])]
    assert first.sha256 == same.sha256 != other.sha256


@pytest.mark.parametrize(
    ("word", "message"),
    [("bankin", "; did you mean banking?"), ("paris", "; did you mean Paris?"), ("qqqq", ""), ("cri\nses",
      "; did you mean crises?"), ("x" * 999, ""), (3, ""), ([3], ""),
     ("Cafe\u0301", ", but 'Caf\\xe9' is, its other Unicode form; normalize both")],
)  # fmt: skip
def test_unknown_word_raises_and_suggests_close_spellings(word: Any, message: str) -> None:
    with pytest.raises(UnknownWordError) as raised:
        VOCABULARY[word]
    assert isinstance(raised.value, InputError)
    assert isinstance(raised.value, KeyError)
    shown = "x" * 100 + "…" if word == "x" * 999 else word
    for error in (raised.value, copy.copy(raised.value), pickle.loads(pickle.dumps(raised.value))):
        assert str(error) == f"{shown!r} is not in the vocabulary{message}"
        assert "Paris'" not in repr(error)  # nor all other words


def test_suggestions_cost_nothing_until_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("difflib.get_close_matches", lambda *_, **__: pytest.fail("searched"))
    with pytest.raises(KeyError) as raised:
        VOCABULARY["bankin"]
    with pytest.raises(pytest.fail.Exception):
        str(raised.value)


def test_words_and_counts_must_match() -> None:
    with pytest.raises(InputError, match="2 words but 1 counts"):
        Vocabulary(("a", "b"), np.array([1]))
