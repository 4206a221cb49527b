"""Like words lie together, at the same places each time."""

import sys

import numpy as np
import pytest

from w2v_jax.errors import InputError
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.pictures.layout import Method, groups, positions, principal_axes


def test_principal_axes_are_those_of_greatest_variance() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 3)) * [1, 5, 0.1]
    for turned in (rows, -rows, rows[::-1], rows * [-1, 1, 1]):
        points = principal_axes(turned, 2)
        assert np.corrcoef(points[:, 0], turned[:, 1])[0, 1] > 0.999  # never the other way round
        assert np.corrcoef(points[:, 1], turned[:, 0])[0, 1] > 0.99


@pytest.mark.parametrize("shape", [(2, 5), (5, 1), (2, 1)])
def test_few_words_and_few_numbers(shape: tuple[int, int]) -> None:
    points = principal_axes(np.random.default_rng(0).normal(size=shape), 2)
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_like_words_lie_together(method: Method, vectors: KeyedVectors) -> None:
    if method == "tsne":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    unit = np.asarray(vectors.unit)
    points = positions(unit, method)
    np.testing.assert_array_equal(points, positions(unit, method))
    centers = points.reshape(3, 9, 2).mean(1)
    nearest = np.linalg.norm(points[:, None] - centers, axis=-1).argmin(1)
    np.testing.assert_array_equal(nearest, np.repeat(range(3), 9))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_tsne_of_few_words(count: int, vectors: KeyedVectors) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    assert np.isfinite(positions(np.asarray(vectors.unit)[:count], "tsne")).all()


def test_tsne_without_scikit_learn(vectors: KeyedVectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        positions(np.asarray(vectors.unit), "tsne")


def test_groups_are_of_like_words(vectors: KeyedVectors) -> None:
    member = groups(np.asarray(vectors.unit), 3).reshape(3, 9)
    assert (member == member[:, :1]).all()
    assert set(member[:, 0].tolist()) == {0, 1, 2}
    assert groups(np.zeros((4, 3), np.float32), 2).shape == (4,)
