"""Every option of reading a text and training on it, in frozen dataclasses that check their fields."""

import dataclasses
import os
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from .errors import InputError
from .paths import expand

PYTHON_NUMBERS: tuple[type, ...] = (bool, int, float)
TILE = 16  # consecutive tokens that share one matrix product (S)
Allowed = tuple[type, Callable[[Any], bool], str]  # in a field's annotation: a type, a test, and a description


def integer(low: int, high: int) -> Allowed:
    description = f"an integer from {low} to {high - 1}" if high < 2**63 else f"an integer, at least {low}"
    return (int, lambda value: low <= value < high, description)


def one_of(literal: Any) -> Allowed:
    return (str, get_args(literal).__contains__, f"one of {', '.join(get_args(literal))}")


UnicodeForm = Literal["NFC", "NFD", "NFKC", "NFKD"]
POSITIVE, UNBOUNDED = integer(1, 2**31), integer(1, 2**63)
PositiveInt = Annotated[int, POSITIVE]


@dataclasses.dataclass(frozen=True)
class CheckedConfig:
    """A base class whose fields are checked: InputError names one that has neither an allowed value nor its default.

    Numbers of numpy become Python's, and `~` in a path the home folder.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, metadata = getattr(self, field.name), getattr(field.type, "__metadata__", ())
            if value is field.default:
                continue
            if isinstance(value, Real) and type(value) not in PYTHON_NUMBERS:
                value = int(value) if isinstance(value, Integral) else float(value)
            if field.type is bool:
                metadata = ((bool, lambda _: True, "True or False"),)
                value = bool(value) if type(value).__name__ == "bool" else value  # numpy's too
            if field.type == Path | None:
                metadata = ((str | os.PathLike, bool, "a path"),)
            for kind, test, description in metadata:
                if not (isinstance(value, kind) and isinstance(value, bool) == (kind is bool) and test(value)):
                    raise InputError(f"{field.name} is {value}; it must be {description}")
            object.__setattr__(self, field.name, Path(expand(value)) if field.type == Path | None else value)


@dataclasses.dataclass(frozen=True)
class TextConfig(CheckedConfig):
    """How text becomes words, and which of them get vectors."""

    min_count: Annotated[int, UNBOUNDED] = 5
    """Words seen fewer times than this have no vector; they are dropped before windows are formed."""
    max_vocab: Annotated[int | None, UNBOUNDED] = None
    """At most this many words, the most frequent ones; words known from an earlier text are kept."""
    lowercase: bool = False
    """Make all letters lower case."""
    normalize: Annotated[UnicodeForm | None, one_of(UnicodeForm)] = None
    """Unicode normalization, so that one spelling is one word."""
    field: Annotated[str | None, (str, bool, "the name of a field")] = None
    """Field that holds the text, of JSON lines, CSV or Parquet. Its line ends end lines; a list is a line of words."""


@dataclasses.dataclass(frozen=True)
class PassConfig(CheckedConfig):
    """How a corpus, or its counts, are passed over."""

    window: PositiveInt = 5
    """Outside words stand at most this many tokens from their center; near ones count more. The cost follows the
    longest line, where that is shorter."""
    epochs: PositiveInt = 5
    """Passes over the corpus or its counts."""
    sample: Annotated[float, (Real, lambda share: 0 <= share < 3e38, "0 (keep every token) or more")] = 1e-3
    """Subsampling threshold for frequent words, as a share of all tokens; 0 keeps every token."""
    seed: Annotated[int, integer(0, 2**32)] = 0
    """The same seed gives the same vectors, bit for bit."""


@dataclasses.dataclass(frozen=True)
class StreamConfig(PassConfig):
    """How a corpus becomes a stream of blocks."""

    batch_tokens: Annotated[PositiveInt, (int, lambda size: size % TILE == 0, f"a multiple of {TILE}")] = 1024
    """Tokens that a step trains on (T), a multiple of 16."""
    held_out: Annotated[float, (Real, lambda share: 0 <= share < 1, "at least 0 and under 1")] = 0.0
    """Share of the corpus kept from training, to report its loss beside the training loss."""


@dataclasses.dataclass(frozen=True)
class TrainConfig(StreamConfig):
    """How to train.

    >>> TrainConfig(dim=0)
    Traceback (most recent call last):
    w2v_jax.errors.InputError: dim is 0; it must be an integer from 1 to 2147483647
    """

    dim: PositiveInt = 100
    """Numbers in a word vector (D); on one CPU device, multiples of 8 train a tenth faster than others."""
    negative: PositiveInt = 5
    """Negatives for each outside word."""
    noise_power: Annotated[float, (Real, lambda power: -2 <= power <= 2, "a number from -2 to 2")] = 0.75
    """Noise words are drawn by their counts to this power; 0 draws all words alike."""
    shared_negatives: PositiveInt = 32
    """Noise words that 16 consecutive tokens draw and share (K)."""
    lr: Annotated[float, (Real, lambda rate: 0 < rate < 3e38, "a number above 0 (and in float32)")] = 0.04
    """Learning rate at the start; it falls linearly to a ten-thousandth of itself."""
    objective: str = "negative-sampling"
    """The model, unless one is given. softmax scores every word of the vocabulary for every center: exact, and slow;
    naive-softmax is the same, and holds all the scores at once."""
    whitening: Annotated[float | None, (Real, lambda power: 0 <= power <= 0.5, "a number from 0 to 0.5")] = None
    """Power of the partial whitening of the trained tables, which keeps all scores; 0 for none, by default the model's
    own (0.1 for the objectives named here)."""


@dataclasses.dataclass(frozen=True)
class MeshConfig(CheckedConfig):
    """Which devices train, and how the tables are sharded over them."""

    devices: Annotated[int | None, POSITIVE] = None
    """Devices that train; by default one, or all with several processes or shards. A CPU becomes as many devices as
    this says, up to its cores, unless JAX is initialized or JAX_NUM_CPU_DEVICES sets another number."""
    vocabulary_shards: PositiveInt = 1
    """Shards of each table, for a vocabulary that one device cannot hold; their number divides the devices."""
    local_steps: Annotated[int, integer(1, 2**16)] = 1
    """Local SGD: steps that each device takes on its own replica of the tables, between two merges of the replicas.
    With 1 all devices share each block. 256 suits two CPU cores and a text of many thousand blocks; more devices need
    fewer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local_steps > 1 and ((self.devices or 1) == 1 or self.vocabulary_shards != 1):
            raise InputError(f"local_steps is {self.local_steps}, which needs several devices, each with whole "
                             "tables; give --devices 2 or more, and no --vocabulary-shards")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ProcessConfig(CheckedConfig):
    """Which processes train together; the same command starts each of them, with another `process`."""

    coordinator: str | None = None
    """host:port of process 0."""
    processes: Annotated[int | None, POSITIVE] = None
    """Number of processes."""
    process: Annotated[int | None, integer(0, 2**31)] = None
    """Index of this process, from 0."""
    cluster: bool = False
    """Let JAX read all three from the cluster (Slurm, Open MPI, Kubernetes, Cloud TPU)."""
    timeout: PositiveInt = 100
    """Seconds to wait for a process to start, and after which a silent process counts as lost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [part is not None for part in (self.coordinator, self.processes, self.process)]
        if any(given) and (self.cluster or not all(given)):
            raise InputError("processes that train together need --coordinator, --processes and --process, all three; "
                             "or --cluster alone")  # fmt: skip
        if self.process is not None and self.processes is not None and self.process >= self.processes:
            raise InputError(f"process is {self.process}; it must be an integer from 0 to {self.processes - 1}")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig(CheckedConfig):
    """Where training saves what it needs to resume after an interruption."""

    checkpoint_dir: Path | None = None
    """Folder for checkpoints, created if missing; without it none are written."""
    checkpoint_every: PositiveInt = 100_000
    """Steps from one checkpoint to the next."""
    resume: bool = False
    """Resume from the last checkpoint in the folder; start from scratch if there is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume and self.checkpoint_dir is None:
            raise InputError("resume needs the folder of the checkpoints; name it as checkpoint_dir")
