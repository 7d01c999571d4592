"""What is new at the source into the lake: every row is ingested or quarantined, exactly once.

What goes wrong with a row sends the row to quarantine; what goes wrong with a file, or a version
or table, leaves it alone, is recorded, and does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.config import Config
from pipeline.home import Home
from pipeline.ingest_delta import ingest_delta
from pipeline.ingest_files import ingest_files
from pipeline.ingest_result import FileResult, IngestResult
from pipeline.lake import Lake
from pipeline.progress import Progress
from pipeline.staged_files import Read

__all__ = ["INGESTERS", "FileResult", "IngestResult", "ingest"]


def _ingest_delta(lake: Lake, progress: Progress | None, read: Read | None) -> IngestResult:
    return ingest_delta(lake, progress)


def _ingest_sql(lake: Lake, progress: Progress | None, read: Read | None) -> IngestResult:
    from pipeline.ingest_sql import ingest_sql  # SQLAlchemy: others need not wait for it

    return ingest_sql(lake, progress)


# by the key that the section `source` has
INGESTERS: dict[str, Callable[[Lake, Progress | None, Read | None], IngestResult]] = {
    "path": ingest_files,
    "sql": _ingest_sql,
    "delta": _ingest_delta,
}


def ingest(
    home: Home, config: Config, progress: Progress | None = None, read: Read | None = None
) -> IngestResult:
    """Ingest what the source holds and the lake does not yet.

    Args:
        home: where the tables lie.
        config: the data set.
        progress: told after each file, version or stretch of rows.
        read: has large files checked elsewhere; None: by this process.

    Returns:
        what became of each of them; call `raise_if_refused` on it.

    Raises:
        TableMissingError: the tables have not been created.
        SchemaError: the config's columns are not those of the tables.
        SourceError: nothing lies at the source's path.
        CountError: rows in are not ingested + quarantined.
    """
    lake = Lake(config, home)
    lake.fit_columns()
    return INGESTERS[config.source.kind](lake, progress, read)
