"""Options of learning from co-occurrence counts, in frozen dataclasses that check their fields."""

import dataclasses
from numbers import Real
from pathlib import Path
from typing import Annotated, Literal

from ..config import CheckedConfig, PassConfig, PositiveInt, integer, one_of

Distance = Literal["linear", "flat", "harmonic"]
Power = Annotated[float, (Real, lambda power: 0 < power <= 1, "above 0 and at most 1")]


@dataclasses.dataclass(frozen=True)
class CountOptions(CheckedConfig):
    """How co-occurrences are counted and smoothed."""

    counts_dir: Path | None = None
    """Folder of the counts, reused where it exists; by default beside the encoded corpus."""
    distance: Annotated[Distance, one_of(Distance)] = "linear"
    """Weight of an outside word at distance d: (window + 1 − d)/window, 1, or 1/d."""
    subsample_rounds: Annotated[int, integer(0, 1001)] = 0
    """Subsample the text this many times and average the counts; 0 takes the expectation at original distances."""
    count_power: Power = 1.0
    """Raise the counts to this power: 1 is the exact softmax, .75 gives better vectors in few passes."""
    context_smoothing: Power = 1.0
    """Raise each word's share of the outside words to this power (Levy, Goldberg, Dagan, 2015)."""


@dataclasses.dataclass(frozen=True)
class CountsConfig(CountOptions, PassConfig):
    """How to train on counts."""

    dim: PositiveInt = 100
    """Dimension of a word vector (D)."""
