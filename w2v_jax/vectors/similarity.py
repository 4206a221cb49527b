"""How cosines follow people's judgments of word pairs, by gensim's protocol, and how sure that is."""

import math
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Float, Int

from ..errors import InputError, check_one_of
from .evaluation import Lookup, Unknown, lines
from .keyed_vectors import KeyedVectors

RESAMPLES = 1000
AT_ONCE = 300_000  # ranks held, so few that they stay near the processor


class Similarity(NamedTuple):
    """How a model's cosines follow people's judgments of word pairs."""

    spearman: float
    pearson: float
    low: float
    """Spearman's 95 % interval over bootstrap resamples of the pairs."""
    high: float
    pairs: int
    """Pairs in the file."""
    known: int
    """Pairs of words that both have vectors."""

    @property
    def coverage(self) -> float:
        """Share of the pairs whose words both have vectors."""
        return self.known / self.pairs


def evaluate_similarity(
    vectors: KeyedVectors, path: str | os.PathLike[str], *, top: int | None = 300_000, unknown: Unknown = "skip"
) -> Similarity:
    """Correlations with a file of `word<TAB>word<TAB>score` lines; `#` starts a comment line.

    The defaults are those of gensim's `evaluate_word_pairs`, and give its numbers.

    Args:
      top: only this many words, the most frequent, count as known; None for all.
      unknown: "skip" leaves out pairs with unknown words; "wrong" takes 0 for their cosine, as gensim does with
        `dummy4unknown`; "mean" takes the mean of the known vectors for each unknown word.

    Raises:
      InputError: the file cannot be read, or fewer than two of its pairs can be compared.
    """
    check_one_of("unknown", unknown, Unknown)
    pairs = list(_pairs(path))
    lookup = Lookup.of(vectors, top)
    ids = np.array([lookup.ids([a, b]) for a, b, _ in pairs], np.int64).reshape(-1, 2)
    known = (ids < len(lookup.table)).all(1)
    scores = np.array([score for *_, score in pairs])
    cosines = _cosines(lookup.rows(ids[:, 0]), lookup.rows(ids[:, 1]))
    if unknown == "skip":
        scores, cosines = scores[known], cosines[known]
    elif unknown == "wrong":
        cosines = np.where(known, cosines, 0)
    if len(scores) < 2:
        raise InputError(
            f"{os.fspath(path)}: under two of its pairs have vectors; lines must be word<TAB>word<TAB>score"
        )
    if len(set(scores)) < 2:
        raise InputError(f"{os.fspath(path)}: all its scores are {scores[0]}, so nothing can follow them")
    if len(set(cosines)) < 2:
        raise InputError(f"{os.fspath(path)}: all its cosines are {cosines[0]:g}, so they can follow nothing")
    return Similarity(
        float(scipy.stats.spearmanr(scores, cosines).statistic),
        float(scipy.stats.pearsonr(scores, cosines).statistic),
        *spearman_interval(scores, cosines),
        len(pairs),
        int(known.sum()),
    )


def _pairs(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, float]]:
    """What gensim takes for a pair; it passes over other lines."""
    for line in lines(path):
        fields = line.upper().split("\t")
        try:
            a, b, score = fields[0], fields[1], float(fields[2])
        except (ValueError, IndexError):
            continue
        if not line.startswith("#") and len(fields) == 3 and math.isfinite(score):
            yield a, b, score


def _cosines(one: Float[np.ndarray, "P D"], other: Float[np.ndarray, "P D"]) -> Float[np.ndarray, " P"]:
    """Rounded where gensim rounds, so that pairs whose cosines all but agree rank here as they do there."""
    units = []
    for rows in (one.astype(np.float64), other.astype(np.float64)):
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        units.append((rows * (1 / np.where(length > 0, length, 1))).astype(np.float32))
    return np.vecdot(*units)


def spearman_interval(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The 95 % percentile interval of Spearman's correlation over resamples of the pairs, always the same ones.

    A resample is how often it drew each pair, and its ranks are sums of those: nothing is sorted again.

    >>> spearman_interval(np.arange(50.0), np.arange(50.0))
    (1.0, 1.0)
    """
    n, rng, found = len(one), np.random.default_rng(0), []
    batch = max(1, AT_ONCE // n)
    for start in range(0, RESAMPLES, batch):
        drawn = rng.integers(n, size=(min(batch, RESAMPLES - start), n))
        drawn += n * np.arange(len(drawn))[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        x, y = (_ranks(column, counts) - (n + 1) / 2 for column in (one, other))
        xy, xx, yy = (np.einsum("rn,rn,rn->r", counts, a, b) for a, b in ((x, y), (x, x), (y, y)))
        varied = xx * yy > 0  # there is no correlation where all pairs drawn are equal
        found.append(xy[varied] / np.sqrt(xx[varied] * yy[varied]))
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(low), float(high)


def _ranks(values: Float[np.ndarray, " n"], counts: Int[np.ndarray, "R n"]) -> Float[np.ndarray, "R n"]:
    """Each value's rank in each resample; of equals, the mean of their ranks."""
    order = np.argsort(values)
    below, upto = (np.searchsorted(values[order], values, side) for side in ("left", "right"))
    summed = np.pad(np.cumsum(counts[:, order], 1), ((0, 0), (1, 0)))
    return (summed[:, below] + summed[:, upto] + 1) / 2
