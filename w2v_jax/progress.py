"""Progress of long work: a bar on a terminal, lines in a log."""

import io
import sys
from typing import Any

from tqdm import tqdm

FIRST_LINE_SECONDS, LINE_SECONDS = 5.0, 30.0


def progress(
    total: float | None, unit: str, *, description: str | None = None, initial: float = 0, silent: bool = False
) -> "tqdm[Any]":
    """Return a tqdm bar on standard error; where that is no terminal, a line after 5 s, and one every 30 s."""
    options: dict[str, Any] = {
        "total": total,
        "unit": unit,
        "desc": description,
        "initial": initial,
        "unit_scale": True,
    }
    if silent or sys.stderr is None or sys.stderr.isatty():
        return tqdm(**options, disable=silent or sys.stderr is None)
    options |= {"file": _Lines(), "mininterval": LINE_SECONDS, "miniters": 1, "smoothing": 0,
                "ncols": 0, "leave": False}  # fmt: skip
    bar = tqdm(**options, delay=FIRST_LINE_SECONDS)
    bar.last_print_t -= LINE_SECONDS - FIRST_LINE_SECONDS  # as if a line had come before the start
    return bar


class _Lines(io.TextIOBase):
    """Prints each state of a bar, which would overwrite the one before, as a line of its own."""

    def write(self, text: str) -> int:
        if line := text.strip():
            print(line, file=sys.stderr, flush=True)
        return len(text)
