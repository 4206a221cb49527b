"""Pictures are drawn, and show what they should."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from w2v_jax.errors import InputError
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.pictures import draw_loss_curve, draw_word_map, principal_axes


@pytest.fixture
def vectors() -> KeyedVectors:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(3, 10))
    words = [f"{name}{i}" for name in ("cat", "iron", "run") for i in range(9)]
    table = np.repeat(centers, 9, axis=0) + 0.1 * rng.normal(size=(27, 10))
    return KeyedVectors(words, table.astype(np.float32))


def test_loss_curve(tmp_path: Path) -> None:
    draw_loss_curve([10, 20, 30], [3.0, 2.5, 2.4], tmp_path / "loss.png")
    image = imread(tmp_path / "loss.png")
    assert image.shape[0] > 300
    assert (image[..., :3].min(-1) < 0.5).sum() > 500  # ink


def test_word_map(vectors: KeyedVectors, tmp_path: Path) -> None:
    draw_word_map(vectors, ["cat0", "iron0", "run0"], tmp_path / "map.svg")
    assert (tmp_path / "map.svg").read_text().startswith("<?xml")
    with pytest.raises(InputError, match="'dog' is not in the vocabulary"):
        draw_word_map(vectors, ["dog"], tmp_path / "other.png")
    assert not (tmp_path / "other.png").exists()


def test_principal_axes_are_those_of_greatest_variance() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 3)) * [1, 5, 0.1]
    points = principal_axes(rows, 2)
    assert abs(np.corrcoef(points[:, 0], rows[:, 1])[0, 1]) > 0.999
    assert abs(np.corrcoef(points[:, 1], rows[:, 0])[0, 1]) > 0.99
