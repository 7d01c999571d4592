"""Watermarks as whole numbers, which Delta keeps as transaction versions, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import SourceError

MICROSECONDS = 1_000_000
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1)
LEAST_DAY = (datetime(1, 1, 2) - EPOCH) // DAY
LEAST = LEAST_DAY * 86_400 * MICROSECONDS


@dataclass(frozen=True)
class Kind:
    """What a watermark column holds.

    Attributes:
        title: in words.
        numbers: (N,) int64 of N cells as the database gives them, in the cells' order.
        value: the cell of a number, to be compared with in the database.
        unit: how much of a number is 1 of `lookback`.
        least: the smallest number that has a value.
    """

    title: str
    numbers: Callable[[Sequence[Any]], np.ndarray]
    value: Callable[[int], Any]
    unit: int = 1
    least: int = -(2**63)

    def below(self, number: int, lookback: float) -> int:
        """A number as far below another as `lookback` says."""
        return max(number - int(lookback * self.unit), self.least)

    def shown(self, number: int) -> str:
        """A number as people write the watermark."""
        return f"{number:,}" if self.value is int else str(self.value(number))


def numbers_of(kind: Kind, cells: Sequence[Any], column: str) -> np.ndarray:
    """`kind.numbers`.

    Raises:
        SourceError: a cell is of another kind.
    """
    try:
        return kind.numbers(cells)
    except (pa.ArrowException, OverflowError) as error:
        raise SourceError(
            f"has a watermark `{column}` that is no {kind.title} ({str(error)[:200]})",
            hint="A watermark needs whole numbers, dates or time stamps, of one kind in all rows; "
            "mend the rows, or convert the column in a `source.sql.query`.",
        ) from None


def _whole(cells: Sequence[Any]) -> np.ndarray:
    as_text = bool(cells) and isinstance(cells[0], str)  # PostgreSQL's numeric
    array = pa.array(cells, pa.string() if as_text else pa.int64())
    return array.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _stamps(zone: str | None) -> Callable[[Sequence[Any]], np.ndarray]:
    def numbers(cells: Sequence[Any]) -> np.ndarray:
        stamps = pa.array(cells, pa.string()).cast(pa.timestamp("us", zone))
        return stamps.cast(pa.int64()).to_numpy(zero_copy_only=False)

    return numbers


def _days(cells: Sequence[Any]) -> np.ndarray:
    days = pa.array(cells, pa.string()).cast(pa.date32())
    return days.cast(pa.int32()).cast(pa.int64()).to_numpy(zero_copy_only=False)


def _stamp(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=number)


def _zoned(number: int) -> datetime:
    return _stamp(number).replace(tzinfo=UTC)


def _day(number: int) -> date:
    return (EPOCH + number * DAY).date()


def _text(number: int) -> str:
    return _stamp(number).isoformat(" ", "milliseconds")


KINDS: dict[str, Kind] = {
    "integer": Kind("whole number", _whole, int),
    "timestamp": Kind("time stamp", _stamps(None), _stamp, MICROSECONDS, LEAST),
    "timestamptz": Kind("time stamp with time zone", _stamps("UTC"), _zoned, MICROSECONDS, LEAST),
    "date": Kind("date", _days, _day, 1, LEAST_DAY),
    "text": Kind("ISO 8601 time stamp", _stamps(None), _text, MICROSECONDS, LEAST),
}
