"""What training reports while it runs: to a progress bar, to callbacks, and to a file."""

import errno
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ..paths import expand
from ..vectors.keyed_vectors import KeyedVectors
from .step import Metrics

REPORTS_PER_EPOCH = 20
REPORT_STEPS = 1 << 14  # between two reports, at most


class RunningMean(NamedTuple):
    """A loss summed over any number of targets, in float64, so that it does not drift."""

    loss: float = 0.0
    targets: float = 0.0

    def add(self, metrics: Metrics) -> "RunningMean":
        """Return the sums with some steps' metrics, on the host."""
        loss, targets = (float(np.asarray(part).sum(dtype=np.float64)) for part in metrics)
        return RunningMean(self.loss + loss, self.targets + targets)

    @property
    def mean(self) -> float:
        """Loss per target; NaN without targets."""
        return self.loss / self.targets if self.targets else math.nan


class Report(NamedTuple):
    """The progress of training."""

    step: int
    words: int
    """Tokens of the corpus read so far, over all epochs."""
    epoch: float
    loss: float
    """Mean loss per target, in nats, since the last report."""
    targets: float
    """(center, outside) pairs since the last report, each counted with its window weight."""
    held_out_loss: float | None
    """Mean loss per target on the held-out text: at the end of each epoch, if any text is held out."""
    seconds: float
    """Since this process began its first step (on counts: the fit). Compiling the step is not counted, held-out
    evaluation is."""
    compile_seconds: float
    """What compiling the step took."""
    words_per_second: float
    """Tokens that all processes have read in `seconds`, per second."""
    resumed: bool
    """Whether this process resumed from a checkpoint."""


Export = Callable[[], KeyedVectors]
"""Returns the vectors as they stand, as training would return them; a copy."""
Callback = Callable[[Report, Export], bool | None]
"""Called with each report. One that returns True ends the training.

Where one has an attribute `every`, all are also called when the steps cross a multiple of it.
"""


class Reports:
    """The reports of one process: `REPORTS_PER_EPOCH` in each epoch, and as often as a callback asks for.

    Which steps are reported depends on the steps alone, not on the clock: the same training reports the same losses,
    and all processes report together.

    Raises (from add):
      FloatingPointError: the loss is no longer a finite number.
    """

    def __init__(
        self, bar: "tqdm[Any]", callbacks: Iterable[Callback],
        *, words_per_epoch: int, step: int, words_before: int, compile_seconds: float,
    ) -> None:  # fmt: skip
        self.bar, self.callbacks = bar, tuple(callbacks)
        self.words_per_epoch, self.words_before, self.compile_seconds = words_per_epoch, words_before, compile_seconds
        self.step, self.words, self.any_target = step, words_before, False
        self.every = [callback.every for callback in self.callbacks if hasattr(callback, "every")]
        self.running = RunningMean()
        self.pending: Metrics | None = None  # of the dispatch that may still run
        self.started = time.perf_counter()

    def add(
        self, metrics: Metrics, step: int, words: int, export: Export, held_out_loss: Callable[[], float | None]
    ) -> bool:
        """Add a dispatch's metrics, up to this step and this many words; return True where a callback says stop."""
        if self.pending is not None:
            self.running = self.running.add(jax.device_get(self.pending))  # while the device runs the next dispatch
        self.pending = metrics
        epoch_ended = words // self.words_per_epoch > self.words // self.words_per_epoch
        share = lambda words: REPORTS_PER_EPOCH * words // self.words_per_epoch
        due = share(words) > share(self.words) or any(step // n > self.step // n for n in (REPORT_STEPS, *self.every))
        self.step, self.words = step, words
        self.bar.update(words - self.bar.n)
        if not due:
            return False
        self.running, self.pending = self.running.add(jax.device_get(metrics)), None
        now = time.perf_counter()  # when the words counted have been trained on
        if not math.isfinite(self.running.loss):
            raise FloatingPointError(f"the loss is {self.running.loss} by step {step:,}; lower the learning rate")
        if not self.running.targets:
            return False
        report = Report(
            step=step, words=words, epoch=words / self.words_per_epoch,
            loss=self.running.mean, targets=self.running.targets,
            held_out_loss=held_out_loss() if epoch_ended else None,
            seconds=now - self.started, compile_seconds=self.compile_seconds,
            words_per_second=(words - self.words_before) / (now - self.started), resumed=self.words_before > 0,
        )  # fmt: skip
        self.bar.set_postfix(loss=f"{report.loss:.4f}", refresh=False)
        stops = [callback(report, export) is True for callback in self.callbacks]
        self.any_target, self.running = True, RunningMean()
        return any(stops)


def write_json_lines(path: str | os.PathLike[str]) -> Callback:
    """Return a callback that writes each report as a line of JSON, at once, so that the file can be followed.

    The first report replaces the file, or continues it where training was resumed. If it can no longer be
    written, it keeps its whole lines, standard error gets one line, and training goes on.
    """
    begun = failed = False

    def write(report: Report, export: Export) -> None:
        nonlocal begun, failed
        if failed:
            return
        try:
            with open(expand(path), "ab" if begun or report.resumed else "wb", buffering=0) as file:
                begun, line = True, json.dumps(report._asdict()).encode() + b"\n"
                end = file.tell() if file.seekable() else None  # a pipe has no end
                if file.write(line) < len(line):  # as much as there was room for
                    file.truncate(end)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            failed = True
            reason = f"{os.fspath(path)}: cannot be written: {error.strerror}"
            print(f"w2v_jax: {reason}; training goes on without it", file=sys.stderr)

    return write
