"""Similar words are close, and layouts are deterministic."""

import numpy as np
import pytest

from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.plots.layout import Method, color_clusters, principal_axes, project


def test_principal_axes_have_the_greatest_variance_and_fixed_signs() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 3)) * [1, 5, 0.1]
    for variant in (rows, -rows, rows[::-1], rows * [-1, 1, 1]):
        points = principal_axes(variant, 2)
        assert np.corrcoef(points[:, 0], variant[:, 1])[0, 1] > 0.999
        assert np.corrcoef(points[:, 1], variant[:, 0])[0, 1] > 0.99


@pytest.mark.parametrize("shape", [(2, 5), (5, 1), (2, 1)])
def test_principal_axes_of_few_words_or_dimensions(shape: tuple[int, int]) -> None:
    points = principal_axes(np.random.default_rng(0).normal(size=shape), 2)
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_similar_words_are_close(method: Method, vectors: KeyedVectors) -> None:
    if method == "tsne":
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    unit = np.asarray(vectors.unit)
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):  # so few words keep no second thread busy
        points, again = project(unit, method), project(unit, method)
        few = [project(unit[:count], method) for count in (2, 3, 5)]
    np.testing.assert_array_equal(points, again)
    centers = points.reshape(3, 9, 2).mean(1)
    nearest = np.linalg.norm(points[:, None] - centers, axis=-1).argmin(1)
    np.testing.assert_array_equal(nearest, np.repeat(range(3), 9))
    assert all(np.isfinite(layout).all() for layout in few)


def test_similar_words_have_one_color(vectors: KeyedVectors) -> None:
    clusters = color_clusters(np.asarray(vectors.unit)).reshape(3, 9)
    assert (clusters == clusters[:, :1]).all()
    assert set(clusters[:, 0].tolist()) == {0, 1, 2}
    assert set(color_clusters(np.ones((200, 3), np.float32)).tolist()) == {0}
