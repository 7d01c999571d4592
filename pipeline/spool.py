"""Rows kept aside on disk until it is known how many they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

import pyarrow as pa

SLICE_ROWS = 65_536


class Spool:
    """An anonymous file of record batches that disappears with its process, killed or not.

    Args:
        schema: of every batch.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self.rows = 0
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._writer: pa.ipc.RecordBatchStreamWriter | None = pa.ipc.new_stream(self._file, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep a batch."""
        assert self._writer is not None, "the spool has been read already"
        if batch.num_rows:
            self._writer.write_batch(batch)
            self.rows += batch.num_rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All batches in the order they came; may be called again, one at a time."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._file.seek(0)
        yield from pa.ipc.open_stream(self._file)

    def sorted_batches(self, column: str) -> Iterator[pa.RecordBatch]:
        """All rows by `column`, ties in the order they came, missing ones last.

        Rows that are in order already stream from disk; others are sorted in memory.
        """
        if self._is_sorted(column):
            yield from self.batches()
            return
        table = pa.Table.from_batches(self.batches(), self.schema)
        table = table.append_column("", pa.array(range(table.num_rows), pa.int64()))
        order = [(column, "ascending"), ("", "ascending")]
        table = table.sort_by(order).drop_columns([""])
        yield from table.combine_chunks().to_batches(max_chunksize=SLICE_ROWS)

    def _is_sorted(self, column: str) -> bool:
        last = None
        ended = False  # missing values have begun
        for batch in self.batches():
            values = batch.column(column)
            missing = values.null_count
            if (missing and values[: len(values) - missing].null_count) or (
                ended and missing < len(values)
            ):
                return False
            ended = ended or missing > 0
            stamps = values.drop_null().cast(pa.int64()).to_numpy()
            if len(stamps) == 0:
                continue
            if (stamps[1:] < stamps[:-1]).any() or (last is not None and stamps[0] < last):
                return False
            last = stamps[-1]
        return True
