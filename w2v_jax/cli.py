"""Run the command line, and report each error in one line on standard error."""

import contextlib
import functools
import io
import os
import sys
import time
from typing import Any, NoReturn

import tyro

from .commands.cache import cache
from .commands.train import train
from .commands.vectors import analogy, convert, evaluate, info, neighbors, plot
from .errors import InputError, TrainingInterrupted
from .signals import SIGNALS, unwind_on_signals

COMMANDS = (train, neighbors, analogy, evaluate, info, plot, convert, cache)
DEVICE_SECONDS = 10.0  # the longest wait for computations that a signal interrupted


def main(args: list[str] | None = None) -> None:
    """Run a command; report invalid input in one line on standard error, with exit status 1."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):  # a terminal's encoding may lack some letters
            output.reconfigure(errors="backslashreplace")
    try:
        with unwind_on_signals():
            try:
                args = sys.argv[1:] if args is None else args
                typed = tuple(arg[2:].split("=")[0].replace("-", "_") for arg in args if arg.startswith("--"))
                commands: dict[str, Any] = {command.__name__: command for command in COMMANDS}
                tyro.extras.subcommand_cli_from_dict(
                    commands | {"train": functools.partial(train, typed=typed)}, prog="python -m w2v_jax",
                    description="word2vec in JAX", args=args, config=(tyro.conf.OmitArgPrefixes,),
                )  # fmt: skip
            except (SystemExit, KeyboardInterrupt):
                _wait_for_devices()
                raise
            finally:
                if sys.stdout:  # None where a program starts with it closed
                    sys.stdout.flush()
    except SystemExit as stop:
        _exit(stop.code, _signal_message(stop.code))
    except KeyboardInterrupt:
        _exit(130, "stopped; no vectors were written")
    except BrokenPipeError:
        _discard_output()  # the reader has closed the pipe: not an error
    except MemoryError:
        _exit(1, "this does not fit into memory; give a smaller file, or less of it")
    except TrainingInterrupted as interruption:
        _say(str(interruption))
        sys.exit(128 + interruption.signal)
    except (RuntimeError, AssertionError) as error:
        platforms = os.environ.get("JAX_PLATFORMS")
        if platforms is None or "jax" not in sys.modules or _has_device():
            raise
        _exit(1, f"JAX_PLATFORMS is {platforms}, and JAX has no such device here: {str(error).splitlines()[:1]}; "
                 "unset it, or install JAX for that device")  # fmt: skip
    except (InputError, FloatingPointError, OSError) as error:
        if isinstance(error, OSError):
            _discard_output()
        _exit(1, " ".join(str(error).splitlines()))


def _has_device() -> bool:
    try:
        return bool(sys.modules["jax"].devices())
    except (RuntimeError, AssertionError):
        return False


def _discard_output() -> None:
    """Redirect standard output to the null device, so that the interpreter's last flush succeeds."""
    if sys.stdout:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(f"w2v_jax: {message}", file=sys.stderr, flush=True)


def _signal_message(status: Any) -> str | None:
    """Return what the exit status of `unwind_on_signals` says, if it is one."""
    return next((f"ended by {number.name}" for number in SIGNALS if status == 128 + number), None)


def _is_distributed() -> bool:
    distributed = sys.modules.get("jax.distributed")
    return bool(distributed and distributed.is_initialized())


def _exit(status: Any, message: str | None = None) -> NoReturn:
    """Exit; at once in distributed training, where an orderly exit would wait for the other processes."""
    if message:
        _say(message)
    if _is_distributed():
        os._exit(status)
    sys.exit(status)


def _wait_for_devices() -> None:
    """Wait for the computations that a signal interrupted: their callbacks abort a Python that is shutting down."""
    jax, deadline, ready = sys.modules.get("jax"), time.monotonic() + DEVICE_SECONDS, False
    with contextlib.suppress(Exception):  # the exit goes on, whatever the devices report
        while jax and not _is_distributed() and not ready and time.monotonic() < deadline:
            ready = all(array.is_ready() for array in jax.live_arrays())
            time.sleep(0.01)  # the callbacks run meanwhile
