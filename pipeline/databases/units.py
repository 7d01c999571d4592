"""A stream of rows in order of their watermark, cut where the watermark changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.databases.base import RawRows
from pipeline.readers import RawBatch


def units(batches: Iterator[RawBatch], least: int) -> Iterator[Iterator[RawBatch]]:
    """Cut a stream into units of at least so many rows, none of them within one watermark.

    Each unit has to be read to its end before the next one.
    """
    waiting: list[RawBatch] = []

    def following() -> RawBatch | None:
        return waiting.pop() if waiting else next(batches, None)

    def unit() -> Iterator[RawBatch]:
        rows, last = 0, None
        while (batch := following()) is not None:
            numbers = batch.numbers
            before = np.r_[numbers[0] if last is None else last, numbers[:-1]]
            changes = np.flatnonzero(numbers != before)
            changes = changes[changes >= least - rows]
            if len(changes):
                cut = int(changes[0])
                waiting.append(part_of(batch, np.arange(cut, len(numbers))))
                if cut:
                    yield part_of(batch, np.arange(cut))
                return
            yield batch
            rows, last = rows + len(numbers), numbers[-1]

    while (batch := following()) is not None:
        waiting.append(batch)
        yield unit()


def part_of(batch: RawBatch, places: np.ndarray) -> RawBatch:
    """Some rows of a batch from a database."""
    raw = batch.raw.those(places.tolist()) if isinstance(batch.raw, RawRows) else None
    return RawBatch(batch.rows.take(pa.array(places)), batch.numbers[places], raw)
