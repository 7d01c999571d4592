"""PostgreSQL by psycopg2."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pipeline.databases.base import Dialect, arrow
from pipeline.errors import SourceError
from pipeline.files import installed
from pipeline.values import text_categories

# type numbers of PostgreSQL's catalogue, which no release changes
NUMERIC = 1700
TIMES = {1082: "date", 1114: "timestamp", 1184: "timestamptz"}
WHOLE = {20, 21, 23, NUMERIC}
SECONDS_TO_CONNECT = 30
NUMBERS = itertools.count()


def engine(url: sa.URL, folder: Path) -> sa.Engine:
    """An engine whose sessions read only, and write times in one way."""
    installed("psycopg2", "postgres")
    made = sa.create_engine(
        url.set(drivername="postgresql+psycopg2"),
        poolclass=sa.pool.NullPool,
        connect_args={"connect_timeout": SECONDS_TO_CONNECT} | dict(url.query),
        execution_options={"postgresql_readonly": True},
    )

    @sa.event.listens_for(made, "connect")
    def settle(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SET TIME ZONE 'UTC'; SET datestyle TO ISO; SET intervalstyle TO iso_8601"
            )
        connection.commit()

    return made


def kind(connection: sa.Connection, rows: sa.FromClause, column: str, type_code: int) -> str | None:
    """By the column's type alone."""
    if type_code in WHOLE:
        return "integer"
    if type_code in TIMES:
        return TIMES[type_code]
    named = connection.scalar(sa.select(sa.func.format_type(type_code, None)))
    raise SourceError(
        f"has a watermark `{column}` of type {named}; it needs whole numbers, dates or time stamps",
        hint="Choose another column, or convert it in a `source.sql.query`.",
    )


def selected(column: sa.ColumnElement[Any], type_code: int) -> sa.ColumnElement[Any]:
    """Times and decimals as text: Arrow reads them faster than the driver, and any of them."""
    return sa.cast(column, sa.Text) if type_code in TIMES or type_code == NUMERIC else column


def cursor(connection: Any) -> Any:
    """A cursor of the server: rows wait there."""
    return connection.cursor(name=f"vae_anomaly_{next(NUMBERS)}")


def cells(values: Sequence[Any], type_code: int, role: str) -> pa.Array:
    """Times and decimals out of their text; what Arrow cannot read stays text, to be judged."""
    if type_code not in TIMES and type_code != NUMERIC:
        return arrow(values)
    texts = pa.array(values, pa.string())
    if type_code == NUMERIC and role != "numeric":
        return text_categories(texts, False, False)  # 5.00 is 5, as in a file
    zone = "UTC" if TIMES.get(type_code) == "timestamptz" else None
    try:
        return texts.cast(pa.float64() if type_code == NUMERIC else pa.timestamp("us", zone))
    except pa.ArrowException:
        return texts


POSTGRESQL = Dialect(engine, kind, lambda column, kind: column, selected, cursor, cells)
