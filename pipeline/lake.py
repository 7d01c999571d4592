"""The Delta tables of one data set, written exactly once.

Delta records transaction ids but does not refuse a repeated one. So every write here opens the
table, skips if the id is already there, and else writes through that very handle: of several
writers with one id Delta lets one commit, and the others look again. Tables are made beforehand,
since first writers that find none would all succeed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as fs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from pipeline.commits import GROUP_ROWS, commit, number, reached, until_settled
from pipeline.config import Config
from pipeline.errors import SchemaError, StoreError, TableMissingError
from pipeline.home import Home
from pipeline.stores import reason, said_plainly
from pipeline.tables import TABLES, column_differences, in_schema

PIECE_ROWS = 131_072
# rows that readers have in memory at once, where they are fewer than usual
GROUPS = {"alerts": 8_192}  # each carries its raw row and its reasons as text
PROPERTIES = {
    # statistics of the columns that reads select on; the default is the first 32 of them
    "ingested": {"delta.dataSkippingStatsColumns": "_row_id,_source,_source_hash"},
    "scores": {"delta.dataSkippingStatsColumns": "_row_id,p_value"},
    "rescored": {"delta.dataSkippingStatsColumns": "_row_id,model_version"},
}


class Numbered(NamedTuple):
    """Row ids given to one file, both included; `last` < `first` where it had no valid row."""

    first: int
    last: int


class Lake:
    """Reads and writes the tables of one data set.

    Args:
        config: names the data set and its columns.
        home: where the tables lie.
        storage_options: passed to Delta. An object store needs none where its own environment
            variables name keys and address, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.
    """

    def __init__(
        self, config: Config, home: Home, storage_options: dict[str, str] | None = None
    ) -> None:
        self.config, self.home, self.storage_options = config, home, storage_options
        self.numbering = f"ingest/{config.name}"

    def uri(self, table: str) -> str:
        """Where `table` lies.

        Raises:
            KeyError: it is none of `TABLES`.
        """
        if table not in TABLES:
            raise KeyError(f"no table {table!r}; there are {', '.join(TABLES)}")
        return self.home.table(self.config.name, table)

    def create(self) -> None:
        """Make the empty tables that do not exist yet, and fit those that do to the config.

        Raises:
            SchemaError: the config's columns are not those of the rows ingested.
        """
        for table, schema in TABLES.items():
            if not self._is_there(table):
                self._create_one(table, schema(self.config))
        self.fit_columns()

    def ensure(self, table: str) -> None:
        """Make a table that has come since the others were made, where it is not there yet."""
        self.open("ingested")  # a wrong home must not grow a table
        if not self._is_there(table):
            self._create_one(table, TABLES[table](self.config))

    def exists(self) -> bool:
        """Whether all tables are there."""
        return all(self._is_there(table) for table in TABLES)

    def open(self, table: str) -> DeltaTable:
        """A fresh handle on `table`.

        Raises:
            TableMissingError: it has not been created.
            StoreError: the place cannot be read.
        """
        try:
            with said_plainly(f"cannot read {self.uri(table)}"):
                return DeltaTable(self.uri(table), storage_options=self.storage_options)
        except StoreError as error:
            if not isinstance(error.__cause__, TableNotFoundError) or "scheme" in error.message:
                raise
            raise TableMissingError(
                f"there is no table `{table}` of {self.config.name!r} in {self.home.place}",
                hint=f"Make the tables with `vae-anomaly init {self.config.path}` or a deploy, or "
                "set VAE_ANOMALY_HOME to the place that holds them.",
            ) from None

    def fit_columns(self) -> None:
        """The `ingested` table holds the config's columns; while it is empty it is given them.

        Raises:
            SchemaError: it holds rows of other columns, with the columns that differ.
        """

        def attempt(handle: DeltaTable) -> bool | None:
            if handle.transaction_version(self.numbering) or not self._differences(handle):
                return True
            # the numbering's own id: a first file that is ingested right now wins over this
            empty = TABLES["ingested"](self.config).empty_table().to_reader()
            return True if commit(handle, empty, {self.numbering: 0}, anew=True) else None

        until_settled(self, "ingested", attempt)
        self.check_columns()

    def check_columns(self) -> None:
        """The `ingested` table holds the config's columns.

        Raises:
            SchemaError: it does not, with the columns that differ.
        """
        parts = self._differences(self.open("ingested"))
        if parts:
            raise SchemaError(
                f"the columns of {self.config.path} do not fit the table of "
                f"{self.config.name!r} ({'; '.join(parts)})",
                hint="Undo the change of `columns`, or start a new data set under another `name`.",
            )

    def _differences(self, handle: DeltaTable) -> list[str]:
        return column_differences(pa.schema(handle.schema().to_arrow()), self.config)

    def transaction_version(self, table: str, app_id: str) -> int | None:
        """Version that the application id has reached in `table`; None if it never wrote."""
        return self.open(table).transaction_version(app_id)

    def append_once(
        self,
        table: str,
        data: pa.Table | Callable[[], pa.RecordBatchReader],
        transactions: dict[str, int],
    ) -> bool:
        """Append `data` unless one of the transaction ids has already reached its version.

        Args:
            table: one of `TABLES`.
            data: rows in the table's schema, or what makes a stream of them.
            transactions: version by application id, recorded with the rows in one commit.

        Returns:
            True if this call wrote the rows, False if they were there.

        Raises:
            TableMissingError: the table has not been created.
            ConflictError: other writers kept changing the same ids.
        """

        def attempt(handle: DeltaTable) -> bool | None:
            if reached(handle, transactions):
                return False
            stream = data.to_reader() if isinstance(data, pa.Table) else data()
            rows = GROUPS.get(table, GROUP_ROWS)
            return True if commit(handle, stream, transactions, group_rows=rows) else None

        return until_settled(self, table, attempt)

    def append_numbered(
        self,
        batches: Callable[[], Iterable[pa.RecordBatch]],
        rows: int,
        transactions: dict[str, int],
    ) -> Numbered | None:
        """Append rows to `ingested` with the next row ids, unless a transaction id is there.

        Args:
            batches: makes a fresh stream of the rows without `_row_id`; called once per attempt.
            rows: how many they are.
            transactions: versions by application id, besides the numbering's own.

        Returns:
            the ids given, or None if the rows were there.

        Raises:
            TableMissingError, ConflictError: as `append_once`.
        """
        schema = TABLES["ingested"](self.config)

        def attempt(handle: DeltaTable) -> Numbered | bool | None:
            if reached(handle, transactions):
                return False
            last = handle.transaction_version(self.numbering) or 0
            stream = pa.RecordBatchReader.from_batches(schema, number(batches(), last + 1, schema))
            ids = transactions if rows == 0 else {**transactions, self.numbering: last + rows}
            return Numbered(last + 1, last + rows) if commit(handle, stream, ids) else None

        outcome = until_settled(self, "ingested", attempt)
        return outcome if isinstance(outcome, Numbered) else None

    def scan(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: ds.Expression | None = None,
        handle: DeltaTable | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Rows of `table` as a stream, in no particular order; of `handle`'s version if given."""
        dataset = (handle or self.open(table)).to_pyarrow_dataset(filesystem=self._files(table))
        # without threads: a scan that is left half-way must not outlive the interpreter; and with
        # one file in memory at a time, not five, and a group or two of its rows, not two million
        scanner = dataset.scanner(
            columns=list(columns) if columns is not None else None,
            filter=where,
            use_threads=False,
            fragment_readahead=1,
            batch_readahead=1,
        )
        with said_plainly(f"cannot read {self.uri(table)}"):
            yield from (batch for batch in scanner.to_batches() if batch.num_rows)

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: ds.Expression | None = None,
    ) -> pa.Table:
        """Rows of `table` as one Arrow table: for small tables and narrow selections.

        A column that an earlier release's table does not have is null.
        """
        schema = TABLES[table](self.config)
        names = schema.names if columns is None else list(columns)
        schema = pa.schema([schema.field(n) for n in names])
        handle = self.open(table)
        there = {field.name for field in handle.schema().fields}
        batches = self.scan(table, [n for n in names if n in there], where, handle)
        return pa.Table.from_batches((in_schema(b, schema) for b in batches), schema)

    def scan_rows(
        self,
        first: int,
        last: int,
        columns: Sequence[str] | None = None,
        piece_rows: int = PIECE_ROWS,
    ) -> Iterator[pa.Table]:
        """Ingested rows `first` to `last`, both included, in order of `_row_id`.

        Args:
            first, last: row ids.
            columns: which to read; `_row_id` always comes along, first. None: all.
            piece_rows: most rows of one piece.

        Raises:
            SchemaError: a row of the range is missing.
        """
        if columns is not None:
            columns = ["_row_id", *(c for c in columns if c != "_row_id")]
        for start in range(first, last + 1, piece_rows):
            stop = min(last, start + piece_rows - 1)
            row = ds.field("_row_id")
            piece = self.read("ingested", columns, (row >= start) & (row <= stop))
            if piece.num_rows != stop - start + 1:
                raise SchemaError(
                    f"the table `ingested` of {self.config.name!r} holds {piece.num_rows:,} rows "
                    f"with ids {start:,} to {stop:,}, expected {stop - start + 1:,}",
                    hint="Rows were deleted or are not ingested yet; choose a range that is there.",
                )
            yield piece.sort_by("_row_id")

    def count(self, table: str, where: ds.Expression | None = None) -> int:
        """Rows of `table`, of those that fulfil `where`."""
        names = TABLES[table](self.config).names[:1]
        return sum(batch.num_rows for batch in self.scan(table, names, where))

    def last_row_id(self) -> int:
        """The newest row id; 0 while nothing is ingested."""
        return self.transaction_version("ingested", self.numbering) or 0

    def _files(self, table: str) -> fs.FileSystem | None:
        """The table's folder as Arrow reads it by itself; None where Delta has to read.

        What Delta reads for Arrow are Python objects. Threads of Arrow's that still hold some when
        a process ends abort it, now and then (apache/arrow#39862).
        """
        if self.home.uri is not None:
            return None
        return fs.SubTreeFileSystem(self.uri(table), fs.LocalFileSystem())

    def _is_there(self, table: str) -> bool:
        with said_plainly(f"cannot read {self.uri(table)}"):
            return DeltaTable.is_deltatable(self.uri(table), self.storage_options)

    def _create_one(self, table: str, schema: pa.Schema) -> None:
        try:
            DeltaTable.create(
                self.uri(table),
                schema,
                mode="error",
                configuration=PROPERTIES.get(table),
                storage_options=self.storage_options,
            )
        except (DeltaError, OSError) as error:
            # unless somebody else made it in this very moment
            if not self._is_there(table):
                raise TableMissingError(
                    f"the table `{table}` of {self.config.name!r} cannot be made in "
                    f"{self.home.place}: {reason(error)}",
                    hint="Set VAE_ANOMALY_HOME to a place that you may write to.",
                ) from error
