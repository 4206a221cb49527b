"""Evaluation during training: keep the best vectors, and stop when they no longer improve."""

import math
from collections.abc import Callable

from ..errors import InputError
from ..vectors.keyed_vectors import KeyedVectors
from .reports import Export, Report


class EvaluateEvery:
    """A callback of training that measures the vectors every `steps` steps, and may stop the training.

    Measurements come at the end of the dispatch in which a multiple of `steps` falls; a dispatch is 64 blocks, or one
    merge of replicas. The clock has no part in it, so the same seed is measured and stopped at the same steps. Past
    `steps`, a resumed training is also measured at its first report.

    Args:
      steps: blocks, or passes over the counts, between two measurements.
      measure: vectors → a number, the larger the better; NaN is never the best.
      patience: stop after so many measurements in a row that were not above the best; None never stops.

    Raises:
      InputError: steps or patience are under 1.

    >>> from w2v_jax.config import TrainConfig
    >>> from w2v_jax.text.corpus import Corpus
    >>> from w2v_jax.training.loop import train
    >>> corpus = Corpus.from_sentences([["to", "be", "or", "not", "to", "be"]] * 5)
    >>> evaluation = EvaluateEvery(1, lambda vectors: vectors.similarity("to", "be"))
    >>> _ = train(corpus, TrainConfig(dim=8, sample=0.0), callbacks=[evaluation])
    >>> evaluation.best.similarity("to", "be") == evaluation.best_score == max(s for _, s in evaluation.scores)
    True
    """

    def __init__(self, steps: int, measure: Callable[[KeyedVectors], float], *, patience: int | None = None) -> None:
        for name, value in (("steps", steps), ("patience", patience)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        self.every, self.measure, self.patience = steps, measure, patience
        self.last_step = 0
        self.scores: list[tuple[int, float]] = []
        """(step, score) of each measurement."""
        self.best: KeyedVectors | None = None
        self.best_score = -math.inf
        self.since_best = 0
        """Measurements since the best."""

    def __call__(self, report: Report, export: Export) -> bool:
        crossed = report.step // self.every > self.last_step // self.every
        self.last_step = report.step
        if not crossed:
            return False
        vectors = export()
        score = float(self.measure(vectors))
        self.scores.append((report.step, score))
        self.since_best += 1
        if score > self.best_score:
            self.best, self.best_score, self.since_best = vectors, score, 0
        return self.patience is not None and self.since_best >= self.patience
