"""CountsConfig checks its fields."""

from typing import Any

import pytest

from w2v_jax.counts.config import CountsConfig
from w2v_jax.errors import InputError


@pytest.mark.parametrize(
    "fields",
    [{"dim": 0}, {"dim": True}, {"window": 2**31}, {"epochs": 1.5}, {"sample": -1}, {"sample": float("nan")},
     {"seed": -1}, {"seed": 2**32}, {"distance": "near"}, {"count_power": 0}, {"context_smoothing": 1.1},
     {"subsample_rounds": 1001}],
)  # fmt: skip
def test_fields_out_of_range_are_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    with pytest.raises(InputError, match=f"^{name} is {fields[name]}; it must be"):
        CountsConfig(**fields)
    CountsConfig(sample=0, subsample_rounds=1000, count_power=1, seed=2**32 - 1)
