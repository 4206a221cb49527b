"""Subsampling of frequent words."""

import numpy as np
from jaxtyping import Float, Integer


def keep_probabilities(counts: Integer[np.ndarray, " V"], sample: float) -> Float[np.ndarray, " V"]:
    """Return the probability that subsampling keeps a token of each word (word2vec.c, 2013), in float64.

    With f = count/total and t = `sample`: keep = √(t/f) + t/f, at most 1. (The paper's Equation 5,
    Mikolov et al., 2013b, has √(t/f) alone; every implementation since word2vec.c adds t/f.)
    `sample` 0 keeps every token.

    >>> keep_probabilities(np.array([90, 10]), sample=0.1).round(3).tolist()
    [0.444, 1.0]
    """
    if sample == 0:
        return np.ones(len(counts))
    ratio = sample * counts.sum() / np.maximum(counts, 1)
    return np.minimum(np.sqrt(ratio) + ratio, 1.0)
