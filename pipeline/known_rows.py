"""Which rows are there already, told by their cells: a copy for each copy, no more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.databases.units import part_of
from pipeline.readers import RawBatch


class Known:
    """A multiset of keys, from which keys are taken.

    Args:
        keys: (n,) uint64 each, in any number of pieces.
    """

    def __init__(self, keys: Iterable[np.ndarray]) -> None:
        joined = np.concatenate([np.zeros(0, np.uint64), *keys])
        self.keys, self.left = np.unique(joined, return_counts=True)

    def __len__(self) -> int:
        return int(self.left.sum())

    def take(self, keys: np.ndarray) -> np.ndarray:
        """Which of (n,) keys are there, (n,) booleans; each one found is there once less."""
        if len(self.keys) == 0 or len(keys) == 0:
            return np.zeros(len(keys), bool)
        place = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        found = (self.keys[place] == keys) & (_copy_numbers(keys) < self.left[place])
        np.subtract.at(self.left, place[found], 1)
        return found


def keys_of_rows(numbers: pa.Array, cells: pa.RecordBatch) -> np.ndarray:
    """(n,) keys of rows, each by its watermark as a number and its cells."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in cells.columns
    ]
    return _keys(zip(numbers.to_pylist(), *(c.to_pylist() for c in columns), strict=True))


def keys_of_texts(texts: Iterable[Any]) -> np.ndarray:
    """(n,) keys of rows by their text."""
    return _keys(texts)


def rest_of(batch: RawBatch, known: np.ndarray) -> RawBatch:
    """The rows of a batch that are not known."""
    if not known.any():
        return batch
    return part_of(batch, np.flatnonzero(~known))


def _keys(rows: Iterable[Any]) -> np.ndarray:
    digests = (hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).digest()
               for row in rows)  # fmt: skip
    return np.frombuffer(b"".join(digests), np.uint64)


def _copy_numbers(keys: np.ndarray) -> np.ndarray:
    """(n,) how many equal keys come before each one."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(keys)), 0))
    numbers = np.empty(len(keys), np.int64)
    numbers[order] = np.arange(len(keys)) - first
    return numbers
