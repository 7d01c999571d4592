"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline.readers.base import BATCH_ROWS, Opened, RawBatch
from pipeline.settings import Source


def open_parquet(path: Path, source: Source) -> Opened:
    """Open a Parquet file; `source` has nothing to say about it."""
    file = pq.ParquetFile(path)

    def batches() -> Iterator[RawBatch]:
        done = 0
        with file:
            for rows in file.iter_batches(BATCH_ROWS, use_threads=False):
                yield RawBatch(rows, np.arange(done + 1, done + rows.num_rows + 1))
                done += rows.num_rows

    return Opened(file.schema_arrow, batches())
