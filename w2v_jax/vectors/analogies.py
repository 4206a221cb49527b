"""Analogy questions, a is to b as c is to d, by gensim's protocol or word2vec.c's."""

import os
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from ..errors import InputError, check_one_of
from .evaluation import UPPER, Case, Lookup, Unknown, lines
from .keyed_vectors import KeyedVectors
from .queries import QUERIES, Method, nearest, normalize

AT_ONCE = 8 * QUERIES  # questions whose vectors are looked up


class Section(NamedTuple):
    """A section of analogy questions."""

    name: str
    correct: int
    asked: int
    skipped: int
    """Questions with a word that has no vector or is not among the most frequent, where these are left out."""

    @property
    def accuracy(self) -> float:
        """Share of the questions asked that was answered right; 0 if none was asked."""
        return self.correct / max(self.asked, 1)


def evaluate_analogies(
    vectors: KeyedVectors,
    path: str | os.PathLike[str],
    *,
    top: int | None = 300_000,
    method: Method = "3cosadd",
    unknown: Unknown = "skip",
    candidates: int = 5,
    case: Case = "unicode",
) -> list[Section]:
    """Answer `a b c d` questions; the last section is the total.

    The defaults are those of gensim's `evaluate_word_analogies`; word2vec.c's `compute-accuracy` is
    `top=30_000, candidates=1, case="ascii"`. Both give the numbers of the original.

    Args:
      path: a file of questions, four words a line, in sections that begin with a `: name` line.
      top: only this many words, the most frequent, are known, and may be answers; None for all.
      method: how answers are scored, "3cosadd" or "3cosmul" (Levy and Goldberg, 2014).
      unknown: "skip" leaves out questions with unknown words; "wrong" counts them as failures, as gensim does with
        `dummy4unknown`; "mean" takes the mean of the known vectors for each unknown word of a, b and c, and counts
        an unknown d as a failure.
      candidates: how many of the best answers are looked at for one that is not a word of the question in other
        letters; 1 takes the best, whatever it is.
      case: whether only a to z have a case.

    Raises:
      InputError: the file cannot be read, or holds no questions.
    """
    check_one_of("unknown", unknown, Unknown)
    if candidates < 1:
        raise InputError(f"candidates is {candidates}; it must be at least 1")
    lookup = Lookup.of(vectors, top, case)
    names, section, ids = _questions(path, lookup, case)
    known = np.less(ids, len(lookup.table))
    whole = np.all(known, 1)
    answerable = known[:, 3] if unknown == "mean" else whole
    asked = whole if unknown == "skip" else np.ones(len(ids), bool)
    right = np.zeros(len(ids), bool)
    right[answerable] = _answers(lookup, ids[answerable], method, candidates)
    every = [(name, section == number) for number, name in enumerate(names)]
    return [
        Section(name, int(right[here].sum()), int(asked[here].sum()), int((~asked[here]).sum()))
        for name, here in [*every, ("total", np.ones(len(ids), bool))]
    ]


def _questions(
    path: str | os.PathLike[str], lookup: Lookup, case: Case
) -> tuple[list[str], Int[np.ndarray, " Q"], Int[np.ndarray, "Q 4"]]:
    """The sections' names, the section of each question, and its words' rows."""
    names: list[str] = []
    section, questions = [], []
    for line in lines(path):
        if line.startswith(": "):
            names.append(line.lstrip(": ").strip())
        elif names and len(words := line.split()) == 4:
            section.append(len(names) - 1)
            questions.append(lookup.ids([*map(UPPER[case], words)]))
    if not questions:
        raise InputError(f"{os.fspath(path)}: holds no questions; they are four words a line, after a line ': section'")
    return names, np.array(section), np.array(questions)


def _answers(lookup: Lookup, ids: Int[np.ndarray, "Q 4"], method: Method, candidates: int) -> Bool[np.ndarray, " Q"]:
    """Whether the best answer to each question is its fourth word.

    Most words are spelled in one way only. A question of such words has no candidate to pass over, so that its best
    answer is the only one to look for, which is quicker.
    """
    table, spelled = normalize(jnp.asarray(lookup.table, jnp.float32)), lookup.spelled()
    spellings = np.bincount(spelled, minlength=len(table) + 1)
    twins = (spellings[ids[:, :3]] > 1).any(1)
    right = np.zeros(len(ids), bool)
    for which, topn in ((~twins, 1), (twins, candidates)):
        for some in np.split(np.flatnonzero(which), range(AT_ONCE, which.sum(), AT_ONCE)):
            a, b, c, d = ids[some].T
            given = np.stack([b, c, a], 1)
            rows = lookup.rows(given)
            terms = rows / np.maximum(np.linalg.norm(rows, axis=2, keepdims=True), np.finfo(np.float32).tiny)
            weight = np.tile(np.array([1, 1, -1], np.float32), (len(some), 1))
            found, scores = nearest(table, terms, weight, given, topn=min(topn, len(table)), method=method)
            answers = spelled[found]
            there = scores > -np.inf
            new = there & (answers[..., None] != given[:, None]).all(2)
            place = np.where(new.any(1), new.argmax(1), there.sum(1) - 1)
            right[some] = there[:, 0] & (answers[np.arange(len(some)), place] == d)
    return right
