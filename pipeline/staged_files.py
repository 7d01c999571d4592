"""Check files on many machines: rows first, side by side, then numbered and committed in order.

A worker checks one file as `pipeline.ingest_files` does and writes its good and its refused rows
as Parquet files into the place of the table `ingested`. They are no part of the table. The run that
asked for them takes them in the order of the source, gives the good rows their `_row_id`, which
have no gaps, and commits both kinds once (`pipeline.ingest_files.write_once`). What a run that is
killed, or fails, leaves behind is read by nobody; `VACUUM` in its full mode removes it. What a
worker cannot use, for whatever reason, the run reads by itself: its word on a file counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.fs as fs
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from pipeline.commits import PARQUET
from pipeline.config import is_uri
from pipeline.errors import SourceError, TableMissingError
from pipeline.files import File, local_file, open_store
from pipeline.ledger import Origin, if_known
from pipeline.sifting import Sifted, row_schemas, sifted_file
from pipeline.sources import fingerprint
from pipeline.spool import Spool
from pipeline.stores import folder_of, said_plainly

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from pipeline.lake import Lake


@dataclass(frozen=True)
class StagedFile:
    """A file that a worker has looked at.

    Attributes:
        name: of the file, absolute or a URI.
        hash: SHA-256 of its content; empty where it could not be used.
        state: size in bytes and time of change of what the worker saw.
        good, bad: Parquet files of its rows, below the place of `ingested`; empty for a file that
            is in the tables already, or could not be used.
        notes: what is odd but accepted.
        trouble: why the worker could not use it; the run looks for itself then.
    """

    name: str
    hash: str = ""
    state: tuple[int, int] | None = None
    good: str = ""
    bad: str = ""
    notes: tuple[str, ...] = ()
    trouble: str | None = None


# Names of files → what workers made of them, in the same order
Read = Callable[[Iterable[str]], Generator[StagedFile, None, None]]


def why_not(config: Config) -> str | None:
    """Why the run has to read a data set's files by itself, in order; None where it need not."""
    if config.source.unique_id_history and config.ids:
        return "`unique_id_history` compares each file's ids with those of the files before it"
    open_ended = [n for n, c in config.columns.items() if c.role == "binary" and c.values is None]
    if open_ended:
        return f"`{open_ended[0]}` is binary without `values`, which the files before it decide"
    if config.image is not None:
        return f"rows name pictures in `{config.image}`, which may lie where only the run sees them"
    return None


def stage_file(home: Home, config: Config, name: str) -> StagedFile:
    """Check a file and write its rows beside the table.

    Args:
        home: of the tables.
        config: of the data set.
        name: absolute path of the file, or its URI.

    Raises:
        StoreError: the tables' place cannot be written to.
    """
    from pipeline.lake import Lake

    lake = Lake(config, home)
    try:
        handle = lake.open("ingested")
        with _file(name, config).content() as content:
            seen = fingerprint(content, config.source)
            origin = Origin(name, seen.hash)
            if if_known(lake, handle, origin):
                return StagedFile(name, seen.hash, seen.state)
            with sifted_file(lake, handle, content, seen) as rows:
                good, bad = _written(lake, origin, rows)
                return StagedFile(name, seen.hash, seen.state, good, bad, rows.notes)
    except (SourceError, TableMissingError) as error:
        return StagedFile(name, trouble=error.message)


@contextmanager
def rows_of_staged(lake: Lake, staged: StagedFile) -> Iterator[Sifted]:
    """The rows that a worker has written.

    Raises:
        StoreError: they cannot be read.
    """
    place = folder_of(lake.uri("ingested"))
    good_rows, bad_rows = row_schemas(lake.config)
    with Spool(good_rows) as good, Spool(bad_rows) as bad:
        for path, spool in ((staged.good, good), (staged.bad, bad)):
            with said_plainly(f"cannot read {path} in {lake.uri('ingested')}"):
                _copy(place, path, spool)
        yield Sifted(good, bad, staged.notes)


def discard(lake: Lake, staged: StagedFile) -> None:
    """Delete what a worker has written; what cannot be deleted is read by nobody."""
    for path in filter(None, (staged.good, staged.bad)):
        with suppress(DeltaError, OSError):
            folder_of(lake.uri("ingested")).delete_file(path)


def _file(name: str, config: Config) -> File:
    if not is_uri(name):
        return local_file(Path(name))
    store, key = open_store(name, config.source.options)
    with store.told():
        return store.file(key, store.system.info(key))


def _written(lake: Lake, origin: Origin, rows: Sifted) -> tuple[str, str]:
    stem = f"staged-{origin.hash[:16]}-{uuid.uuid4().hex}"
    place = folder_of(lake.uri("ingested"))
    good, bad = f"{stem}-good.parquet", f"{stem}-bad.parquet"
    with said_plainly(f"cannot write to {lake.uri('ingested')}"):
        _write(place, good, rows.good.schema, rows.ordered(lake.config))
        _write(place, bad, rows.bad.schema, rows.bad.batches())
    return good, bad


def _write(
    place: fs.FileSystem, path: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> None:
    with pq.ParquetWriter(path, schema, filesystem=place, **PARQUET) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _copy(place: fs.FileSystem, path: str, spool: Spool) -> None:
    with place.open_input_file(path) as file:
        rows = pq.ParquetFile(file, pre_buffer=False)
        for group in range(rows.num_row_groups):
            for batch in rows.iter_batches(row_groups=[group]):
                spool.add(batch)
