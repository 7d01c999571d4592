"""What the product needs to know of a database system."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.values import canonical

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True)
class Dialect:
    """One database system.

    Attributes:
        engine: makes an engine that reads, from a URL with its secrets and the folder at which
            relative paths start.
        kind: which of `watermarks.KINDS` a column is; None where it holds nothing. Asked with a
            connection, what rows are selected from, the column's name and its driver's type.
        ordered: the watermark column as it is to be compared and sorted.
        selected: a column as it is to be read, given its driver's type.
        cursor: a cursor on the driver's connection that streams, from the server if there is one.
        cells: N cells of a column, given its driver's type and its role.
    """

    engine: Callable[[sa.URL, Path], sa.Engine]
    kind: Callable[[sa.Connection, sa.FromClause, str, Any], str | None]
    ordered: Callable[[sa.ColumnElement[Any], str], sa.ColumnElement[Any]]
    selected: Callable[[sa.ColumnElement[Any], Any], sa.ColumnElement[Any]]
    cursor: Callable[[Any], Any]
    cells: Callable[[Sequence[Any], Any, str], pa.Array]


def arrow(cells: Sequence[Any]) -> pa.Array:
    """Python values of one column; values of several kinds become text, so none is refused here."""
    try:
        array = pa.array(cells)
        if not isinstance(array.type, pa.BaseExtensionType):  # a UUID is text
            return array
    except (pa.ArrowException, OverflowError):
        pass
    return pa.array([canonical(cell) for cell in cells], pa.string())


class RawRows(Sequence[str]):
    """Rows as JSON, each made when it is asked for: only refused rows are.

    Args:
        names: of the columns.
        rows: cells of each row, at least as many as names.
    """

    def __init__(self, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        self.names, self.rows = names, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return RawRows(self.names, self.rows[at])
        cells = dict(zip(self.names, self.rows[at], strict=False))
        return json.dumps(cells, ensure_ascii=False, default=_text)

    def those(self, places: Iterable[int]) -> RawRows:
        """Some of the rows."""
        return RawRows(self.names, [self.rows[at] for at in places])


def _text(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
