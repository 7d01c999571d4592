"""Work on the next items while one is in use: reading, computing and writing overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = 2


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` on each item in two threads; results in order, two of them waiting at most.

    An error is raised in its turn. Who stops early waits for what is under way, not for the rest.
    """
    begun: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(THREADS)
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > THREADS:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
