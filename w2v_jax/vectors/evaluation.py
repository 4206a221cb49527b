"""Evaluation on sets of word pairs and of analogy questions, by the protocols of gensim and word2vec.c.

Words are compared without regard to case; of words that differ only in case, the first counts.
"""

import os
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Int, Integer

from ..errors import InputError, check_one_of
from .endings import AnyPath
from .evaluation_sets import MIN_OTHER_PAIRS, read_pairs, read_questions
from .keyed_vectors import KeyedVectors
from .search import QUERIES_PER_BATCH, Method, QueryBatch, nearest, normalize

Unknown = Literal["skip", "wrong", "mean"]
"""How an item with an unknown word counts: not at all; as cosine 0 or a wrong answer, gensim's `dummy4unknown`; or with
the mean of the known vectors for the word, but as a wrong answer where the expected word is unknown."""
Case = Literal["unicode", "ascii"]
"""The letters whose case is ignored: all, as in gensim, or a to z, as in word2vec.c."""

TO_UPPER: dict[Case, Callable[[str], str]] = {
    "unicode": str.upper,
    "ascii": lambda word: word.encode().upper().decode(),  # bytes.upper changes only a to z
}
RESAMPLES = 1000
QUESTIONS_PER_BATCH = 8 * QUERIES_PER_BATCH


class WordIndex(NamedTuple):
    """Vectors by the upper-case spelling of their words."""

    table: Float[np.ndarray, "V D"]
    """The vectors of the known words."""
    spellings: list[str]
    first: dict[str, int]
    """The first word of each spelling."""

    @classmethod
    def build(cls, vectors: KeyedVectors, top: int | None, case: Case = "unicode") -> "WordIndex":
        """Index the first `top` words; None means all."""
        if top is not None and top < 1:
            raise InputError(f"top is {top}; it must be at least 1")
        check_one_of("case", case, Case)
        spellings = [*map(TO_UPPER[case], vectors.words[:top])]
        ids = range(len(spellings))
        return cls(vectors.vectors[:top], spellings, dict(zip(reversed(spellings), reversed(ids), strict=True)))

    def ids(self, words: list[str]) -> list[int]:
        """Return the rows of upper-case words; V for an unknown word."""
        return [self.first.get(word, len(self.spellings)) for word in words]

    def rows(self, ids: Integer[np.ndarray, "*n"]) -> Float[np.ndarray, "*n D"]:
        """Return the vectors of words in float32; for the id V, the mean of all vectors."""
        rows = self.table.take(ids, 0, mode="clip").astype(np.float32)
        if (ids == len(self.table)).any():
            rows[ids == len(self.table)] = self.table.mean(0, dtype=np.float32)
        return rows


class Similarity(NamedTuple):
    """Correlation of a model's cosines with human judgments of word pairs."""

    spearman: float
    pearson: float
    low: float
    """Bounds of Spearman's 95 % interval, from bootstrap resamples of the pairs."""
    high: float
    pairs: int
    """Lines of the file that are pairs."""
    known: int
    """Pairs of words that both have vectors."""
    skipped: int
    """Lines that are no pairs, without blank lines and comments."""
    first_skipped: str
    """The first of them: its number and its beginning."""

    @property
    def coverage(self) -> float:
        """Share of the pairs whose words both have vectors."""
        return self.known / self.pairs


def evaluate_similarity(
    vectors: KeyedVectors, path: AnyPath, *, top: int | None = 300_000, unknown: Unknown = "skip"
) -> Similarity:
    """Correlate cosines with a file of `word<TAB>word<TAB>score` lines; `#` starts a comment line.

    The defaults are those of gensim's `evaluate_word_pairs`, and give its numbers. Six lines or more may have another
    separator (semicolon, comma, space), other columns before and after the score, and decimal commas.

    Args:
      path: the pairs; other lines, such as titles, are counted and named.
      top: the number of known words, the most frequent ones; None for all.
      unknown: how a pair with an unknown word counts (`Unknown`).

    Raises:
      InputError: the file cannot be read, or fewer than two of its pairs can be compared.
    """
    check_one_of("unknown", unknown, Unknown)
    pairs, skipped, first_skipped = read_pairs(path)
    index = WordIndex.build(vectors, top)
    ids = np.array([index.ids([a, b]) for a, b, _ in pairs], np.int64).reshape(-1, 2)
    known = (ids < len(index.table)).all(1)
    scores = np.array([score for *_, score in pairs])
    cosines = _cosines(index.rows(ids[:, 0]), index.rows(ids[:, 1]))
    if unknown == "skip":
        scores, cosines = scores[known], cosines[known]
    elif unknown == "wrong":
        cosines = np.where(known, cosines, 0)
    name = os.fspath(path)
    if not pairs:
        first = f" ({first_skipped}); other forms take {MIN_OTHER_PAIRS} lines or more" if skipped else ""
        raise InputError(f"{name}: none of its {skipped} lines is word<TAB>word<TAB>score{first}")
    if len(scores) < 2:
        raise InputError(f"{name}: under two of its {len(pairs)} pairs have vectors; give vectors that know more words")
    for kind, values in (("scores", scores), ("cosines", cosines)):
        if len(set(values)) < 2:
            raise InputError(f"{name}: all its {kind} are {values[0]:g}, so they have no correlation")
    spearman, pearson = (test(scores, cosines).statistic for test in (scipy.stats.spearmanr, scipy.stats.pearsonr))
    low, high = spearman_interval(scores, cosines)
    correlations = float(spearman), float(pearson), low, high
    return Similarity(*correlations, len(pairs), int(known.sum()), skipped, first_skipped)


