"""How good the vectors are: human similarity judgments and analogy questions, by gensim's protocol.

Words are compared without regard to case; of words that differ only in case, the first counts.
Questions with a word outside the vocabulary are skipped. The numbers equal those of gensim's
`evaluate_word_pairs` and `evaluate_word_analogies` at their defaults.
"""

import math
import os
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Bool, Integer

from ..errors import InputError
from ..files import reading
from .keyed_vectors import KeyedVectors, nearest_rows

QUERIES = 512  # asked in one product
CANDIDATES = 5  # looked at for a word that is not one of the question's in other letters


class Similarity(NamedTuple):
    """How a model's cosines follow people's judgments of word pairs."""

    spearman: float
    pearson: float
    pairs: int
    """Pairs compared."""
    skipped: int
    """Pairs with a word that has no vector."""

    @property
    def coverage(self) -> float:
        """Share of the pairs that was compared."""
        return self.pairs / (self.pairs + self.skipped)


class Section(NamedTuple):
    """A section of analogy questions."""

    name: str
    correct: int
    asked: int
    skipped: int
    """Questions with a word that has no vector or is not among the most frequent."""

    @property
    def accuracy(self) -> float:
        """Share of the questions asked that was answered right; 0 if none was asked."""
        return self.correct / max(self.asked, 1)


def evaluate_similarity(vectors: KeyedVectors, path: str | os.PathLike[str], *, top: int = 300_000) -> Similarity:
    """Rank correlation with a file of `word<TAB>word<TAB>score` lines; `#` starts a comment line.

    Args:
      top: only this many words, the most frequent, count as known.

    Raises:
      InputError: the file cannot be read, or none of its pairs is known.
    """
    index = _index(vectors, top)
    first, second, scores, skipped = [], [], [], 0
    for line in _lines(path):
        fields = line.upper().split("\t")
        try:
            a, b, score = fields[0], fields[1], float(fields[2])
        except (ValueError, IndexError):
            continue
        if line.startswith("#") or len(fields) != 3 or not math.isfinite(score):
            continue
        if a not in index or b not in index:
            skipped += 1
            continue
        first.append(index[a])
        second.append(index[b])
        scores.append(score)
    if len(scores) < 2:
        raise InputError(
            f"{os.fspath(path)}: under two of its pairs have vectors; lines must be word<TAB>word<TAB>score"
        )
    if len(set(scores)) < 2:
        raise InputError(f"{os.fspath(path)}: all its scores are {scores[0]}, so nothing can follow them")
    cosines = np.asarray((vectors.unit[jnp.array(first)] * vectors.unit[jnp.array(second)]).sum(1))
    spearman = scipy.stats.spearmanr(scores, cosines).statistic
    pearson = scipy.stats.pearsonr(scores, cosines).statistic
    return Similarity(float(spearman), float(pearson), len(scores), skipped)


def evaluate_analogies(vectors: KeyedVectors, path: str | os.PathLike[str], *, top: int = 300_000) -> list[Section]:
    """Answer `a b c d` questions, a is to b as c is to d, by 3CosAdd; the last section is the total.

    Args:
      path: a file of questions, four words a line, in sections that begin with a `: name` line.
      top: only this many words, the most frequent, are known, and may be answers.

    Raises:
      InputError: the file cannot be read, or holds no questions.
    """
    index = _index(vectors, top)
    names: list[str] = []
    section, questions = [], []
    for line in _lines(path):
        words = line.upper().split()
        if line.startswith(": "):
            names.append(line.lstrip(": ").strip())
        elif len(words) == 4 and names:
            section.append(len(names) - 1)
            questions.append([index.get(word, -1) for word in words])
    if not questions:
        raise InputError(f"{os.fspath(path)}: holds no questions; they are four words a line, after a line ': section'")
    ids = np.array(questions, np.int32)
    known = np.asarray((ids >= 0).all(1))
    right = np.zeros(len(ids), bool)
    right[known] = _answers(vectors, ids[known], top)
    sections = [
        Section(name, int(right[here].sum()), int(known[here].sum()), int((~known[here]).sum()))
        for number, name in enumerate(names)
        for here in [np.array(section) == number]
    ]
    return [*sections, Section("total", int(right.sum()), int(known.sum()), int((~known).sum()))]


def _answers(vectors: KeyedVectors, ids: Integer[np.ndarray, "Q 4"], top: int) -> Bool[np.ndarray, " Q"]:
    """Whether the best answer to each question is its fourth word."""
    unit = vectors.unit[:top]
    upper = [word.upper() for word in vectors.words[:top]]
    index = _index(vectors, top)
    right = np.zeros(len(ids), bool)
    for start in range(0, len(ids), QUERIES):
        some = np.resize(ids[start : start + QUERIES], (QUERIES, 4))  # one shape, one compilation
        a, b, c, d = some.T
        weight = np.tile(np.array([1, 1, -1], np.float32), (QUERIES, 1))
        nearest, _ = nearest_rows(unit, jnp.stack([b, c, a], 1), weight, min(CANDIDATES, len(upper)))
        for i, answers in enumerate(np.asarray(nearest)[: len(ids) - start]):
            given = {a[i], b[i], c[i]}
            spelled = [index[upper[answer]] for answer in answers]
            best = next((answer for answer in spelled if answer not in given), spelled[-1])
            right[start + i] = best == d[i]
    return right


def _index(vectors: KeyedVectors, top: int) -> dict[str, int]:
    return {word.upper(): i for i, word in reversed(list(enumerate(vectors.words[:top])))}


def _lines(path: str | os.PathLike[str]) -> Iterator[str]:
    with reading(path) as file:
        for number, raw in enumerate(file, 1):
            try:
                yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InputError(f"{os.fspath(path)}: line {number} is not UTF-8") from None
