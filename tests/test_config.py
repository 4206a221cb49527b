"""Configs are checked when they are made."""

import dataclasses
import math
from typing import Any

import pytest

from w2v_jax.config import CountsConfig, TextConfig, TrainConfig
from w2v_jax.errors import InputError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dim", 0), ("dim", -1), ("window", 0), ("epochs", 0), ("negative", 0), ("noise", 0), ("block", 0),
        ("block", 100), ("sample", -1e-3), ("sample", math.nan), ("lr", 0), ("lr", -0.025), ("lr", math.nan),
        ("lr", math.inf), ("seed", -1), ("seed", 2**32), ("held_out", 1.0), ("held_out", -0.1),
        ("objective", "hierarchical"), ("noise_power", math.nan), ("noise_power", 3.0),
        ("lr", "fast"), ("lr", True), ("sample", {}), ("sample", 10**400), ("held_out", None), ("noise_power", []),
    ],
)  # fmt: skip
def test_a_training_field_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{field} is .*; it must be [^\n]*$"):
        TrainConfig(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("min_count", 0), ("max_vocab", 0), ("normalize", "NFX")])
def test_a_text_field_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{field} is .*; it must be [^\n]*$"):
        TextConfig(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("count_power", {}), ("context_power", "1"), ("distance", {})])
def test_a_counts_field_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{field} is .*; it must be [^\n]*$"):
        CountsConfig(**{field: value})


def test_configs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().dim = 3  # type: ignore[misc]