def _cosines(one: Float[np.ndarray, "P D"], other: Float[np.ndarray, "P D"]) -> Float[np.ndarray, " P"]:
    """Round where gensim rounds, so that pairs of nearly equal cosine have the same ranks."""
    rows = np.stack([one, other]).astype(np.float64)
    length = np.linalg.norm(rows, axis=2, keepdims=True)
    return np.clip(np.vecdot(*(rows * (1 / np.where(length > 0, length, 1))).astype(np.float32)), -1, 1)


def spearman_interval(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the 95 % percentile interval of Spearman's correlation over fixed resamples of the pairs.

    >>> [round(bound, 9) for bound in spearman_interval(np.arange(50.0), np.arange(50.0))]
    [1.0, 1.0]
    """
    columns, rng, correlations = np.stack([one, other]), np.random.default_rng(0), np.zeros(RESAMPLES)
    with np.errstate(invalid="ignore"):  # if all drawn pairs are equal, no correlation is defined
        for i in range(RESAMPLES):
            ranks = scipy.stats.rankdata(columns[:, rng.integers(len(one), size=len(one))], axis=1)
            correlations[i] = np.asarray(np.corrcoef(ranks))[0, 1]
    low, high = np.nanquantile(correlations, [0.025, 0.975])
    return float(low), float(high)


class Section(NamedTuple):
    """A section of analogy questions."""

    name: str
    correct: int
    asked: int
    skipped: int
    """Questions left out for a word without a vector, or not among the most frequent."""
    malformed: int = 0
    """Lines of the file that are not four words, in the total."""
    first_malformed: str = ""
    """The first of them: its number and its beginning."""

    @property
    def accuracy(self) -> float:
        """Share of correct answers among the questions asked; 0 without questions."""
        return self.correct / max(self.asked, 1)


def evaluate_analogies(
    vectors: KeyedVectors,
    path: AnyPath,
    *,
    top: int | None = 300_000,
    method: Method = "3cosadd",
    unknown: Unknown = "skip",
    candidates: int = 5,
    case: Case = "unicode",
) -> list[Section]:
    """Answer `a b c d` questions, and return the sections; the last one is the total.

    The defaults are those of gensim's `evaluate_word_analogies`; word2vec.c's `compute-accuracy` is
    `top=30_000, candidates=1, case="ascii"`. Both give the numbers of the original.

    Args:
      path: questions of four words a line, in sections that begin with a `: name` line; other lines are counted.
      top: the number of known words, the most frequent ones, which alone may be answers; None for all.
      method: how answers are scored, "3cosadd" or "3cosmul" (Levy and Goldberg, 2014).
      unknown: how a question with an unknown word counts (`Unknown`).
      candidates: the number of best answers searched for one that is not a word of the question in another case.
      case: the letters whose case is ignored (`Case`).

    Raises:
      InputError: the file cannot be read, or holds no questions.
    """
    check_one_of("unknown", unknown, Unknown)
    if candidates < 1:
        raise InputError(f"candidates is {candidates}; it must be at least 1")
    index = WordIndex.build(vectors, top, case)
    names, section, words, malformed, first_malformed = read_questions(path)
    ids = np.array([index.ids([*map(TO_UPPER[case], four)]) for four in words])
    known = np.less(ids, len(index.table))
    answerable = known[:, 3] if unknown == "mean" else known.all(1)
    asked = known.all(1) if unknown == "skip" else np.ones(len(ids), bool)
    correct = np.zeros(len(ids), bool)
    correct[answerable] = _is_correct(index, ids[answerable], method, candidates)
    masks = [np.equal(section, number) for number in range(len(names))]
    *sections, total = [
        Section(name, int(correct[mask].sum()), int(asked[mask].sum()), int((~asked[mask]).sum()))
        for name, mask in zip([*names, "total"], [*masks, np.ones(len(ids), bool)], strict=True)
    ]
    return [*sections, total._replace(malformed=malformed, first_malformed=first_malformed)]


def _is_correct(
    index: WordIndex, ids: Int[np.ndarray, "Q 4"], method: Method, candidates: int
) -> Bool[np.ndarray, " Q"]:
    """Return whether the best answer to each question is its fourth word.

    One candidate suffices, and is faster, where no word of the question has variants.
    """
    table = normalize(np.asarray(index.table, np.float32))
    first_ids = np.array(index.ids(index.spellings))  # of words with the same spelling
    variants = np.bincount(first_ids, minlength=len(table) + 1)
    has_variants = (variants[ids[:, :3]] > 1).any(1)
    correct = np.zeros(len(ids), bool)
    for mask, topn in ((~has_variants, 1), (has_variants, candidates)):
        for rows in np.split(np.flatnonzero(mask), range(QUESTIONS_PER_BATCH, mask.sum(), QUESTIONS_PER_BATCH)):
            a, b, c, d = ids[rows].T
            words = np.stack([b, c, a], 1)
            terms = index.rows(words)
            terms /= np.maximum(np.linalg.norm(terms, axis=2, keepdims=True), np.finfo(np.float32).tiny)
            weights = np.tile(np.array([1, 1, -1], np.float32), (len(rows), 1))
            batch = QueryBatch(terms, weights, words)
            answers, scores = nearest(table, batch, topn=min(topn, len(table)), method=method)
            answers, is_answer = first_ids[answers], scores > -np.inf
            is_new = is_answer & (answers[..., None] != words[:, None]).all(2)
            best = np.where(is_new.any(1), is_new.argmax(1), is_answer.sum(1) - 1)
            correct[rows] = is_answer[:, 0] & (answers[np.arange(len(rows)), best] == d)
    return correct
