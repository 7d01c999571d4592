"""Tables of an earlier release, brought up to this one's columns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from pipeline.commits import until_settled
from pipeline.errors import TableWriteError
from pipeline.stores import reason
from pipeline.tables import TABLES

if TYPE_CHECKING:
    from pipeline.lake import Lake


def add_columns(lake: Lake) -> None:
    """Give the tables the columns that have come since they were made; null in their old rows.

    A whole table that has come since is made.

    The columns of `ingested` are the config's: `Lake.fit_columns` looks after those. Runs side by
    side may all call this: one adds the columns, and whoever writes meanwhile looks again.

    Raises:
        TableMissingError: a table has not been created.
        TableWriteError: the columns cannot be added.
        ConflictError: other writers kept changing the table.
    """
    lake.ensure("rescored")
    for table, schema in TABLES.items():
        if table != "ingested":
            until_settled(lake, table, partial(_add_missing, wanted=schema(lake.config)))


def _add_missing(handle: DeltaTable, wanted: pa.Schema) -> bool | None:
    """True once the columns are there, None where another writer was first."""
    there = {field.name for field in handle.schema().fields}
    missing = [field for field in wanted if field.name not in there]
    if not missing:
        return True
    try:
        handle.alter.add_columns(Schema.from_arrow(pa.schema(missing)).fields)
    except CommitFailedError:
        return None
    except (DeltaError, OSError) as error:
        raise TableWriteError(
            f"cannot add the columns {', '.join(field.name for field in missing)} to "
            f"{handle.table_uri}: {reason(error)}",
            hint="Look at the rights and the free space of that place, then run again.",
        ) from error
    return True
