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
from ..errors import InputError, PeerLostError
from ..text.shard import TextShard

PEER_LOST = re.compile("Gloo|NCCL|heartbeat|UNAVAILABLE|DEADLINE_EXCEEDED|[Cc]onnection (closed|reset)")


def join_processes(config: ProcessConfig) -> TextShard | None:
    """Connect to the other processes, before anything else uses JAX.

    (Where process 0 waits in vain for another process, JAX's runtime ends it, with a long message of its own.)

    Returns:
      This process's shard of the text; None where there is one process.

    Raises:
      InputError: process 0 does not answer, or the address cannot be used.
    """
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, and do nothing
    if config.coordinator and config.process:
        _wait_for(config.coordinator, config.timeout)
    try:
        jax.distributed.initialize(
            config.coordinator, config.processes, config.process,
            initialization_timeout=config.timeout, heartbeat_timeout_seconds=config.timeout,
        )  # fmt: skip
    except (JaxRuntimeError, RuntimeError, ValueError) as error:
        raise InputError(f"the processes did not connect: {error}") from error
    count = jax.process_count()
    return TextShard(jax.process_index(), count, process_allgather) if count > 1 else None


def _wait_for(coordinator: str, timeout: int) -> None:
    host, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=1).close()
        except (OSError, ValueError, OverflowError) as error:
            if time.monotonic() > deadline or not isinstance(error, OSError) or isinstance(error, socket.gaierror):
                raise InputError(f"process 0 does not answer at {coordinator}: {error}") from error
            time.sleep(0.2)


@contextmanager
def translate_peer_errors() -> Iterator[None]:
    """Turn what JAX raises when another process is lost into one line.

    Raises:
      PeerLostError: another process is lost.
    """
    try:
        yield
    except PeerLostError:
        raise
    except Exception as error:  # Orbax wraps JAX's error in types of its own
        if jax.process_count() == 1 or not PEER_LOST.search(str(error)):
            raise
        raise PeerLostError(
            f"process {jax.process_index()}: another process has ended, or cannot be reached; start all of them again, "
            f"with --resume to continue from the last checkpoint ({str(error).splitlines()[0][:200]})"
        ) from error


def process_allgather(message: bytes) -> list[bytes]:
    """Return the message of each process, in their order."""
    if jax.process_count() == 1:
        return [message]
    with translate_peer_errors():
        lengths = multihost_utils.process_allgather(np.uint32(len(message))).tolist()
        padded = np.zeros(max(lengths), np.uint8)
        padded[: len(message)] = np.frombuffer(message, np.uint8)
        received = multihost_utils.process_allgather(padded)
    return [bytes(row[:length]) for row, length in zip(received, lengths, strict=True)]


def process_allgather_int(number: int) -> list[int]:
    """Return the number of each process, in their order."""
    return [int.from_bytes(message) for message in process_allgather(number.to_bytes(8))]
