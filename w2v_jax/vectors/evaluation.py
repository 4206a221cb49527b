"""Evaluation on sets of word pairs and of analogy questions, by the protocols of gensim and word2vec.c.

Words are compared without regard to case; of words that differ only in case, the first counts.
"""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Int, Integer

from ..errors import InputError, check_one_of
from ..files import open_input, read_lines
from .endings import AnyPath
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
MIN_OTHER_PAIRS = 6  # that make a form other than word<TAB>word<TAB>score worth a guess
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
    pairs, skipped, first_skipped = _read_pairs(path)
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


def _read_pairs(path: AnyPath) -> tuple[list[tuple[str, str, float]], int, str]:
    """Return the pairs, the number of other lines, and the first of these; a few lines in another form are no pairs."""
    plain, others, total = dict[int, tuple[str, str, float]](), dict[int, tuple[str, str, float]](), 0
    first, first_other = (1 << 62, ""), (1 << 62, "")
    for number, line in _read_data_lines(path):
        if line.startswith("#"):
            continue
        total += 1
        if not (pair := _parse_pair(line)):
            first = min(first, (number, line))
        elif line.count("\t") == 2:
            plain[number] = pair
        else:
            others[number] = pair
            first_other = min(first_other, (number, line))
    if len(others) < MIN_OTHER_PAIRS:
        others, first = {}, min(first, first_other)
    pairs = [pair for _, pair in sorted((plain | others).items())]
    return pairs, total - len(pairs), _describe(*first) if total > len(pairs) else ""


def _read_data_lines(path: AnyPath) -> Iterator[tuple[int, str]]:
    """Yield the lines and their numbers, without blank lines."""
    with open_input(path) as file:
        for number, line in enumerate(read_lines(file, os.fspath(path)), 1):
            if line.strip():
                yield number, line.rstrip("\r\n")


def _parse_pair(line: str) -> tuple[str, str, float] | None:
    """Return two words in upper case, and the first number after them."""
    fields = _split_fields(line, 3)
    for field in fields[2:]:
        with contextlib.suppress(ValueError):
            score = float(re.sub(r"^(-?\d+),(\d+)$", r"\1.\2", field))
            return (fields[0].upper(), fields[1].upper(), score) if math.isfinite(score) else None
    return None


def _split_fields(line: str, count: int) -> list[str]:
    """Split at tabs, semicolons, commas or blanks: the first of them that gives as many fields."""
    splits = ([field.strip().strip('"') for field in line.split(separator)] for separator in ("\t", ";", ","))
    return next((fields for fields in splits if len(fields) >= count), line.split())


def _describe(number: int, line: str) -> str:
    return f"line {number:,} is {line if len(line) <= 60 else line[:60] + '…'!r}"


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
    names, section, ids, malformed, first = _read_questions(path, index, case)
    known = np.less(ids, len(index.table))
    answerable = known[:, 3] if unknown == "mean" else known.all(1)
    asked = known.all(1) if unknown == "skip" else np.ones(len(ids), bool)
    correct = np.zeros(len(ids), bool)
    correct[answerable] = _is_correct(index, ids[answerable], method, candidates)
    masks = [section == number for number in range(len(names))]
    *sections, total = [
        Section(name, int(correct[mask].sum()), int(asked[mask].sum()), int((~asked[mask]).sum()))
        for name, mask in zip([*names, "total"], [*masks, np.ones(len(ids), bool)], strict=True)
    ]
    return [*sections, total._replace(malformed=malformed, first_malformed=first)]


def _read_questions(
    path: AnyPath, index: WordIndex, case: Case
) -> tuple[list[str], Int[np.ndarray, " Q"], Int[np.ndarray, "Q 4"], int, str]:
    """Return the sections' names, the section and word ids of each question, and the malformed lines."""
    names, section, questions, malformed, first = list[str](), list[int](), list[list[int]](), 0, ""
    for number, line in _read_data_lines(path):
        words = fields if len(fields := line.split()) == 4 else _split_fields(line, 4)
        if line.startswith(": ") or (line.startswith(":") and len(words) == 1):
            names.append(line.lstrip(": ").strip())
        elif len(words) == 4:
            names = names or ["no section"]
            section.append(len(names) - 1)
            questions.append(index.ids([*map(TO_UPPER[case], words)]))
        else:
            malformed, first = malformed + 1, first or _describe(number, line)
    if not questions:
        raise InputError(
            f"{os.fspath(path)}: holds no questions; they are four words a line" + f"; {first}" * bool(first)
        )
    return names, np.array(section), np.array(questions), malformed, first


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
