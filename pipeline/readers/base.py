"""What every reader gives: raw rows with their place in the file, and rows it could not parse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.files import Content
from pipeline.source_settings import Source

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Malformed:
    """A row that could not be parsed at all.

    Attributes:
        number: place in the file, from 1.
        raw: the row's text.
        reason: why, in words that are the same for all rows with this trouble.
    """

    number: int
    raw: str
    reason: str


@dataclass(frozen=True)
class RawBatch:
    """Some rows of a file, N of them, as they came.

    Attributes:
        rows: columns under their own names.
        numbers: (N,) place in the file, from 1, rising.
        raw: (N,) text of each row where the format has it; None where the cells are all there is.
        malformed: rows of this stretch of the file that could not be parsed.
    """

    rows: pa.RecordBatch
    numbers: np.ndarray
    raw: Sequence[str] | None = None
    malformed: Sequence[Malformed] = ()


@dataclass(frozen=True)
class Opened:
    """A file being read.

    Attributes:
        schema: columns and types; None where only the rows tell (JSON lines).
        batches: the rows, in the file's order.
        cells_are_text: whether numbers and booleans arrive as text.
        words_for_null: whether words such as NA stand for a missing cell.
        folder: at which paths of picture files in cells start; None where they are not followed.
    """

    schema: pa.Schema | None
    batches: Iterator[RawBatch]
    cells_are_text: bool = False
    words_for_null: bool = False
    folder: Path | None = None


Reader = Callable[[Content, Source], Opened]
