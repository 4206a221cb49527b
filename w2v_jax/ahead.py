"""Work done ahead of its use, in threads, with its order kept."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = 2  # Arrow and numpy work without Python's lock; the third thread, ours, uses what these find

X = TypeVar("X")
Y = TypeVar("Y")


def map_ahead(function: Callable[[X], Y], items: Iterable[X]) -> Iterator[Y]:
    """`map` in threads that work at most a few items ahead.

    >>> list(map_ahead(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(THREADS) as pool:
        ahead: deque[Future[Y]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                if len(ahead) > THREADS:
                    yield ahead.popleft().result()
            yield from (future.result() for future in ahead)
        finally:
            for future in ahead:
                future.cancel()
