"""Parquet files. The fields of a struct column `a` become columns `a.b`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files import Content
from pipeline.readers.base import BATCH_ROWS, Opened, RawBatch
from pipeline.source_settings import Source


def open_parquet(content: Content, source: Source) -> Opened:
    """Open a Parquet file; `source` has nothing to say about it."""
    file = pq.ParquetFile(content.open())

    def batches() -> Iterator[RawBatch]:
        done = 0
        with file:
            for rows in file.iter_batches(BATCH_ROWS, use_threads=False):
                yield RawBatch(flat(rows), np.arange(done + 1, done + rows.num_rows + 1))
                done += rows.num_rows

    return Opened(flat_schema(file.schema_arrow), batches())


def flat(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Structs as columns of their own, at any depth; a missing struct has missing fields."""
    while any(pa.types.is_struct(field.type) for field in rows.schema):
        table = pa.Table.from_batches([rows]).flatten().combine_chunks()
        batches = table.to_batches()
        rows = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    return rows


def flat_schema(schema: pa.Schema) -> pa.Schema:
    """The schema that `flat` gives its rows."""
    return flat(pa.RecordBatch.from_pylist([], schema=schema)).schema
