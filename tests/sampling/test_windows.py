"""Windows, against Figure 1, and against the draws that they are the expectation of."""

import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.config import TILE
from w2v_jax.sampling.windows import context_weights

FIGURE_1 = ["problems", "turning", "into", "banking", "crises", "as"]


def outside_words(window: int, lines: list[int], center: str) -> dict[str, float]:
    """Return the outside words of a word in Figure 1's sentence, with their weights."""
    all_lines = jnp.array([-1] * window + lines + [-1] * (TILE + window - len(lines)), jnp.int32)
    row = context_weights(all_lines, window=window)[FIGURE_1.index(center), window:].tolist()
    return {word: weight for word, weight in zip(FIGURE_1, row, strict=False) if weight}


def test_figure_1() -> None:
    assert outside_words(2, [0] * 6, "banking") == {"turning": 0.5, "into": 1, "crises": 1, "as": 0.5}
    assert outside_words(2, [0] * 6, "problems") == {"turning": 1, "into": 0.5}
    assert list(outside_words(5, [0] * 6, "into")) == ["problems", "turning", "banking", "crises", "as"]
    # Windows stop at line ends.
    assert outside_words(2, [0, 0, 0, 1, 1, 1], "banking") == {"crises": 1, "as": 0.5}
    assert outside_words(2, [0, 0, 0, 1, 2, 2], "banking") == {}


@pytest.mark.parametrize(("window", "halo"), [(1, 1), (5, 5), (40, 40), (40, 7)])
@pytest.mark.parametrize("after_text", [0, 5])
def test_weight_is_the_share_of_window_draws_that_reach_the_word(window: int, halo: int, after_text: int) -> None:
    reached = [np.mean([0 < distance <= reach for reach in range(1, window + 1)]) for distance in range(500)]
    lines = np.sort(np.random.default_rng(0).integers(0, 4, (3, TILE + 2 * halo)), axis=1)
    lines[:, lines.shape[1] - after_text :] = -1
    weights = np.asarray(context_weights(jnp.asarray(lines, jnp.int32), window=window))
    assert weights.shape == (3, TILE, TILE + 2 * halo)
    for g, i in np.ndindex(3, TILE):
        same_line = (lines[g] == lines[g, halo + i]) & (lines[g] >= 0)
        expected = [reached[abs(j - halo - i)] * same for j, same in enumerate(same_line)]
        np.testing.assert_allclose(weights[g, i], expected, rtol=1e-6)
    assert weights.any()
