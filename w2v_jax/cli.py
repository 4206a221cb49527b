"""The command line: what goes wrong is one line on standard error; each command's arguments are in `commands/`."""

import contextlib
import io
import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import tyro

from .commands.ask import analogy, neighbors
from .commands.evaluate import evaluate
from .commands.files import convert, info, plot
from .commands.train import train
from .errors import InputError, Stopped


def _discard_output() -> None:
    """Let the interpreter flush into the void as it ends."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(status: int) -> None:
    """End; and at once where others train with this process, who learn of it by that, and would be waited for."""
    distributed = sys.modules.get("jax.distributed")
    if distributed and distributed.is_initialized():
        os._exit(status)
    sys.exit(status)


@contextlib.contextmanager
def _unwinding_on_signals() -> Iterator[None]:
    """On SIGTERM, leave as Ctrl-C does, so that what is half written goes; signals that others handle are theirs.

    What is raised in an import may come to C++ that aborts, and in a garbage collection, where JAX has work, Python
    drops it: then the signal is sent again when that is over.
    """
    mine = threading.current_thread() is threading.main_thread()
    defaults = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler} if mine else {}
    handled = {number: default for number, default in defaults.items() if signal.getsignal(number) is default}
    if not handled:
        yield
        return
    raised = {SystemExit: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}
    again: dict[int, threading.Timer] = {}
    said: list[str] = []
    before = sys.unraisablehook

    def later(number: int) -> None:
        again[number] = threading.Timer(0.02, os.kill, (os.getpid(), number))
        again[number].daemon = True
        again[number].start()

    def leave(number: int, frame: FrameType | None) -> None:
        if number in again:
            again.pop(number).cancel()  # however often it came meanwhile
        if _imports(frame):
            later(number)
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if not said:
            said.append("w2v_jax: ended by SIGTERM")
            print(*said, file=sys.stderr)
        _leave(128 + number)

    def dropped(what: "sys.UnraisableHookArgs") -> None:
        number = raised.get(what.exc_type)
        later(number) if number in handled else before(what)

    sys.unraisablehook = dropped
    for number in handled:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for timer in again.values():
            timer.cancel()
        sys.unraisablehook = before
        for number, default in handled.items():
            signal.signal(number, default)


def _imports(frame: FrameType | None) -> bool:
    """Whether an import is under way, of a command's own."""
    ours = itertools.takewhile(lambda at: at[0].f_code is not main.__code__, traceback.walk_stack(frame))
    return any(at.f_code.co_filename.startswith("<frozen importlib") for at, _ in ours)


def main(args: list[str] | None = None) -> None:
    """Run a command; what goes wrong with its input is one line on standard error and exit status 1."""
    commands: dict[str, Callable[..., Any]] = {
        "train": train, "neighbors": neighbors, "analogy": analogy, "evaluate": evaluate, "info": info, "plot": plot,
        "convert": convert,
    }  # fmt: skip
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # which may be a terminal that has not all letters
            output.reconfigure(errors="backslashreplace")
    try:
        try:
            with _unwinding_on_signals():
                tyro.extras.subcommand_cli_from_dict(
                    commands, prog="python -m w2v_jax", description="word2vec in JAX", args=args
                )
        finally:
            if sys.stdout:  # none where a program starts with it closed
                sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # the reader left; there is nobody to tell
    except (InputError, FloatingPointError, OSError) as error:
        if isinstance(error, OSError):
            _discard_output()
        print("w2v_jax: " + " ".join(str(error).splitlines()), file=sys.stderr, flush=True)
        _leave(1)
    except MemoryError:
        print("w2v_jax: this does not fit into memory; give a smaller file, or less of it", file=sys.stderr)
        _leave(1)
    except Stopped as stopped:
        print(f"w2v_jax: {stopped}", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        print("w2v_jax: stopped; no vectors were written", file=sys.stderr)
        _leave(130)
