"""CSV files. Every cell is read as text, so that one bad cell costs one row and not the file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyarrow import csv

from pipeline.errors import SourceError
from pipeline.files import Content
from pipeline.readers.base import Malformed, Opened, RawBatch
from pipeline.source_settings import Source

BLOCK_BYTES = 8 << 20


def open_delimited(content: Content, source: Source) -> Opened:
    """Open a CSV file with a header line.

    Raises:
        SourceError: the header names a column twice.
    """
    names = _header(content, source)
    malformed: list[Malformed] = []

    def keep(row: csv.InvalidRow) -> str:
        reason = f"{row.actual_columns} cells instead of {row.expected_columns}"
        # the reader counts the header as row 1
        malformed.append(Malformed(row.number - 1, row.text, reason))
        return "skip"

    reader = csv.open_csv(
        content.stream(),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, encoding=source.encoding
        ),
        parse_options=csv.ParseOptions(
            delimiter=source.delimiter, newlines_in_values=True, invalid_row_handler=keep
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
        ),
    )
    return Opened(
        reader.schema, _batches(reader, malformed), cells_are_text=True, words_for_null=True
    )


def _header(content: Content, source: Source) -> list[str]:
    options = csv.ReadOptions(use_threads=False, encoding=source.encoding)
    parse = csv.ParseOptions(
        delimiter=source.delimiter, newlines_in_values=True, invalid_row_handler=lambda row: "skip"
    )
    with csv.open_csv(content.stream(), read_options=options, parse_options=parse) as reader:
        names: list[str] = reader.schema.names
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SourceError(
            f"the header names a column twice: {', '.join(twice)}",
            hint="Give every column a name of its own.",
        )
    return names


def _batches(reader: csv.CSVStreamingReader, malformed: list[Malformed]) -> Iterator[RawBatch]:
    last = 0
    taken = np.arange(0)  # numbers of malformed rows; the reader parses ahead of what it yields
    with reader:
        for rows in reader:
            new, malformed[:] = tuple(malformed), []
            taken = np.union1d(taken[taken > last], np.array([m.number for m in new], np.int64))
            numbers = _free_numbers(last, rows.num_rows, taken)
            last = int(numbers[-1]) if len(numbers) else last
            yield RawBatch(rows, numbers, malformed=new)
    if malformed:
        nothing = pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield RawBatch(nothing, np.arange(0), malformed=tuple(malformed))


def _free_numbers(last: int, count: int, taken: np.ndarray) -> np.ndarray:
    """The next `count` row numbers after `last` that malformed rows do not hold."""
    candidates = np.arange(last + 1, last + count + len(taken) + 1)
    return candidates[~np.isin(candidates, taken)][:count]
