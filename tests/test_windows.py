"""Windows, against Figure 1, against a loop, and against the draws that they are the expectation of."""

import jax.numpy as jnp
import numpy as np
import pytest

from w2v_jax.config import TILE
from w2v_jax.windows import context_weights

FIGURE_1 = ["problems", "turning", "into", "banking", "crises", "as"]


def outside_words(window: int, lines: list[int], center: str) -> dict[str, float]:
    """The outside words of a word in Figure 1's sentence, with their weights."""
    all_lines = jnp.array([-1] * window + lines + [-1] * (TILE + window - len(lines)), jnp.int32)
    row = context_weights(all_lines, window=window)[FIGURE_1.index(center), window:].tolist()
    return {word: weight for word, weight in zip(FIGURE_1, row, strict=False) if weight}


def test_figure_1() -> None:
    assert outside_words(2, [0] * 6, "banking") == {"turning": 0.5, "into": 1, "crises": 1, "as": 0.5}
    assert outside_words(2, [0] * 6, "problems") == {"turning": 1, "into": 0.5}
    assert list(outside_words(5, [0] * 6, "into")) == ["problems", "turning", "banking", "crises", "as"]


def test_windows_stop_at_line_ends() -> None:
    assert outside_words(2, [0, 0, 0, 1, 1, 1], "banking") == {"crises": 1, "as": 0.5}
    assert outside_words(2, [0, 0, 0, 1, 2, 2], "banking") == {}


@pytest.mark.parametrize("window", [1, 5, 40])
@pytest.mark.parametrize("beyond", [0, 7])
def test_weights_are_the_share_of_draws_that_reach_so_far(window: int, beyond: int) -> None:
    rng = np.random.default_rng(0)
    reached = [np.mean([0 < distance <= reach for reach in range(1, window + 1)]) for distance in range(500)]
    for past_the_end in (0, 5):
        lines = np.sort(rng.integers(0, 4, TILE + 2 * window + beyond))
        lines[len(lines) - past_the_end :] = -1
        weights = np.asarray(context_weights(jnp.asarray(lines, jnp.int32), window=window))
        for i in range(TILE):
            at = window + i
            drawn = [reached[abs(j - at)] * (lines[j] == lines[at] >= 0) for j in range(len(lines))]
            np.testing.assert_allclose(weights[i], drawn, rtol=1e-6)
        assert weights.any()
        assert not weights[:, TILE + 2 * window :].any()
