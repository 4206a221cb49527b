"""Configs check their fields when they are made."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2v_jax.config import CheckpointConfig, MeshConfig, ProcessConfig, StreamConfig, TextConfig, TrainConfig
from w2v_jax.counts.config import CountsConfig
from w2v_jax.errors import InputError

OUT_OF_RANGE: list[tuple[type, str, list[Any]]] = [
    (TrainConfig, "dim", [0, -1, 2**31, 1.5, True, np.float64(8), np.True_]),
    (TrainConfig, "negative", [0]),
    (TrainConfig, "shared_negatives", [0]),
    (TrainConfig, "noise_power", [math.nan, 3.0, []]),
    (TrainConfig, "lr", [0, -0.025, math.nan, math.inf, "fast", True, np.float32(math.nan)]),
    (TrainConfig, "whitening", [-0.1, 0.6, math.nan, "0.1"]),
    (StreamConfig, "window", [0]),
    (TrainConfig, "window", [0]),
    (StreamConfig, "epochs", [0]),
    (StreamConfig, "batch_tokens", [0, 100]),
    (StreamConfig, "sample", [-1e-3, math.nan, {}, 10**400]),
    (StreamConfig, "seed", [-1, 2**32]),
    (StreamConfig, "held_out", [1.0, -0.1, None]),
    (TextConfig, "min_count", [0]),
    (TextConfig, "max_vocab", [0]),
    (TextConfig, "normalize", ["NFX"]),
    (TextConfig, "lowercase", ["no", 1]),
    (TextConfig, "field", ["", 3]),
    (CheckpointConfig, "checkpoint_dir", [3]),
    (CountsConfig, "count_power", [{}]),
    (CountsConfig, "context_smoothing", ["1"]),
    (CountsConfig, "distance", [{}]),
    (MeshConfig, "devices", [0]),
    (MeshConfig, "vocabulary_shards", [0]),
    (MeshConfig, "local_steps", [0, 1 << 16]),
    (ProcessConfig, "timeout", [0]),
    (CheckpointConfig, "checkpoint_every", [0]),
]


@pytest.mark.parametrize(
    ("config", "field", "value"), [(config, field, value) for config, field, values in OUT_OF_RANGE for value in values]
)
def test_field_out_of_range_is_named(config: Any, field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{field} is .*; it must be [^\n]*$"):
        config(**{field: value})


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (MeshConfig, {"local_steps": 4}, "local_steps is 4, which needs several devices, each with whole tables"),
        (MeshConfig, {"local_steps": 4, "devices": 1}, "local_steps is 4, which needs several devices"),
        (MeshConfig, {"local_steps": 4, "devices": 8, "vocabulary_shards": 4}, "no --vocabulary-shards"),
        (ProcessConfig, {"coordinator": "localhost:1"}, "need --coordinator, --processes and --process, all three"),
        (ProcessConfig, {"processes": 2, "process": 0}, "need --coordinator"),
        (ProcessConfig, {"cluster": True, "process": 0}, "or --cluster alone"),
        (ProcessConfig, {"coordinator": "a:1", "processes": 2, "process": 2}, "process is 2.* integer from 0 to 1"),
        (CheckpointConfig, {"resume": True}, "resume needs the folder of the checkpoints"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(config: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        config(**fields)


def test_numpy_scalars_become_numbers_of_python() -> None:
    config = TrainConfig(dim=np.int64(16), seed=np.uint32(3), lr=np.float32(0.5), sample=np.float64(0))
    values = (config.dim, config.seed, config.lr, config.sample, TextConfig(lowercase=np.True_).lowercase)
    assert values == (16, 3, 0.5, 0.0, True)
    assert [type(value) for value in values] == [int, int, float, float, bool]


def test_tilde_in_a_path_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert CheckpointConfig(checkpoint_dir="~/ck").checkpoint_dir == Path("/home/me/ck")
    assert CountsConfig(counts_dir=Path("~")).counts_dir == Path("/home/me")


def test_configs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().dim = 3  # type: ignore[misc]
