"""Signal handlers that are installed for a block of code and removed after it."""

import contextlib
import functools
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | int | None
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
SIGNALS = [signal.Signals[name] for name in NAMES if hasattr(signal, name)]
DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


@contextlib.contextmanager
def handle_signals(
    handler: Callable[[Handler, int, FrameType | None], object], *, replaces: Callable[[Handler], bool]
) -> Iterator[None]:
    """Handle SIGINT, SIGTERM and SIGHUP where `replaces(previous handler)` is true; that handler comes back at the end.

    Outside the main thread, where Python forbids it, no handler is installed.

    Args:
      handler: called with the previous handler, the signal's number and the interrupted frame.
    """
    with contextlib.ExitStack() as stack:
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if threading.current_thread() is threading.main_thread() and replaces(previous):
                stack.callback(signal.signal, number, previous)
                signal.signal(number, functools.partial(handler, previous))
        yield


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in a list, which a loop polls.

    The second signal of a kind goes to the previous handler. Ignored signals stay ignored.
    """
    received: list[int] = []

    def collect(previous: Handler, number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, previous)

    # A handler that is not Python's (None) could not be restored.
    with handle_signals(collect, replaces=lambda previous: previous not in (signal.SIG_IGN, None)):
        yield received


@contextlib.contextmanager
def unwind_on_signals() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, as Python raises KeyboardInterrupt on SIGINT: unfinished files go.

    A signal that the calling program handles is left to it. C++ may abort on an exception raised in an import, and
    Python drops one raised in a garbage collection or a finalizer; such a signal is sent again when that is over.
    """
    raised: list[int] = []
    collecting = False
    again = threading.Timer(0, print)
    default_hook, outer = sys.unraisablehook, _count_deferring(sys._getframe(1))

    def note_collection(phase: str, info: dict[str, int]) -> None:
        nonlocal collecting
        collecting = phase == "start"

    def send_again(number: int) -> None:
        nonlocal again
        again = threading.Timer(0.02, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    def unwind(previous: Handler, number: int, frame: FrameType | None) -> None:
        again.cancel()  # one delivery, however often the signal came
        if collecting or _count_deferring(frame) > outer:
            send_again(number)
        else:
            raised.append(number)
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def send_dropped_again(unraisable: "sys.UnraisableHookArgs") -> None:
        is_ours = raised and isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit)
        send_again(raised.pop()) if is_ours else default_hook(unraisable)

    with handle_signals(unwind, replaces=DEFAULTS.__contains__):
        sys.unraisablehook = send_dropped_again
        gc.callbacks.insert(0, note_collection)
        try:
            yield
        finally:
            again.cancel()
            gc.callbacks.remove(note_collection)
            sys.unraisablehook = default_hook


def _count_deferring(frame: FrameType | None) -> int:
    """Count the stack's frames where no exception may be raised: those of the import system, and this file's."""
    filenames = ("<frozen importlib", __file__)
    return sum(f.f_code.co_filename.startswith(filenames) for f, _ in traceback.walk_stack(frame))
