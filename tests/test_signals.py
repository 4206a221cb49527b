"""Handlers are installed in the main thread only, and the previous ones come back."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from w2v_jax.signals import handle_signals, stop_requests


@pytest.fixture(autouse=True)
def previous() -> Iterator[list[int]]:
    """Collect the SIGTERMs that reach the handler from before."""
    received: list[int] = []
    default = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, default)


def test_handlers_are_restored_after_an_error() -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    is_sigterms = lambda handler: handler == handlers[signal.SIGTERM]
    with contextlib.suppress(KeyError), handle_signals(lambda *_: None, replaces=is_sigterms):
        assert signal.getsignal(signal.SIGTERM) != handlers[signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) == handlers[signal.SIGINT]
        raise KeyError
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_second_stop_request_goes_to_the_previous_handler(previous: list[int]) -> None:
    with stop_requests() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (received, previous) == ([signal.SIGTERM], [])
        os.kill(os.getpid(), signal.SIGTERM)
        assert (received, previous) == ([signal.SIGTERM], [signal.SIGTERM])


def test_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with stop_requests() as received:
        os.kill(os.getpid(), signal.SIGTERM)
    assert received == []


def test_other_threads_install_no_handler(previous: list[int]) -> None:
    handlers = []

    def run() -> None:
        with stop_requests():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]
