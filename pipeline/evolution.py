"""Tables of an earlier release, brought up to this one's columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from pipeline.errors import ConflictError, TableWriteError
from pipeline.tables import TABLES

if TYPE_CHECKING:
    from pipeline.lake import Lake

ATTEMPTS = 10


def add_columns(lake: Lake) -> None:
    """Give the tables the columns that have come since they were made; null in their old rows.

    The columns of `ingested` are the config's: `Lake.fit_columns` looks after those. Runs side by
    side may all call this: one adds the columns, and whoever writes meanwhile looks again.

    Raises:
        TableMissingError: a table has not been created.
        TableWriteError: the columns cannot be added.
        ConflictError: other writers kept changing the table.
    """
    for table, schema in TABLES.items():
        if table != "ingested":
            _until_there(lake, table, schema(lake.config))


def _until_there(lake: Lake, table: str, wanted: pa.Schema) -> None:
    for _ in range(ATTEMPTS):
        handle = lake.open(table)
        there = {field.name for field in handle.schema().fields}
        missing = [field for field in wanted if field.name not in there]
        if not missing:
            return
        try:
            handle.alter.add_columns(Schema.from_arrow(pa.schema(missing)).fields)
        except CommitFailedError:
            continue
        except (DeltaError, OSError) as error:
            first = str(error).partition("\n")[0]
            raise TableWriteError(
                f"cannot add the columns {', '.join(field.name for field in missing)} to "
                f"{handle.table_uri}: {first}",
                hint="Look at the rights and the free space of that place, then run again.",
            ) from error
    raise ConflictError(
        f"other runs kept changing the table `{table}` while columns were to be added",
        hint="Nothing is lost; run again when fewer runs are under way.",
    )
