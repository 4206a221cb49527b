"""Where words lie on a map: two numbers for each vector, such that like words lie together."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ...errors import InputError

Method = Literal["pca", "tsne"]
ROUNDS = 20  # of k-means: the groups only color the map


def positions(rows: Float[np.ndarray, "n D"], method: Method) -> Float[np.ndarray, "n 2"]:
    """Places on a map, the same each time: by PCA, or by t-SNE (van der Maaten and Hinton, 2008) from scikit-learn.

    PCA shows the two directions in which the words differ most; t-SNE keeps each word's neighbours near it,
    and distances between far words mean little there.

    Raises:
      InputError: t-SNE is asked for where scikit-learn is not installed.
    """
    start = principal_axes(rows, 2)
    if method == "pca":
        return start
    try:
        from sklearn.manifold import TSNE
    except ImportError:
        raise InputError("t-SNE needs scikit-learn: pip install scikit-learn, or choose the method pca") from None
    n = len(rows)
    start = 1e-4 * start / max(start.std(), 1e-30)
    model = TSNE(perplexity=min(30.0, (n - 1) / 3), init=start.astype(np.float32), random_state=0)
    return np.asarray(model.fit_transform(rows), np.float64)


def principal_axes(rows: Float[np.ndarray, "n D"], count: int) -> Float[np.ndarray, "n count"]:
    """The rows' coordinates on the axes of greatest variance (PCA), each axis pointing a fixed way.

    >>> principal_axes(np.array([(0.0, 3.0), (0.0, -3.0), (1.0, 0.0), (-1.0, 0.0)]), 1).round(6)[:2, 0].tolist()
    [3.0, -3.0]
    """
    centered = rows.astype(np.float64) - rows.mean(0)
    left, scale, right = np.linalg.svd(centered, full_matrices=False)
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    axes = (left * scale * sign)[:, :count]
    return np.pad(axes, [(0, 0), (0, count - axes.shape[1])])  # fewer rows or numbers than axes


def groups(unit: Float[np.ndarray, "n D"], count: int) -> Int[np.ndarray, " n"]:
    """Which of `count` groups of like words each belongs to, by k-means on cosines, the same each time."""
    order = principal_axes(unit, 1)[:, 0].argsort(kind="stable")
    member = np.empty(len(unit), np.int64)
    for group, rows in enumerate(np.array_split(order, count)):
        member[rows] = group
    for _ in range(ROUNDS):
        centers = np.eye(count)[member].T @ unit
        centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), 1e-30)
        member = (unit @ centers.T).argmax(1)
    return member
