"""Windows, against Figure 1 and against a loop."""

import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.config import TILE
from w2v_jax.windows import Block, context_mask, context_masks

FIGURE_1 = ["problems", "turning", "into", "banking", "crises", "as"]


def outside_words(window: int, reach: int, lines: list[int], center: str) -> list[str]:
    """The outside words of a word in Figure 1's sentence, by the mask."""
    padding = [-1] * window
    all_lines = jnp.array([*padding, *lines, *padding], jnp.int32)
    mask = context_mask(all_lines, jnp.full(len(FIGURE_1), reach, jnp.int32), window=window)
    row = np.asarray(mask[FIGURE_1.index(center)])[window:-window]
    return [word for word, seen in zip(FIGURE_1, row, strict=True) if seen]


def test_figure_1() -> None:
    assert outside_words(2, 2, [0] * 6, "banking") == ["turning", "into", "crises", "as"]
    assert outside_words(2, 2, [0] * 6, "problems") == ["turning", "into"]
    assert outside_words(5, 2, [0] * 6, "into") == ["problems", "turning", "banking", "crises"]


def test_a_center_sees_as_far_as_its_reach() -> None:
    assert outside_words(3, 1, [0] * 6, "banking") == ["into", "crises"]


def test_windows_stop_at_line_ends() -> None:
    assert outside_words(2, 2, [0, 0, 0, 1, 1, 1], "banking") == ["crises", "as"]
    assert outside_words(2, 2, [0, 0, 0, 1, 2, 2], "banking") == []


@pytest.mark.parametrize("window", [1, 5, 40])
def test_masks_are_what_a_loop_says(window: int) -> None:
    rng = np.random.default_rng(0)
    shape = (3, TILE + 2 * window)
    lines = np.sort(rng.integers(0, 12, shape), axis=1)
    lines[2, -window - 5 :] = -1  # beyond the text, from the middle of a tile on
    reach = rng.integers(1, window + 1, (3, TILE))
    block = Block(jnp.zeros(shape, jnp.int32), jnp.asarray(lines, jnp.int32))
    masks = np.asarray(context_masks(block, jnp.asarray(reach, jnp.int32), window=window))
    for tile in range(3):
        for i in range(TILE):
            at = window + i
            for j in range(shape[1]):
                same_line = lines[tile, j] == lines[tile, at] >= 0
                assert masks[tile, i, j] == (same_line and 0 < abs(j - at) <= reach[tile, i])
    assert masks.any()
