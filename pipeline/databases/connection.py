"""A database table or query, read in order of its watermark as a stream."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from pipeline.credentials import expanded, masked
from pipeline.databases.base import Dialect, RawRows
from pipeline.databases.postgresql import POSTGRESQL
from pipeline.databases.sqlite import SQLITE
from pipeline.databases.watermarks import KINDS, numbers_of
from pipeline.errors import SourceError
from pipeline.readers import RawBatch
from pipeline.readers.base import BATCH_ROWS
from pipeline.source_settings import SqlSource

DIALECTS: dict[str, Dialect] = {"postgresql": POSTGRESQL, "sqlite": SQLITE}


@dataclass(frozen=True)
class Bounds:
    """A stretch of watermarks, as numbers; None is open."""

    above: int | None = None  # excluded
    since: int | None = None  # included
    until: int | None = None  # included
    below: int | None = None  # excluded


class Table:
    """What `source.sql` names, through one connection.

    Args:
        settings: the section.
        dialect: of its database.
        connection: open.
    """

    def __init__(self, settings: SqlSource, dialect: Dialect, connection: sa.Connection) -> None:
        self.settings, self.dialect, self.connection = settings, dialect, connection
        self.rows = _rows(settings)
        self.cursors: list[Any] = []

    @cached_property
    def types(self) -> dict[str, Any]:
        """The driver's type of each column, in the table's order.

        Raises:
            SourceError: there is no such table, or it has a column twice.
        """
        nothing = sa.select(sa.text("*")).select_from(self.rows).where(sa.false())
        with self.connection.execute(nothing) as result:
            columns = [(c[0], c[1]) for c in result.cursor.description]
        names = [name for name, _ in columns]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise SourceError(
                f"holds a column twice: {', '.join(twice)}",
                hint="Give every column of the query a name of its own.",
            )
        return dict(columns)

    @cached_property
    def kind(self) -> str | None:
        """Which of `KINDS` the watermark is; None where no row has one.

        Raises:
            SourceError: it is none of them.
        """
        column = self.settings.watermark
        return self.dialect.kind(self.connection, self.rows, column, self.types[column])

    def newest(self) -> int | None:
        """The greatest watermark."""
        if self.kind is None:
            return None
        greatest = sa.cast(sa.func.max(self._watermark), sa.Text)
        cell = self.connection.scalar(sa.select(greatest).select_from(self.rows))
        return None if cell is None else int(self._numbers([cell])[0])

    def count(self, bounds: Bounds) -> int:
        """Rows whose watermark lies in the bounds."""
        query = sa.select(sa.func.count()).select_from(self.rows).where(*self._within(bounds))
        return self.connection.scalar(query) or 0

    def count_without(self) -> int:
        """Rows without a watermark."""
        query = sa.select(sa.func.count()).select_from(self.rows)
        return self.connection.scalar(query.where(self._watermark.is_(None))) or 0

    def batches(
        self, roles: dict[str, str], bounds: Bounds | None, limit: int | None = None
    ) -> Iterator[RawBatch]:
        """Rows in order of the watermark, each numbered by it.

        Args:
            roles: of the columns to read.
            bounds: of the watermark; None for the rows without one, numbered 0.
            limit: most rows.
        """
        names = list(roles)
        if self.settings.watermark not in roles:
            names.append(self.settings.watermark)  # refused rows are kept with it
        columns = [self.dialect.selected(sa.column(n), self.types[n]) for n in names]
        query = sa.select(*columns).select_from(self.rows).limit(limit)
        if bounds is None:
            query = query.where(self._watermark.is_(None))
        else:
            query = query.where(*self._within(bounds)).order_by(self._watermark)
        place = names.index(self.settings.watermark)
        if self.kind == "text":  # as it is compared, not as it is written
            place = len(names)
            query = query.add_columns(self._watermark)
        for rows in self._chunks(query):
            cells = list(zip(*rows, strict=True))
            arrays = [
                self.dialect.cells(values, self.types[name], roles[name])
                for name, values in zip(roles, cells, strict=False)
            ]
            none = np.zeros(len(rows), np.int64)
            numbers = none if bounds is None else self._numbers(cells[place])
            batch = pa.RecordBatch.from_arrays(arrays, names=list(roles))
            yield RawBatch(batch, numbers, RawRows(names, rows))

    def watermarks(self) -> list[str]:
        """Columns whose cells would do as a watermark."""
        fit = []
        for column, type_code in self.types.items():
            with suppress(SourceError):
                if self.dialect.kind(self.connection, self.rows, column, type_code):
                    fit.append(column)
        return fit

    def sample(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Some rows with all columns."""
        roles = dict.fromkeys(self.types, "numeric")
        for batch in self.batches(roles, Bounds(), rows):
            yield batch.rows

    @property
    def _watermark(self) -> sa.ColumnElement[Any]:
        return self.dialect.ordered(sa.column(self.settings.watermark), self.kind or "")

    def _within(self, bounds: Bounds) -> list[sa.ColumnElement[bool]]:
        own, kind = self._watermark, KINDS[self.kind or "integer"]
        found: list[sa.ColumnElement[bool]] = [own.is_not(None)]
        if bounds.above is not None:
            found.append(own > kind.value(bounds.above))
        if bounds.since is not None:
            found.append(own >= kind.value(bounds.since))
        if bounds.until is not None:
            found.append(own <= kind.value(bounds.until))
        if bounds.below is not None:
            found.append(own < kind.value(bounds.below))
        return found

    def _numbers(self, cells: Sequence[Any]) -> np.ndarray:
        return numbers_of(KINDS[self.kind or "integer"], cells, self.settings.watermark)

    def _chunks(self, query: sa.Select[Any]) -> Iterator[list[tuple[Any, ...]]]:
        # The driver's own cursor: SQLAlchemy's rows around its tuples take half of the time.
        compiled = query.compile(dialect=self.connection.dialect)
        given: Any = compiled.params
        if compiled.positional:
            given = tuple(compiled.params[name] for name in compiled.positiontup or ())
        cursor = self.dialect.cursor(self.connection.connection.driver_connection)
        self.cursors.append(cursor)
        cursor.execute(str(compiled), given)
        while rows := _fetched(cursor):
            yield rows
        cursor.close()
        self.cursors.remove(cursor)

    def close(self) -> None:
        """Let go of rows that were not read to their end; the connection must be open still."""
        for cursor in self.cursors:
            cursor.close()
        self.cursors.clear()


