"""Project word vectors to the plane, so that similar words are close, and cluster them for colors."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.vq import kmeans, vq

from ...errors import InputError
from ..keyed_vectors import KeyedVectors
from .canvas import COLORS

Method = Literal["pca", "tsne"]
METHODS: dict[Method, str] = {"pca": "PCA", "tsne": "t-SNE"}


def unit_vectors(vectors: KeyedVectors, words: Sequence[str]) -> Float[np.ndarray, "n D"]:
    """Return the words' vectors, scaled to length 1; refuse fewer than two words."""
    if len(words) < 2:
        raise InputError(f"a map needs two words or more, and has {len(words)}")
    return vectors.unit[[vectors.vocabulary[word] for word in words]]


def project(rows: Float[np.ndarray, "n D"], method: Method) -> Float[np.ndarray, "n 2"]:
    """Project rows to the plane by PCA, or by t-SNE (van der Maaten and Hinton, 2008); the result is deterministic.

    PCA shows the two directions of greatest variance. t-SNE keeps neighbours close, and distorts large distances.
    """
    points = principal_axes(rows, 2)
    if method == "pca":
        return points
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise InputError("t-SNE needs scikit-learn: pip install scikit-learn, or choose the method pca") from None
    start = 1e-4 * points / max(points.std(), 1e-30)
    model = TSNE(perplexity=min(30.0, (len(rows) - 1) / 3), init=start.astype(np.float32), random_state=0)
    return np.asarray(model.fit_transform(rows), np.float64)


def principal_axes(rows: Float[np.ndarray, "n D"], count: int) -> Float[np.ndarray, "n count"]:
    """Return the rows' coordinates on the axes of greatest variance (PCA), with deterministic signs.

    >>> principal_axes(np.array([(0.0, 3.0), (0.0, -3.0), (1.0, 0.0), (-1.0, 0.0)]), 1).round(6)[:2, 0].tolist()
    [3.0, -3.0]
    """
    centered = rows.astype(np.float64) - rows.mean(0)
    left, scale, right = np.linalg.svd(centered, full_matrices=False)
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    axes = (left * scale * sign)[:, :count]
    return np.pad(axes, [(0, 0), (0, count - axes.shape[1])])  # fewer rows or dimensions than axes


def color_clusters(unit: Float[np.ndarray, "n D"]) -> Int[np.ndarray, " n"]:
    """Cluster similar words by k-means, into as many clusters as there are colors, or fewer for few words."""
    count = min(len(COLORS), 1 + len(unit) // 12)
    spread = principal_axes(unit, 1)[:, 0].argsort(kind="stable")[:: len(unit) // count][:count]
    return vq(unit, kmeans(unit, unit[spread])[0])[0]
