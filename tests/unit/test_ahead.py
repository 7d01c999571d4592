"""Work that runs ahead: in order, bounded, errors in their turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.ahead import THREADS, in_order


def test_results_come_in_order_whatever_takes_longer() -> None:
    def slowly(item: int) -> int:
        time.sleep(0.02 if item % 2 else 0.0)
        return item * item

    assert list(in_order(slowly, range(9))) == [item * item for item in range(9)]
    assert list(in_order(slowly, [])) == []


def test_no_more_is_begun_than_threads_and_what_is_taken() -> None:
    begun: list[int] = []

    def asked() -> Iterator[int]:
        for item in range(50):
            begun.append(item)
            yield item

    results = in_order(lambda item: item, asked())
    assert next(results) == 0
    assert len(begun) == THREADS + 1
    results.close()  # type: ignore[attr-defined]
    assert len(begun) == THREADS + 1


def test_an_error_is_raised_in_its_turn_and_leaves_no_thread() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise OSError("disk full")
        return item

    before, found = threading.active_count(), []
    with pytest.raises(OSError, match="disk full"):
        for result in in_order(work, range(100)):
            found.append(result)
    assert found == [0, 1, 2]
    assert threading.active_count() == before
