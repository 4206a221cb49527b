"""Every choice that reading a text and training on it makes, in frozen dataclasses checked when made."""

import dataclasses
import math
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

from .errors import InputError

TILE = 16  # consecutive tokens that meet in one matrix product (S)

Objective = Literal["negative-sampling", "naive-softmax", "softmax", "softmax-counts", "ppmi-svd"]
Distance = Literal["linear", "flat", "harmonic"]
UnicodeForm = Literal["NFC", "NFD", "NFKC", "NFKD"]


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """How text becomes words, and which of them get vectors.

    Raises:
      InputError: a field is out of its range.
    """

    min_count: int = 5
    """Words seen fewer times than this have no vector; windows close over them."""
    max_vocab: int | None = None
    """At most this many words, the most frequent ones; words known from an earlier text come first."""
    lowercase: bool = False
    """Make all letters small."""
    normalize: UnicodeForm | None = None
    """Unicode normalization, so that one spelling is one word."""

    def __post_init__(self) -> None:
        _check("min_count", self.min_count, _is_int(self.min_count, 1, 2**63), "an integer, at least 1")
        if self.max_vocab is not None:
            _check("max_vocab", self.max_vocab, _is_int(self.max_vocab, 1, 2**63), "an integer, at least 1")
        forms = get_args(UnicodeForm)
        if self.normalize is not None:
            _check("normalize", self.normalize, self.normalize in forms, f"one of {', '.join(forms)}")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Raises:
      InputError: a field is out of its range.

    >>> TrainConfig(dim=0)
    Traceback (most recent call last):
    w2v_jax.errors.InputError: dim is 0; it must be an integer from 1 to 2147483647
    """

    dim: int = 100
    """Numbers in a word vector (D); on one CPU device, multiples of 8 train a tenth faster than others."""
    window: int = 5
    """Outside words stand at most this many tokens from their center; near ones count more."""
    epochs: int = 5
    """Passes over the corpus, or over its counts."""
    sample: float = 1e-3
    """Subsampling threshold for frequent words, as a share of all tokens; 0 keeps every token."""
    negative: int = 5
    """Weight of the noise: negatives for each outside word."""
    noise_power: float = 0.75
    """Noise words are drawn by their counts to this power; 0 draws all words alike."""
    lr: float = 0.04
    """Learning rate at the start; it falls linearly to a ten-thousandth of itself."""
    seed: int = 0
    """The same seed gives the same vectors, bit for bit."""
    objective: Objective = "negative-sampling"
    """softmax scores every word of the vocabulary for every center: exact, and slow; naive-softmax is the same,
    and holds all the scores at once. softmax-counts is exact too, and learns from the co-occurrence counts of the
    whole corpus in each pass, whatever its length; ppmi-svd factors those counts, without training."""
    block: int = 1024
    """Tokens that a step trains on (T), a multiple of 16."""
    noise: int = 32
    """Noise words that 16 consecutive tokens draw and share (K)."""
    held_out: float = 0.0
    """Share of the corpus kept from training, to report its loss beside the training loss."""

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "negative", "block", "noise"):
            _check(name, getattr(self, name), _is_int(getattr(self, name), 1, 2**31), "an integer from 1 to 2147483647")
        _check("block", self.block, self.block % TILE == 0, f"a multiple of {TILE}")
        _check("seed", self.seed, _is_int(self.seed, 0, 2**32), "an integer from 0 to 4294967295")
        _check("sample", self.sample, 0 <= _number(self.sample) < 3e38, "0 (keep every token) or more")
        _check("noise_power", self.noise_power, -2 <= _number(self.noise_power) <= 2, "a number from -2 to 2")
        _check("lr", self.lr, 0 < _number(self.lr) < 3e38, "a number above 0 (and in float32)")
        _check("held_out", self.held_out, 0 <= _number(self.held_out) < 1, "at least 0 and under 1")
        objectives = get_args(Objective)
        _check("objective", self.objective, self.objective in objectives, f"one of {', '.join(objectives)}")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Which devices train, and how the tables are shared out over them.

    Raises:
      InputError: a field is out of its range.
    """

    devices: int | None = None
    """Devices that train; by default one, or, where several processes train together, all. A CPU is as many as are
    asked for here, up to its cores, unless JAX has begun, or was told another number (JAX_NUM_CPU_DEVICES)."""
    vocabulary_shards: int = 1
    """Parts that both tables are split into, for a vocabulary that one device cannot hold; they divide the devices."""
    local_steps: int = 1
    """Steps that each device takes by itself, on blocks and tables of its own, until all meet. With 1 all share each
    block. For two cores of a CPU some 256, where the text has many times as many blocks; for more devices, fewer."""

    def __post_init__(self) -> None:
        if self.devices is not None:
            _check("devices", self.devices, _is_int(self.devices, 1, 2**31), "an integer, at least 1")
        shards = self.vocabulary_shards
        _check("vocabulary_shards", shards, _is_int(shards, 1, 2**31), "an integer, at least 1")
        _check("local_steps", self.local_steps, _is_int(self.local_steps, 1, 2**16), "an integer from 1 to 65535")
        if self.local_steps > 1 and ((self.devices or 1) == 1 or self.vocabulary_shards != 1):
            raise InputError(f"local_steps is {self.local_steps}, which is for several devices, each with whole "
                             "tables; give --devices 2 or more, and no --vocabulary-shards")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ProcessConfig:
    """Which processes train together; the same command starts each of them, but for its number.

    Raises:
      InputError: a field is out of its range, or one of three is missing.
    """

    coordinator: str | None = None
    """host:port at which process 0 is to be met."""
    processes: int | None = None
    """How many processes there are."""
    process: int | None = None
    """The number of this one, from 0."""
    cluster: bool = False
    """Let JAX find out all three from the cluster (Slurm, Open MPI, Kubernetes, Cloud TPU)."""
    patience: int = 100
    """Seconds to wait for a process to come, and until one that is no longer heard of is given up."""

    def __post_init__(self) -> None:
        _check("patience", self.patience, _is_int(self.patience, 1, 2**31), "an integer, at least 1")
        given = [part is not None for part in (self.coordinator, self.processes, self.process)]
        if any(given) and (self.cluster or not all(given)):
            raise InputError("processes that train together need --coordinator, --processes and --process, all three; "
                             "or --cluster alone")  # fmt: skip
        if all(given):
            _check("processes", self.processes, _is_int(self.processes, 1, 2**31), "an integer, at least 1")
            fits = _is_int(self.process, 0, self.processes or 1)
            _check("process", self.process, fits, f"an integer from 0 to {(self.processes or 1) - 1}")


