"""Pictures appear whole, show what they should, and are the same each time."""

import json
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from w2v_jax.errors import InputError
from w2v_jax.vectors.keyed_vectors import KeyedVectors
from w2v_jax.vectors.pictures.analogies import draw_analogies, plane_of_best_fit
from w2v_jax.vectors.pictures.curves import draw_curves, read_reports
from w2v_jax.vectors.pictures.interactive import write_interactive_map
from w2v_jax.vectors.pictures.neighborhood import around_the_first, draw_neighborhood, relative_neighbors, round_trip
from w2v_jax.vectors.pictures.word_map import draw_word_map, with_neighbors

Draw = Callable[[KeyedVectors, Path], None]
REPORTS = [{"words": 10 * i, "loss": 3 - 0.1 * i, "held_out_loss": 3.0 if i % 2 else None, "spearman": 0.1 * i}
           for i in range(1, 6)]  # fmt: skip
DRAWINGS: dict[str, Draw] = {
    "map": lambda vectors, path: draw_word_map(vectors, vectors.words, path),
    "neighbors": lambda vectors, path: draw_word_map(vectors, vectors.words[:3], path, neighbors=2),
    "analogies": lambda vectors, path: draw_analogies(
        vectors, list(zip(vectors.words[:3], vectors.words[9:12], strict=True)), path
    ),
    "neighborhood": lambda vectors, path: draw_neighborhood(vectors, vectors.words[0], path),
    "curves": lambda vectors, path: draw_curves(REPORTS, path),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_png_and_svg(name: str, vectors: KeyedVectors, tmp_path: Path) -> None:
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
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_any_word_can_be_drawn(name: str, ending: str, hostile: KeyedVectors, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{ending}"
    DRAWINGS[name](hostile, path)
    if ending == "svg":
        assert "alert" not in {element.tag for element in xml.etree.ElementTree.parse(path).iter()}
        assert b"\n<script" not in path.read_bytes()


@pytest.mark.parametrize(
    "draw", [*DRAWINGS.values(), lambda vectors, path: write_interactive_map(vectors, ["cat1"], path)]
)
def test_another_ending_is_refused(draw: Draw, vectors: KeyedVectors, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"picture.jpg: the ending must be .(png or .svg|html)$"):
        draw(vectors, tmp_path / "picture.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda vectors, path: draw_word_map(vectors, ["cat1", "dog"], path), "'dog' is not in the vocabulary"),
        (lambda vectors, path: draw_word_map(vectors, ["cat1", "cat1"], path), "a map of 1 word"),
        (lambda vectors, path: draw_word_map(vectors, [], path), "a map of 0 word"),
        (lambda vectors, path: draw_word_map(vectors, ["dog"], path, neighbors=3), "'dog' is not in the vocabulary"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "iron1")], path), "two pairs or more"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "iron1")] * 2, path), "two pairs or more"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "dog"), ("cat2", "run1")], path), "'dog' is not"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "run1"), ("cat2", "cat2")], path), "one word twice"),
        (lambda vectors, path: draw_analogies(vectors, [("cat1", "run1"), ("run1", "cat1")], path), "cancel out"),
        (lambda vectors, path: draw_neighborhood(vectors, "dog", path), "'dog' is not in the vocabulary"),
        (lambda vectors, path: draw_curves([], path), "no reports"),
    ],
)
def test_what_cannot_be_drawn(draw: Draw, message: str, vectors: KeyedVectors, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        draw(vectors, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_a_word_in_two_neighbourhoods_is_in_the_first(vectors: KeyedVectors) -> None:
    group = with_neighbors(vectors, ["cat0", "run0", "cat1"], 8)
    assert group == {"cat0": 0, "run0": 1, "cat1": 2} | {f"cat{i}": 0 for i in range(2, 9)} | {
        f"run{i}": 1 for i in range(1, 9)
    }


def test_mathematics_in_a_title(hostile: KeyedVectors, tmp_path: Path) -> None:
    draw_neighborhood(hostile, "$x^$", tmp_path / "near.png")
    assert (tmp_path / "near.png").read_bytes().startswith(b"\x89PNG")


def test_a_word_without_neighbours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'only' has no neighbours"):
        draw_neighborhood(KeyedVectors(["only"], np.ones((1, 3), np.float32)), "only", tmp_path / "picture.png")


def test_words_that_all_lie_in_one_place(tmp_path: Path) -> None:
    same = KeyedVectors([f"w{i}" for i in range(20)], np.ones((20, 3), np.float32))
    draw_word_map(same, same.words, tmp_path / "map.png")
    draw_neighborhood(same, "w0", tmp_path / "near.png")
    with pytest.raises(InputError, match="cancel out"):
        draw_analogies(same, [("w1", "w2"), ("w3", "w4")], tmp_path / "analogies.png")


def test_parallel_pairs_are_drawn_parallel() -> None:
    rng = np.random.default_rng(0)
    starts, shift = rng.normal(size=(5, 8)), rng.normal(size=8)
    tails, heads = plane_of_best_fit(starts, starts + shift)
    arrows = heads - tails
    np.testing.assert_allclose(arrows[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(arrows[:, 1], np.linalg.norm(shift))
    assert np.linalg.norm(tails[0] - tails[1]) <= np.linalg.norm(starts[0] - starts[1])
    assert tails[:, 0].std() > 0.3  # apart from each other


def test_neighbours_stand_as_far_off_as_they_are(vectors: KeyedVectors) -> None:
    unit = np.asarray(vectors.unit, np.float64)
    points = around_the_first(unit)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1 - unit @ unit[0], atol=1e-6)


def test_like_neighbours_stand_side_by_side(vectors: KeyedVectors) -> None:
    unit = np.asarray(vectors.unit, np.float64)
    order = round_trip(unit)
    assert sorted(order.tolist()) == list(range(27))
    kinds = order // 9
    assert (kinds != np.roll(kinds, 1)).sum() == 3  # each kind is one stretch of the way
    length = lambda order: (1 - unit[order] @ unit[np.roll(order, -1)].T).trace()
    for i in range(27):  # no stretch of it can be turned for the better
        for j in range(i + 2, 27):
            turned = np.concatenate([order[:i], order[i:j][::-1], order[j:]])
            assert length(turned) > length(order) - 1e-9


def test_lines_join_relative_neighbours() -> None:
    angles = np.radians([0, 20, 50, 55])
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert relative_neighbors(unit).tolist() == [[0, 1], [1, 2], [2, 3]]


def test_reports_are_read_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text("".join(json.dumps(report) + "\n" for report in REPORTS))
    reports = read_reports(path)
    assert reports[1] == {"words": 20, "loss": 2.8, "spearman": 0.2}
    assert [report["words"] for report in reports] == [10, 20, 30, 40, 50]


def test_what_a_resumed_training_does_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    told = [(10, 3.0), (20, 2.0), (30, 1.0), (20, 2.5), (40, 0.5)]
    path.write_text("".join(json.dumps({"words": words, "loss": loss}) + "\n" for words, loss in told))
    assert [(report["words"], report["loss"]) for report in read_reports(path)] == [(10, 3.0), (20, 2.5), (40, 0.5)]


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[1]", b"7", b'{"words": 1}', b'{"words": "1", "loss": 2}', b'{"words": 1, "loss": NaN}',
     b'{"words": 1, "loss": 1e999}', b'{"words": 1, "loss": ' + b"9" * 5_000 + b"}",
     b'{"words": 1, "loss": ' + b"9" * 400 + b"}", b"[" * 100_000, b"\xff", b'{"words": 1, "loss": null}'],
    ids=lambda line: repr(line[:25]),
)  # fmt: skip
def test_a_line_that_is_no_report(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_bytes(b'{"words": 1, "loss": 2}\n' + line + b"\n")
    with pytest.raises(InputError, match="reports.jsonl: line 2 is no report"):
        read_reports(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="reports.jsonl: holds no reports"):
        read_reports(path)