def _fetched(cursor: Any) -> list[tuple[Any, ...]]:
    """The next rows. Python's collector would walk over them a hundred times: half of the time."""
    paused = gc.isenabled()
    gc.disable()
    try:
        return list(cursor.fetchmany(BATCH_ROWS))
    finally:
        if paused:
            gc.enable()


@contextmanager
def opened(settings: SqlSource, folder: Path) -> Iterator[Table]:
    """Connect, and say the database's errors without its secrets.

    Args:
        settings: the section.
        folder: at which relative paths of SQLite files start.

    Raises:
        SourceError: it cannot be reached, or does not do what it is asked.
    """
    url = _url(settings)
    dialect = DIALECTS.get(url.get_backend_name())
    if dialect is None:
        raise SourceError(
            f"is in a database of kind {url.get_backend_name()}, which is not known",
            hint=f"`source.sql.url` can name {' or '.join(DIALECTS)}; for another one let a job "
            "write files.",
        )
    engine = dialect.engine(url, folder)
    try:
        with engine.connect() as connection:
            table = Table(settings, dialect, connection)
            try:
                yield table
            finally:
                with suppress(engine.dialect.loaded_dbapi.Error):  # the connection may be lost
                    table.close()
    except Exception as error:
        if isinstance(error, SourceError) or not _is_of_database(error, engine):
            raise
        raise _said(error, settings) from None
    finally:
        engine.dispose()


def name_of(settings: SqlSource) -> str:
    """What tables and messages call it. Without the address: a database may move."""
    return f"sql:{settings.table or 'query'}"


def _rows(settings: SqlSource) -> sa.FromClause:
    if settings.table is not None:
        schema, _, table = settings.table.rpartition(".")
        return sa.table(table, schema=schema or None)
    query = (settings.query or "").strip().rstrip(";")
    # on lines of their own, in case the query ends with a comment; its colons are no parameters
    text = f"(\n{query}\n) AS source_rows".replace(":", "\\:")
    return sa.text(text)  # type: ignore[return-value]


def _url(settings: SqlSource) -> sa.URL:
    where = "source.sql.url"
    try:
        url = sa.make_url(settings.url)
    except sa.exc.ArgumentError:
        try:
            return sa.make_url(expanded(settings.url, where))
        except sa.exc.ArgumentError:
            raise SourceError(
                f"has a `{where}` that is no database URL",
                hint="Write it as postgresql://reader:${SHOP_PASSWORD}@host/shop or "
                "sqlite:///shop.db.",
            ) from None
    # part by part, so that a password may hold any character
    return sa.URL.create(
        expanded(url.drivername, where),
        expanded(url.username, where),
        expanded(url.password, where),
        expanded(url.host, where),
        url.port,
        expanded(url.database, where),
        expanded(dict(url.query), where),
    )


def _is_of_database(error: Exception, engine: sa.Engine) -> bool:
    return isinstance(error, (sa.exc.SQLAlchemyError, engine.dialect.loaded_dbapi.Error))


def _said(error: Exception, settings: SqlSource) -> SourceError:
    cause = getattr(error, "orig", None) or error
    text = masked(" ".join(str(cause).split()), settings.url)[:400].rstrip(".")
    return SourceError(
        f"cannot be read ({text})",
        hint="Check `source.sql`: the server, the user's rights, the table and its columns.",
    )