@dataclasses.dataclass(frozen=True)
class CountsConfig:
    """How co-occurrences are counted, for the objectives that learn from counts.

    Raises:
      InputError: a field is out of its range.
    """

    counts: Path | None = None
    """Folder of the counts: used again where it exists; without a name it is beside the encoded corpus."""
    distance: Distance = "linear"
    """What an outside word counts at distance d: (window + 1 − d)/window, 1, or 1/d."""
    thinnings: int = 0
    """Subsample the text so many times and take the mean of the counts, which all lie on disk meanwhile; 0 takes the
    expectation instead, which passes over that words come nearer each other when those between them go."""
    count_power: float = 1.0
    """Learn from the counts to this power. 1 is the softmax itself; .75 gives better vectors in few passes."""
    context_power: float = 1.0
    """Make each word's share of the outside words its share to this power (Levy, Goldberg, Dagan, 2015)."""

    def __post_init__(self) -> None:
        distances = get_args(Distance)
        _check("distance", self.distance, self.distance in distances, f"one of {', '.join(distances)}")
        for name in ("count_power", "context_power"):
            _check(name, getattr(self, name), 0 < _number(getattr(self, name)) <= 1, "above 0 and at most 1")
        _check("thinnings", self.thinnings, _is_int(self.thinnings, 0, 1001), "an integer from 0 to 1000")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Where training leaves what it needs to go on after it has been stopped.

    Raises:
      InputError: a field is out of its range, or there is a `resume` without a `checkpoint_dir`.
    """

    checkpoint_dir: Path | None = None
    """Folder for checkpoints, made where it is missing; none are written without it."""
    checkpoint_every: int = 100_000
    """Steps from one checkpoint to the next."""
    resume: bool = False
    """Go on from the last checkpoint in the folder; start afresh where there is none."""

    def __post_init__(self) -> None:
        every = self.checkpoint_every
        _check("checkpoint_every", every, _is_int(every, 1, 2**31), "an integer from 1 to 2147483647")
        if self.resume and self.checkpoint_dir is None:
            raise InputError("resume needs the folder of the checkpoints; name it as checkpoint_dir")


def _is_int(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < high


def _number(value: Any) -> Any:
    """The value, or what no comparison holds for."""
    return value if isinstance(value, Real) and not isinstance(value, bool) else math.nan


def _check(name: str, value: object, fits: bool, allowed: str) -> None:
    if not fits:
        raise InputError(f"{name} is {value}; it must be {allowed}")
