"""One write to a Delta table through an opened handle: who comes second looks again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from pipeline.errors import ConflictError, TableWriteError
from pipeline.stores import reason

if TYPE_CHECKING:
    from pipeline.lake import Lake

T = TypeVar("T")

ATTEMPTS = 30
GROUP_ROWS = 65_536
# a column of more distinct values than this holds is stored as it is: a dictionary that nearly
# every value stands in takes three times as long to write, longer to read, and more room
DICTIONARY_BYTES = 128 << 10
# the same for files that pyarrow writes beside those of a table
PARQUET = {"compression": "zstd", "dictionary_pagesize_limit": DICTIONARY_BYTES}


def commit(
    handle: DeltaTable,
    stream: pa.RecordBatchReader,
    transactions: dict[str, int],
    anew: bool = False,
    group_rows: int = GROUP_ROWS,
) -> bool:
    """Write rows with their transaction ids, or nothing.

    Args:
        handle: the table as it was looked at.
        stream: rows.
        transactions: version by application id.
        anew: replace the table's rows and columns by the stream's.
        group_rows: rows that a reader will have in memory at once, and this writer before it.

    Returns:
        False where another writer was first.

    Raises:
        TableWriteError: the place cannot be written to.
    """
    return _commits(
        handle,
        lambda: write_deltalake(
            handle,
            stream,
            mode="overwrite" if anew else "append",
            schema_mode="overwrite" if anew else None,
            commit_properties=_carrying(transactions),
            writer_properties=WriterProperties(
                compression="ZSTD",
                max_row_group_size=group_rows,
                dictionary_page_size_limit=DICTIONARY_BYTES,
            ),
        ),
    )


def add_file(handle: DeltaTable, file: AddAction, transactions: dict[str, int]) -> bool:
    """Make a file that lies in the table's place part of the table, with transaction ids.

    Args:
        handle: the table as it was looked at.
        file: what the log says of it.
        transactions: version by application id.

    Returns:
        False where another writer was first.

    Raises:
        TableWriteError: the place cannot be written to.
    """
    return _commits(
        handle,
        lambda: handle.create_write_transaction(
            [file], "append", handle.schema(), commit_properties=_carrying(transactions)
        ),
    )


def _carrying(transactions: dict[str, int]) -> CommitProperties:
    ids = [Transaction(app_id, version) for app_id, version in transactions.items()]
    return CommitProperties(app_transactions=ids)


def _commits(handle: DeltaTable, write: Callable[[], None]) -> bool:
    try:
        write()
    except CommitFailedError:
        return False
    except (DeltaError, OSError) as error:
        raise TableWriteError(
            f"cannot write to {handle.table_uri}: {reason(error)}",
            hint="Look at the rights and the free space of that place; nothing of this write "
            "is in the table. Then run again.",
        ) from error
    return True


def until_settled(lake: Lake, table: str, attempt: Callable[[DeltaTable], T | None]) -> T:
    """Try again with a fresh handle until the attempt gives something, waiting in between.

    Args:
        lake: of the data set.
        table: one of its tables.
        attempt: gives None where another writer was first.

    Raises:
        TableMissingError: the table has not been created.
        ConflictError: other writers were always first.
    """
    for tries in range(ATTEMPTS):
        outcome = attempt(lake.open(table))
        if outcome is not None:
            return outcome
        time.sleep(random.uniform(0, min(1.0, 0.02 * 2**tries)))
    raise ConflictError(
        f"the table `{table}` of {lake.config.name!r} was changed by others "
        f"{ATTEMPTS} times while this run wanted to write",
        hint="Nothing was written; run again when fewer runs are under way.",
    )


def number(
    batches: Iterable[pa.RecordBatch], first: int, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The batches in `schema`, with `_row_id` counting up from `first`."""
    for batch in batches:
        ids = pa.array(range(first, first + batch.num_rows), pa.int64())
        columns = [ids if n == "_row_id" else batch.column(n) for n in schema.names]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
        first += batch.num_rows


def reached(handle: DeltaTable, transactions: dict[str, int]) -> bool:
    """Whether one of the transaction ids is in the table, at this version or a later one."""
    return any((handle.transaction_version(i) or 0) >= v for i, v in transactions.items())
