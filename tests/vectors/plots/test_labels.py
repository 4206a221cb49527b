"""Labels are beside their points, within the frame, and do not overlap."""

import re
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import FontEntry
from matplotlib.ft2font import FT2Font
from matplotlib.text import Annotation

from w2v_jax.vectors.plots import canvas
from w2v_jax.vectors.plots.canvas import find_fonts, new_figure
from w2v_jax.vectors.plots.labels import draw_words, place_labels, printable

NO_MARKS = np.empty((0, 2))
FRAME = np.array([(0.0, 0.0), (300.0, 200.0)])


def test_letters_come_from_any_font_and_words_drawn_as_boxes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    plain, other = (FT2Font(str(folder / name)).get_charmap() for name in ("DejaVuSans.ttf", "STIXNonUni.ttf"))
    letter = chr(min(other.keys() - plain.keys()))
    shutil.copy(folder / "STIXNonUni.ttf", tmp_path)
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    fonts = [FontEntry(str(tmp_path / name), name=name) for name in ("damaged.ttf", "STIXNonUni.ttf")]
    fonts += [font for font in canvas.fontManager.ttflist if font.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(canvas.fontManager, "ttflist", fonts)
    assert find_fonts("a" + letter) == (["sans-serif", "STIXNonUni.ttf"], set())
    assert find_fonts("a字") == (["sans-serif"], {"字"})
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]])
    boxes = "w2v_jax: 2 words are drawn as boxes, .*: 字a, 한; .*html map\n"
    for words, said in ((["a", "b", "c"], ""), (["字a", "b", "한"], boxes)):
        axes = new_figure(points, "title", margin=0.1)[1]
        draw_words(axes, words, points, ["red"] * 3, areas=[9.0] * 3, bold=[False] * 3)
        assert re.fullmatch(said, capsys.readouterr().err)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_labels_never_overlap(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points, sizes = rng.uniform(FRAME[0], FRAME[1], (count, 2)), rng.uniform(4, 60, (count, 2))
    corners = place_labels(points, sizes, FRAME, np.full(count, 3.0), NO_MARKS)
    placed = np.flatnonzero(np.isfinite(corners).all(1))
    low, high = corners[placed], corners[placed] + sizes[placed]
    assert (low >= FRAME[0]).all()
    assert (high <= FRAME[1]).all()
    for i in range(len(placed)):
        for j in range(i):
            assert (high[i] <= low[j]).any() or (high[j] <= low[i]).any()
        beside = np.maximum(low[i] - points[placed[i]], points[placed[i]] - high[i]).max()
        assert beside == pytest.approx(3)


def test_a_label_is_omitted_only_without_a_free_place() -> None:
    crowd = np.full((9, 2), 100.0)
    corners = place_labels(crowd, np.full((9, 2), 4.0), FRAME, np.full(9, 3.0), NO_MARKS)
    assert np.isfinite(corners[:8]).all()  # one word on each of the eight sides
    assert np.isnan(corners[8]).all()


def test_labels_avoid_marks() -> None:
    point, size = np.array([(100.0, 100.0)]), np.array([(40.0, 10.0)])
    on_the_right = np.array([(120.0, 100.0)])
    (free,) = place_labels(point, size, FRAME, np.full(1, 3.0), NO_MARKS)
    (avoiding,) = place_labels(point, size, FRAME, np.full(1, 3.0), on_the_right)
    assert (free.tolist(), avoiding.tolist()) == ([103, 95], [57, 95])
    both = np.concatenate([point, on_the_right + [0, 7]])  # a mark that covers the first side
    corners = place_labels(both, np.full((2, 2), 10.0) * [4, 1], FRAME, np.array([3.0, 9.0]), NO_MARKS)
    assert corners[0].tolist() == [57, 95]


def test_drawn_labels_never_overlap_and_are_beside_their_points() -> None:
    points = np.random.default_rng(0).normal(size=(300, 2))
    _, axes = new_figure(points, "a title", margin=0.05)
    words = [f"word{i}" for i in range(300)]
    draw_words(axes, words, points, ["#000000"] * 300, areas=[9.0] * 300, bold=[i % 9 == 0 for i in range(300)])
    texts = [text for text in axes.texts if isinstance(text, Annotation)]
    assert 100 < len(texts) < 300  # some have no free place
    boxes = [text.get_window_extent() for text in texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    for text, box in zip(texts, boxes, strict=True):
        point = axes.transData.transform(points[words.index(text.get_text())])
        assert np.maximum(box.min - point, point - box.max).max() < 8  # pixels


def test_words_are_shortened_and_made_printable() -> None:
    assert printable("word") == "word"
    assert printable("a\tb\x00\ud800") == "a\ufffdb\ufffd\ufffd"
    assert len(printable("x" * 10**6)) == 30
