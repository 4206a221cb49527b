"""Several processes that train together, one or more devices each, over JAX's own runtime."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.errors import JaxRuntimeError
from jax.experimental import multihost_utils

from ..config import ProcessConfig
from ..errors import InputError, ProcessGone
from ..text.part import Part

GONE = re.compile("Gloo|NCCL|heartbeat|UNAVAILABLE|DEADLINE_EXCEEDED|[Cc]onnection (closed|reset)")


def join(config: ProcessConfig) -> Part | None:
    """Meet the other processes, before anything else is asked of JAX; this one's part of the text, if there are others.

    (Where process 0 waits in vain for another, JAX's runtime ends it, with a page of its own.)

    Raises:
      InputError: process 0 is not there, or the address cannot be used.
    """
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM would be its own, and would do nothing
    if config.coordinator and config.process:
        _wait_for(config.coordinator, config.patience)
    try:
        jax.distributed.initialize(
            config.coordinator, config.processes, config.process,
            initialization_timeout=config.patience, heartbeat_timeout_seconds=config.patience,
        )  # fmt: skip
    except (JaxRuntimeError, RuntimeError, ValueError) as error:
        raise InputError(f"the processes did not meet: {error}") from error
    count = jax.process_count()
    return Part(jax.process_index(), count, exchange) if count > 1 else None


def _wait_for(coordinator: str, patience: int) -> None:
    host, _, port = coordinator.rpartition(":")
    given_up = time.monotonic() + patience
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=1).close()
        except (OSError, ValueError, OverflowError) as error:
            if time.monotonic() > given_up or not isinstance(error, OSError) or isinstance(error, socket.gaierror):
                raise InputError(f"process 0 is not to be met at {coordinator}: {error}") from error
            time.sleep(0.2)


@contextmanager
def or_a_line() -> Iterator[None]:
    """What JAX raises when another process has gone, said in a line.

    Raises:
      ProcessGone: it has.
    """
    try:
        yield
    except ProcessGone:
        raise
    except Exception as error:  # of several kinds, where Orbax stands between
        if jax.process_count() == 1 or not GONE.search(str(error)):
            raise
        raise ProcessGone(
            f"process {jax.process_index()}: another process has gone, or cannot be reached; start all of them again, "
            f"with --resume to go on from the last checkpoint ({str(error).splitlines()[0][:200]})"
        ) from error


def exchange(mine: bytes) -> list[bytes]:
    """What each process has to tell, in their order."""
    if jax.process_count() == 1:
        return [mine]
    with or_a_line():
        lengths = multihost_utils.process_allgather(np.uint32(len(mine))).tolist()
        padded = np.zeros(max(lengths), np.uint8)
        padded[: len(mine)] = np.frombuffer(mine, np.uint8)
        told = multihost_utils.process_allgather(padded)
    return [bytes(row[:length]) for row, length in zip(told, lengths, strict=True)]


def everyones_number(mine: int) -> list[int]:
    """A number that each process has, in their order."""
    return [int.from_bytes(told) for told in exchange(mine.to_bytes(8))]
