"""What training tells of itself while it runs: to a progress bar, and to whoever asked."""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ..params import Params
from .step import Metrics

REPORT_SECONDS = 0.5


class Tally(NamedTuple):
    """A loss added up over any number of targets, in float64, so that it cannot drift."""

    loss: float = 0.0
    targets: float = 0.0

    def add(self, metrics: Metrics) -> "Tally":
        """With some steps' metrics, on the host."""
        sums = (float(np.asarray(part).sum(dtype=np.float64)) for part in metrics)
        return Tally(*(have + more for have, more in zip(self, sums, strict=True)))

    @property
    def mean(self) -> float:
        """Loss per target; not a number where there was none."""
        return self.loss / self.targets if self.targets else math.nan


class Report(NamedTuple):
    """How training stands."""

    step: int
    words: int
    """Tokens of the corpus read so far, epoch upon epoch."""
    epoch: float
    loss: float
    """Mean loss per target, in nats, since the last report."""
    targets: float
    """(center, outside) pairs since the last report, each as often as it is expected."""
    held_out_loss: float | None
    """Mean loss per target on the held-out text; where an epoch has ended, if any text is held out."""
    seconds: float
    """Since this process began its first step, or on counts what it starts from; compiling the step is not counted,
    held-out evaluation is."""
    compile_seconds: float
    """What compiling the step took."""
    words_per_second: float
    """Tokens of the corpus that this process read, over `seconds`."""
    resumed: bool
    """Whether this process went on from a checkpoint."""


Callback = Callable[[Report, Params], bool | None]
"""Called with each report and the parameters, whose buffers the next step takes, or the end: copy what you keep.

One that returns True ends the training there. One with an attribute `every` is also called where the steps
have crossed a multiple of it, whatever the clock says.
"""


class Reports:
    """The reports of one process: adds up what its steps tell, and passes it on.

    It does so twice a second, where an epoch ends, and as often as a callback asks for.

    Raises (from add):
      FloatingPointError: the loss is no longer a number.
    """

    def __init__(
        self, bar: "tqdm[Any]", callbacks: Iterable[Callback], held_out_loss: Callable[[Params], float | None] | None,
        *, words_an_epoch: int, step: int, read_before: int, compile_seconds: float,
    ) -> None:  # fmt: skip
        self.bar, self.callbacks, self.held_out_loss = bar, tuple(callbacks), held_out_loss
        self.words_an_epoch, self.read_before, self.compile_seconds = words_an_epoch, read_before, compile_seconds
        self.step, self.words, self.any_target = step, read_before, False
        self.every = [callback.every for callback in self.callbacks if hasattr(callback, "every")]
        self.tally = Tally()
        self.waiting: Metrics | None = None  # those of the dispatch that may still run
        self.started = self.reported = time.perf_counter()

    def add(self, metrics: Metrics, step: int, words: int, params: Params) -> bool:
        """Take in a dispatch's metrics, up to this step and this many words; True where a callback says stop."""
        if self.waiting is not None:
            self.tally = self.tally.add(jax.device_get(self.waiting))  # while the device is at the next ones
        self.waiting = metrics
        ended = words // self.words_an_epoch > self.words // self.words_an_epoch
        asked = any(step // every > self.step // every for every in self.every)
        self.step, self.words, now = step, words, time.perf_counter()
        if now - self.reported < REPORT_SECONDS and not ended and not asked:
            return False
        self.tally, self.waiting = self.tally.add(jax.device_get(metrics)), None
        now = time.perf_counter()  # when the words counted have been trained on
        if not math.isfinite(self.tally.loss):
            raise FloatingPointError(f"the loss is {self.tally.loss} by step {step:,}; lower the learning rate")
        if not self.tally.targets:
            return False
        report = Report(
            step=step, words=words, epoch=words / self.words_an_epoch,
            loss=self.tally.mean, targets=self.tally.targets,
            held_out_loss=self.held_out_loss(params) if self.held_out_loss and ended else None,
            seconds=now - self.started, compile_seconds=self.compile_seconds,
            words_per_second=(words - self.read_before) / (now - self.started), resumed=self.read_before > 0,
        )  # fmt: skip
        self.bar.update(words - self.bar.n)
        self.bar.set_postfix(loss=f"{report.loss:.4f}")
        said = [callback(report, params) is True for callback in self.callbacks]
        self.any_target, self.reported, self.tally = True, now, Tally()
        return any(said)
