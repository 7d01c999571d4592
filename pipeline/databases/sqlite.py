"""SQLite files. Columns hold what they like there, so cells decide and not their declared type."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from pipeline.databases.base import Dialect, arrow
from pipeline.errors import SourceError

SECONDS_TO_WAIT = 60.0  # for somebody who writes
KIND_OF = {"integer": "integer", "text": "text"}


def engine(url: sa.URL, folder: Path) -> sa.Engine:
    """An engine that reads a file which is there; it neither makes nor changes one."""
    if not url.database or url.database == ":memory:":
        raise SourceError(
            "has no file in its `source.sql.url`",
            hint="Write sqlite:///shop.db (relative to the config) or sqlite:////data/shop.db.",
        )
    file = folder / Path(url.database).expanduser()
    if not file.is_file():
        raise SourceError(f"cannot be read: there is no file {file}", hint="Check the path.")

    def connect() -> sqlite3.Connection:
        address = f"file:{quote(str(file))}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=SECONDS_TO_WAIT)

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.NullPool)


def kind(
    connection: sa.Connection, rows: sa.FromClause, column: str, type_code: None
) -> str | None:
    """By the least and the greatest cell: SQLite sorts numbers before text before bytes."""
    cell: sa.ColumnElement[Any] = sa.column(column)
    ends = [sa.func.typeof(end(cell)) for end in (sa.func.min, sa.func.max)]
    first, last = connection.execute(sa.select(*ends).select_from(rows)).one()
    if first == last == "null":
        return None
    found = {first, last}
    if len(found) == 1 and first in KIND_OF:
        return KIND_OF[first]
    raise SourceError(
        f"has a watermark `{column}` that holds {' and '.join(sorted(found))}; it needs integers, "
        "or time stamps as ISO 8601 text",
        hint="Mend those rows, choose another column, or convert it in a `source.sql.query`.",
    )


def ordered(column: sa.ColumnElement[Any], kind: str) -> sa.ColumnElement[Any]:
    """Time stamps in one spelling, UTC milliseconds; text that is none is null."""
    if kind != "text":
        return column
    # text() rather than a literal: a percent sign is the format's own
    return sa.func.strftime("%Y-%m-%d %H:%M:%f", column)


SQLITE = Dialect(
    engine,
    kind,
    ordered,
    lambda column, type_code: column,
    lambda connection: connection.cursor(),
    lambda values, type_code, role: arrow(values),
)
