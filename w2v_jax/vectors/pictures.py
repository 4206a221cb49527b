"""Pictures of a training and of what it learned."""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from ..files import writing
from .keyed_vectors import KeyedVectors


def draw_loss_curve(
    words: Sequence[int], loss: Sequence[float], path: str | os.PathLike[str], *, title: str = "training loss"
) -> None:
    """Mean loss per target, in nats, against the tokens of the corpus read; a PNG or SVG by the path's ending."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(np.array(words) / 1e6, loss, color="tab:blue")
    axes.set(xlabel="words read, millions", ylabel="loss per target, nats", title=title)
    axes.grid(alpha=0.3)
    _save(figure, path)


def draw_word_map(
    vectors: KeyedVectors, seeds: Sequence[str], path: str | os.PathLike[str], *, neighbors: int = 8
) -> None:
    """Each seed word and the words nearest to it, in one color, on the two axes along which they differ most.

    A label that would cover another is left out; its point stays.

    Raises:
      InputError: a seed has no vector, or the path cannot be written.
    """
    groups = vectors.most_similar_each(list(seeds), topn=neighbors)
    words = [[seed, *(word for word, _ in group)] for seed, group in zip(seeds, groups, strict=True)]
    unit = np.stack([vectors.unit[vectors.vocabulary[word]] for group in words for word in group])
    points = principal_axes(unit, 2)
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title="words and their nearest neighbours", xticks=[], yticks=[])
    axes.margins(0.12)
    taken: list[tuple[str, Float[np.ndarray, " 2"], str]] = []
    start = 0
    for number, group in enumerate(words):
        color = f"C{number % 10}"
        mine = points[start : start + len(group)]
        axes.scatter(mine[:, 0], mine[:, 1], s=[60] + [18] * (len(group) - 1), color=color)
        taken += [(word, point, color) for word, point in zip(group, mine, strict=True)]
        start += len(group)
    seeds_first = sorted(taken, key=lambda label: label[0] not in seeds)
    _label(figure, axes, seeds_first, bold=set(seeds))
    _save(figure, path)


def principal_axes(rows: Float[np.ndarray, "n D"], count: int) -> Float[np.ndarray, "n count"]:
    """The rows' coordinates on the axes of greatest variance (PCA), each axis pointing a fixed way."""
    centered = rows - rows.mean(0)
    left, scale, right = np.linalg.svd(centered, full_matrices=False)
    sign = np.sign(right[np.arange(len(right)), np.abs(right).argmax(1)])
    return np.asarray((left * scale * sign)[:, :count])


def _label(
    figure: Figure, axes: Axes, labels: Sequence[tuple[str, Float[np.ndarray, " 2"], str]], bold: set[str]
) -> None:
    """Write each word beside its point, unless another label is there."""
    figure.draw_without_rendering()
    boxes: list[Bbox] = []
    for word, point, color in labels:
        text = axes.annotate(
            word, (point[0], point[1]), (4, 4), textcoords="offset points", color=color,
            fontsize=11 if word in bold else 8, fontweight="bold" if word in bold else "normal",
        )  # fmt: skip
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in boxes):
            text.remove()
        else:
            boxes.append(box)


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    with writing(path) as file:
        figure.savefig(file, format="svg" if os.fspath(path).endswith(".svg") else "png", dpi=150)
