"""Vectors measured while they are trained: the best are kept, and training stops when they get no better."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from ..config import Objective
from ..errors import InputError
from ..params import Params
from ..text.vocabulary import Vocabulary
from ..vectors.keyed_vectors import KeyedVectors
from .reports import Report
from .vectors_of import vectors_of


class EvaluateEvery:
    """A callback of `train` that measures the vectors where training has crossed a multiple of so many steps.

    Those places depend on nothing but the steps, so the same seed is measured, and stopped, at the same ones.
    (A resumed training is also measured at its first report.) Reports come where dispatches end, every 64 blocks,
    or where devices that train apart meet, so that fewer steps than those are measured there.

    Args:
      steps: blocks, or passes over the counts, from one measurement to the next.
      measure: vectors → a number, the larger the better; one that is not a number is never the best.
      vocabulary, objective: those of the training; the objective is None where it went on from tables it was given.
      patience: stop after so many measurements in a row that were not above the best; None never stops.

    Raises:
      InputError: steps or patience are under 1.

    >>> from w2v_jax.config import TrainConfig
    >>> from w2v_jax.text.corpus import Corpus
    >>> from w2v_jax.training.loop import train
    >>> corpus = Corpus.from_sentences([["to", "be", "or", "not", "to", "be"]] * 5)
    >>> near = EvaluateEvery(1, lambda vectors: vectors.similarity("to", "be"), corpus.vocabulary)
    >>> _ = train(corpus, TrainConfig(dim=8, sample=0.0), callbacks=[near])
    >>> near.best.similarity("to", "be") == near.best_score == max(score for step, score in near.scores)
    True
    """

    def __init__(
        self, steps: int, measure: Callable[[KeyedVectors], float], vocabulary: Vocabulary,
        objective: Objective | None = "negative-sampling", *, patience: int | None = None,
    ) -> None:  # fmt: skip
        for name, value in (("steps", steps), ("patience", patience)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        self.every, self.measure, self.vocabulary, self.objective = steps, measure, vocabulary, objective
        self.patience = patience
        self.last = 0
        self.scores: list[tuple[int, float]] = []
        """(step, what was measured there)."""
        self.best: KeyedVectors | None = None
        self.best_score = -math.inf
        self.worse = 0
        """Measurements since the best."""

    def __call__(self, report: Report, params: Params) -> bool:
        crossed = report.step // self.every > self.last // self.every
        self.last = report.step
        if not crossed:
            return False
        found = vectors_of(jax.tree.map(jnp.copy, params), self.vocabulary, self.objective)
        score = float(self.measure(found))
        self.scores.append((report.step, score))
        self.worse += 1
        if score > self.best_score:
            self.best, self.best_score, self.worse = found, score, 0
        return self.patience is not None and self.worse >= self.patience
