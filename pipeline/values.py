"""Cells: one spelling per category, numbers and times out of text, whole columns at a time."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Words that stand for a missing cell in text files; the ones pandas and Arrow agree on.
NULL_WORDS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null",
)  # fmt: skip
NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
INFINITY = r"(?i)^[+-]?inf(?:inity)?$"
TIME = pa.timestamp("us", "UTC")
# the years that dates can have, less a day for UTC offsets
EARLIEST = np.datetime64("0001-01-02", "us")
LATEST = np.datetime64("9999-12-30", "us")
OFFSET = re.compile(r"\d(\s?[Zz]|\s?[+-]\d\d(?::?\d\d)?)$")


class Numbers(NamedTuple):
    """A numeric column, null where missing or unreadable, and which cells were unreadable."""

    values: pa.Array
    unreadable: np.ndarray


class Times(NamedTuple):
    """A time column: UTC microseconds; which cells were unreadable, which carry a UTC offset."""

    values: pa.Array
    unreadable: np.ndarray
    aware: np.ndarray
    offsets: frozenset[str]


def canonical(value: Any) -> str | None:
    """One spelling per category: None and NaN stay missing, true, 5 for 5.0, else its text."""
    if value is None or value != value:
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def texts(column: pa.Array) -> pa.Array:
    """`canonical` of every cell, as an Arrow string array with nulls where missing."""
    column = plain(column)
    if is_text(column.type):
        return column.cast(pa.string())
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    if pa.types.is_decimal(column.type):
        return text_categories(column, False, False)
    encoded = column.dictionary_encode()
    spelled = pa.array([canonical(v) for v in encoded.dictionary.to_pylist()], pa.string())
    return spelled.take(encoded.indices)


def text_categories(column: pa.Array, binary: bool, words_for_null: bool) -> pa.Array:
    """`texts` of a text file's cells: 1.0 and True become what a typed reader makes of them."""
    column = without_null_words(column) if words_for_null else column.cast(pa.string())
    column = pc.replace_substring_regex(column, r"^(-?\d+)\.0+$", r"\1")
    if binary:
        truth = pc.match_substring_regex(column, r"(?i)^(?:true|false)$")
        column = pc.if_else(truth, pc.utf8_lower(column), column)
    return column


def numbers(column: pa.Array) -> Numbers:
    """Parse a column into float64; infinities are kept for the caller to judge."""
    column = plain(column)
    n = len(column)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())  # Arrow rounds a text rightly, and a decimal nearly
        return Numbers(column.cast(pa.float64()), np.zeros(n, bool))
    if not is_text(column.type):
        values = column.cast(pa.float64(), safe=False)
        return Numbers(_nan_to_null(values), np.zeros(n, bool))
    cells = without_null_words(pc.utf8_trim_whitespace(column.cast(pa.string())))
    cells = pc.replace_substring_regex(cells, r"^\+", "")
    infinite = _mask(pc.match_substring_regex(cells, INFINITY))
    readable = _mask(pc.match_substring_regex(cells, NUMBER))
    parsed = pc.if_else(pa.array(readable), cells, pa.scalar(None, pa.string())).cast(pa.float64())
    sign = _mask(pc.starts_with(cells, "-"))
    endless = pa.array(np.where(sign, -np.inf, np.inf))
    values = pc.if_else(pa.array(infinite), endless, parsed)
    present = cells.is_valid().to_numpy(zero_copy_only=False)
    return Numbers(values, present & ~readable & ~infinite)


def times(column: pa.Array, timezone: str | None) -> Times:
    """Parse a column into UTC microseconds.

    Args:
        column: time stamps, dates or ISO 8601 text.
        timezone: of cells without a UTC offset; None means UTC.
    """
    column = plain(column)
    if is_text(column.type):
        return _times_from_text(column.cast(pa.string()), timezone or "UTC")
    n = len(column)
    aware = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if aware:
        values = column.cast(TIME, safe=False)
    else:
        values = localised(column.cast(pa.timestamp("us"), safe=False), timezone or "UTC")
    outside = _outside_calendar(values)
    values = pc.if_else(pa.array(outside), pa.scalar(None, TIME), values)
    return Times(values, outside, np.full(n, aware), frozenset())


def localised(column: pa.Array, timezone: str) -> pa.Array:
    """Wall-clock stamps to UTC; of an hour that comes twice the first is meant."""
    zoned = pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="latest")
    return zoned.cast(TIME)


def without_null_words(column: pa.Array) -> pa.Array:
    """Null where a text cell is one of `NULL_WORDS`."""
    column = column.cast(pa.string())
    missing = pc.is_in(column, pa.array(NULL_WORDS))
    return pc.if_else(missing, pa.scalar(None, pa.string()), column)


def plain(column: pa.Array) -> pa.Array:
    """The column without dictionary encoding, chunks or half floats, which Arrow hardly knows."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.float32()) if pa.types.is_float16(column.type) else column


def is_text(kind: pa.DataType) -> bool:
    """Whether cells of this type are text, in any of Arrow's three layouts."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Whether cells of this type are bytes, in any of Arrow's layouts."""
    t = pa.types
    return bool(
        t.is_binary(kind)
        or t.is_large_binary(kind)
        or t.is_fixed_size_binary(kind)
        or t.is_binary_view(kind)
    )


def _times_from_text(column: pa.Array, timezone: str) -> Times:
    cells = without_null_words(pc.utf8_trim_whitespace(column))
    series = pd.Series(cells.to_numpy(zero_copy_only=False), dtype=object)
    parsed = pd.to_datetime(series, format="ISO8601", utc=True, errors="coerce")
    present = cells.is_valid().to_numpy(zero_copy_only=False)
    found = [OFFSET.search(v) if v and len(v) > 10 else None for v in series]
    aware = np.array([match is not None for match in found], bool)
    offsets = frozenset(match[1].strip().upper() for match in found if match)
    stamps = parsed.to_numpy(dtype="datetime64[us]")
    stamps = np.where((stamps >= EARLIEST) & (stamps <= LATEST), stamps, np.datetime64("NaT"))
    instants = pa.array(stamps, pa.timestamp("us"), mask=np.isnat(stamps))
    utc = instants.cast(TIME)
    values = pc.if_else(pa.array(aware), utc, localised(instants, timezone))
    readable = ~np.isnat(stamps)
    return Times(values, present & ~readable, aware & readable, offsets)


def _outside_calendar(values: pa.Array) -> np.ndarray:
    """(N,) True for stamps before the year 1 or after 9999, which nothing can write as a date."""
    stamps = values.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    outside: np.ndarray = (stamps < EARLIEST) | (stamps > LATEST)
    return outside


def _nan_to_null(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _mask(condition: pa.Array) -> np.ndarray:
    mask: np.ndarray = pc.fill_null(condition, False).to_numpy(zero_copy_only=False)
    return mask
