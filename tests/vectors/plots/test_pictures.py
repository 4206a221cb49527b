"""Pictures are written whole, show their data, and are deterministic."""

import json
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from w2v_jax.errors import InputError
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.plots.curves import draw_curves, read_reports
from w2v_jax.vectors.plots.interactive import write_interactive_map as write_html
from w2v_jax.vectors.plots.pictures import (
    add_neighbors,
    draw_analogies,
    draw_neighborhood,
    draw_word_map,
    project_pairs,
    radial_layout,
    relative_neighborhood_graph,
)

Draw = Callable[[KeyedVectors, Path], None]
REPORTS = [{"words": 10 * i, "loss": 3 - 0.1 * i, "held_out_loss": 3.0 if i % 2 else None, "spearman": 0.1 * i}
           for i in range(1, 6)]  # fmt: skip
DRAWINGS: dict[str, Draw] = {
    "map": lambda vectors, path: draw_word_map(vectors, vectors.words, path),
    "neighbors": lambda vectors, path: draw_word_map(vectors, vectors.words[:3], path, neighbors=2),
    "analogies": lambda vectors, path: draw_analogies(
        vectors, list(zip(vectors.words[:3], vectors.words[9:12], strict=True)), path
    ),
    "neighborhood": lambda vectors, path: draw_neighborhood(vectors, vectors.words[5], path),  # titled $x^$
    "curves": lambda vectors, path: draw_curves(REPORTS, path),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_png_and_svg_are_deterministic(name: str, vectors: KeyedVectors, tmp_path: Path) -> None:
    for ending in ("png", "svg"):
        one, other = tmp_path / f"one.{ending}", tmp_path / f"other.{ending}"
        DRAWINGS[name](vectors, one)
        DRAWINGS[name](vectors, other)
        assert one.read_bytes() == other.read_bytes()
    assert xml.etree.ElementTree.fromstring((tmp_path / "one.svg").read_bytes()).tag.endswith("svg")
    image = imread(tmp_path / "one.png")
    assert min(image.shape[:2]) > 300
    assert (image[..., :3].min(-1) < 0.7).sum() > 500  # ink
    assert {path.name for path in tmp_path.iterdir()} == {"one.png", "one.svg", "other.png", "other.svg"}


@pytest.mark.parametrize("name", DRAWINGS)
def test_pictures_quote_hostile_words(name: str, hostile: KeyedVectors, tmp_path: Path) -> None:
    DRAWINGS[name](hostile, tmp_path / "picture.png")
    DRAWINGS[name](hostile, path := tmp_path / "picture.svg")
    assert "alert" not in {element.tag for element in xml.etree.ElementTree.parse(path).iter()}
    assert b"\n<script" not in path.read_bytes()


@pytest.mark.parametrize("draw", [*DRAWINGS.values(), lambda vectors, path: write_html(vectors, [], path)])
def test_other_endings_are_refused(draw: Draw, vectors: KeyedVectors, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"picture.jpg: the ending must be .(png or .svg|html)$"):
        draw(vectors, tmp_path / "picture.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda vectors, path: draw_word_map(vectors, ["cat1", "dog"], path), "'dog' is not in the vocabulary"),
        (lambda vectors, path: draw_word_map(vectors, ["cat1", "cat1"], path), "a map needs two words"),
        (lambda vectors, path: draw_word_map(vectors, [], path), "a map needs two words or more, and has 0"),
        (lambda vectors, path: draw_word_map(vectors, ["dog"], path, neighbors=3), "'dog' is not in the vocabulary"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "iron1")], path), "two pairs or more"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "iron1")] * 2, path), "two pairs or more"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "dog"), ("cat2", "run1")], path), "'dog' is not"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "run1"), ("cat2", "cat2")], path), "one word twice"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "run1"), ("run1", "cat1")], path), "cancel out"),
        (lambda vectors, path: draw_neighborhood(vectors, "dog", path), "'dog' is not in the vocabulary"),
        (lambda _, path: draw_neighborhood(KeyedVectors(["a"], np.ones((1, 3), np.float32)), "a", path), "'a' has no"),
        (lambda vectors, path: draw_curves([], path), "no reports"),
        (lambda vectors, path: write_html(vectors, ["dog", "cat1"], path.with_suffix(".html")), "'dog' is not in the"),
        (lambda vectors, path: write_html(vectors, ["cat1"], path.with_suffix(".html")), "a map needs two words"),
    ],
)
def test_invalid_input_writes_no_file(draw: Draw, message: str, vectors: KeyedVectors, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        draw(vectors, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_shared_neighbors_belong_to_the_first_word(vectors: KeyedVectors) -> None:
    others = {f"cat{i}": 0 for i in range(2, 9)} | {f"run{i}": 1 for i in range(1, 9)}
    assert add_neighbors(vectors, ["cat0", "run0", "cat1"], 8) == {"cat0": 0, "run0": 1, "cat1": 2} | others


def test_equal_vectors_can_be_drawn(tmp_path: Path) -> None:
    equal = KeyedVectors([f"w{i}" for i in range(20)], np.ones((20, 3), np.float32))
    draw_word_map(equal, equal.words, tmp_path / "map.png")
    draw_neighborhood(equal, "w0", tmp_path / "near.png")
    with pytest.raises(InputError, match="cancel out"):
        draw_analogies(equal, [("w1", "w2"), ("w3", "w4")], tmp_path / "analogies.png")


def test_parallel_pairs_are_drawn_parallel() -> None:
    rng = np.random.default_rng(0)
    starts, shift = rng.normal(size=(5, 8)), rng.normal(size=8)
    tails, heads = project_pairs(starts, starts + shift)
    arrows = heads - tails
    np.testing.assert_allclose(arrows[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(arrows[:, 1], np.linalg.norm(shift))
    assert np.linalg.norm(tails[0] - tails[1]) <= np.linalg.norm(starts[0] - starts[1])
    assert tails[:, 0].std() > 0.3  # spread out


def test_neighborhood_has_cosine_distances_and_keeps_clusters_together(vectors: KeyedVectors) -> None:
    unit = np.asarray(vectors.unit, np.float64)
    points = radial_layout(unit)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1 - unit @ unit[0], atol=1e-6)
    clusters = np.repeat(range(3), 9)[1:][np.arctan2(points[1:, 1], points[1:, 0]).argsort()]
    assert (clusters != np.roll(clusters, 1)).sum() == 3  # each cluster is contiguous


def test_relative_neighborhood_graph_of_four_directions() -> None:
    angles = np.radians([0, 20, 50, 55])
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert relative_neighborhood_graph(unit).tolist() == [[0, 1], [1, 2], [2, 3]]


def test_reports_of_a_resumed_training_replace_repeated_steps(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text("".join(json.dumps(report) + "\n" for report in [*REPORTS, REPORTS[2] | {"loss": 9}, REPORTS[3]]))
    reports = read_reports(path)
    assert reports[1] == {"words": 20, "loss": 2.8, "spearman": 0.2}
    assert [(report["words"], report["loss"]) for report in reports] == [(10, 2.9), (20, 2.8), (30, 9), (40, 2.6)]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[1]", b"7", b'{"words": 1}', b'{"words": "1", "loss": 2}', b'{"words": 1, "loss": NaN}',
     b'{"words": 1, "loss": 1e999}', b'{"words": 1, "loss": ' + b"9" * 5_000 + b"}",
     b'{"words": 1, "loss": ' + b"9" * 400 + b"}", b"[" * 100_000, b"\xff", b'{"words": 1, "loss": null}'],
    ids=lambda line: repr(line[:25]),
)  # fmt: skip
def test_lines_that_are_not_reports_are_refused(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_bytes(b'{"words": 1, "loss": 2}\n' + line + b"\n")
    with pytest.raises(InputError, match="reports.jsonl: line 2 is not (a report|UTF-8)"):
        read_reports(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="reports.jsonl: holds no reports"):
        read_reports(path)
