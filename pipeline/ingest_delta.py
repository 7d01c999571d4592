"""Rows appended to a Delta table into the lake, each version once.

The first time everything that the table holds is read, afterwards what each version adds. A version
that deletes or rewrites rows is refused, or passed over if the config says so: what is new in it
cannot be told. Versions that only move rows to other files (OPTIMIZE) hold nothing new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from deltalake import DeltaTable

from pipeline.commits import commit, until_settled
from pipeline.delta_source import SourceTable
from pipeline.errors import SourceError
from pipeline.ingest_files import write_once
from pipeline.ingest_result import FileResult, IngestResult
from pipeline.lake import Lake
from pipeline.ledger import Ids, Origin, digest, refuse
from pipeline.progress import Progress, report
from pipeline.sifting import sifted
from pipeline.tables import TABLES


def ingest_delta(lake: Lake, progress: Progress | None = None) -> IngestResult:
    """Ingest the versions of the source that are not in the lake yet."""
    config = lake.config
    table = SourceTable(config.source_path, config.source.options)
    results: list[FileResult] = []
    notes: list[str] = []
    at = table.uri
    try:
        newest, table_id = table.newest()
        reading = _Reading(lake, table, table_id)
        for version, whole in reading.due(newest):
            report(progress, version, newest + 1, f"reading version {version}")
            at = f"{table.uri}@v{version}"
            results.append(reading.take(version, whole, notes))
        report(progress, newest + 1, newest + 1, "all versions read")
    except SourceError as error:
        results.append(replace(refuse(lake, Origin(at, ""), error), what="table"))
    shown = [r for r in results if r.status != "skipped"]
    if not shown:
        shown = [FileResult(table.uri, "", status="skipped", reason="has no new rows")]
    return IngestResult(shown, tuple(notes))


class _Reading:
    """How far a table has been read: the number of its versions, as a transaction version."""

    def __init__(self, lake: Lake, table: SourceTable, table_id: str) -> None:
        self.lake, self.table, self.table_id = lake, table, table_id
        self.id = f"delta/{lake.config.name}"
        self.own_id, self.plan_id = f"{self.id}/{table_id}", f"{self.id}/{table_id}/plan"

    def due(self, newest: int) -> Iterator[tuple[int, bool]]:
        """Versions to be read, and whether all their rows are new, not only those they added.

        Raises:
            SourceError: the table is not the one that was read before, or went backwards.
        """
        handle = self.lake.open("ingested")
        read = handle.transaction_version(self.own_id)
        if read is None:
            if handle.transaction_version(self.id) is not None:
                raise SourceError(
                    "is another table than the one that was read before",
                    hint="Undo the change of `source.delta.path`, or, if the table was made anew, "
                    "start a new data set under another `name`.",
                )
            first = self._planned(newest)
            yield first, True
            read = first + 1
        if newest + 1 < read:
            raise SourceError(
                f"is at version {newest:,}, and was read up to version {read - 1:,} before",
                hint="If it was restored from a backup, start a new data set under another `name`.",
            )
        for version in range(read, newest + 1):
            yield version, False

    def take(self, version: int, whole: bool, notes: list[str]) -> FileResult:
        """Commit what is new in a version.

        Raises:
            SourceError: it cannot be used.
        """
        origin = Origin(f"{self.table.uri}@v{version}", digest(self.table_id, str(version)) * 2)
        done = {self.id: version + 1, self.own_id: version + 1}
        paths = None if whole else self._added(version, notes)
        if paths is None or paths:
            opened = self.table.rows(version, paths)
            with sifted(self.lake, self.lake.open("ingested"), opened, origin) as rows:
                if rows.rows:
                    content = f"{self.lake.config.name}/{origin.hash}"
                    ids = Ids({f"quarantine/{content}": 1}, {f"ingest/{content}": 1, **done})
                    return replace(write_once(self.lake, rows, origin, ids), what="table")
        self.lake.append_numbered(lambda: iter(()), 0, done)
        return FileResult(origin.name, origin.hash, status="skipped", reason="has no rows")

    def _added(self, version: int, notes: list[str]) -> frozenset[str]:
        added = self.table.added(version)
        if added.changes is None:
            return added.paths
        what = f"changes rows that were there ({added.changes}): what is new cannot be told"
        source = self.lake.config.source.delta
        if source is None or not source.skip_changes:
            raise SourceError(
                what,
                hint="Append rows only; or set `source.delta.skip_changes: true` to pass over "
                "such versions, with all they hold.",
            )
        notes.append(f"passed over {self.table.uri}@v{version}, which {what}")
        return frozenset()

    def _planned(self, newest: int) -> int:
        """The version read first. Written down before: later runs must choose the same."""
        empty = TABLES["ingested"](self.lake.config).empty_table()

        def attempt(handle: DeltaTable) -> int | None:
            plan = handle.transaction_version(self.plan_id)
            if plan is not None:
                return plan - 1
            return newest if commit(handle, empty.to_reader(), {self.plan_id: newest + 1}) else None

        return until_settled(self.lake, "ingested", attempt)
