"""New files into the lake, each exactly once: one commit to each table, `quarantine` first."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from deltalake import DeltaTable

from pipeline.errors import SourceError
from pipeline.files import Content, File
from pipeline.ingest_pictures import ingest_pictures, were_ingested
from pipeline.ingest_result import FileResult, IngestResult
from pipeline.lake import Lake
from pipeline.ledger import (
    Ids,
    Origin,
    counted,
    if_known,
    refuse,
    rows_of,
    transaction_ids,
    unchanged_in_store,
)
from pipeline.progress import Progress, report
from pipeline.sifting import Sifted, sifted
from pipeline.sources import (
    Fingerprint,
    by_kind,
    fingerprint,
    is_unchanged,
    list_files,
    open_file,
)
from pipeline.spool import Spool


def ingest_files(lake: Lake, progress: Progress | None = None) -> IngestResult:
    """Ingest every file of the source that is not in the lake yet.

    Raises:
        SourceError: nothing lies at the source's path, or tables among pictures that are rows.
    """
    files, unknown = list_files(lake.config)
    notes = [f"left out a file of unknown kind: {name}" for name in unknown]
    if not files:
        notes.append(f"no files in {lake.config.source_path}")
    tables, pictures = by_kind(files, lake.config.source)
    if not tables and pictures:
        return IngestResult(ingest_pictures(lake, pictures, progress), tuple(notes))
    if pictures and were_ingested(lake, pictures):
        raise SourceError(
            f"{tables[0].title} lies among picture files that were ingested each as a row, and "
            "tables are read instead of the pictures beside them",
            hint="Move the tables out of that folder, or give them a config of their own.",
        )
    files = tables  # which name the pictures beside them
    results: list[FileResult] = []
    for done, file in enumerate(files):
        report(progress, done, len(files), f"reading {file.title}")
        result = ingest_file(lake, file)
        seen = {n for r in results for n in r.notes}
        results.append(replace(result, notes=tuple(n for n in result.notes if n not in seen)))
    report(progress, len(files), len(files), "all files read")
    named = lake.config.image is not None and any(r.status != "refused" for r in results)
    if pictures and not named:
        notes.append(
            f"left out {len(pictures):,} picture files: beside tables they are read where a table "
            "names them, and none does"
        )
    return IngestResult(results, tuple(notes))


def ingest_file(lake: Lake, file: File) -> FileResult:
    """Ingest one file, unless it is there already or cannot be."""
    origin = Origin(file.name, "")
    try:
        if known := unchanged_in_store(lake, file):
            return known
        with file.content() as content:
            seen = fingerprint(content, lake.config.source)
            origin = Origin(file.name, seen.hash)
            handle = lake.open("ingested")
            known = if_known(lake, handle, origin)
            return known or _ingest_new(lake, handle, file, content, seen)
    except SourceError as error:
        return refuse(lake, origin, error)


def _ingest_new(
    lake: Lake, handle: DeltaTable, file: File, content: Content, seen: Fingerprint
) -> FileResult:
    origin = Origin(file.name, seen.hash)
    opened = open_file(content, lake.config.source)
    with sifted(lake, handle, opened, origin) as rows:
        if not is_unchanged(content, seen):
            raise SourceError(
                "changed while it was read", hint="It is taken up when it is complete: run again."
            )
        return write_once(lake, rows, origin, transaction_ids(lake, handle, file, origin))


def write_once(lake: Lake, rows: Sifted, origin: Origin, ids: Ids) -> FileResult:
    """Commit a unit whose rows never change, unless it is there already."""
    skipped = FileResult(origin.name, origin.hash, status="skipped", notes=rows.notes)
    if rows.rows == 0:
        return replace(skipped, reason="has no rows yet")
    if rows.bad.rows:
        _write_quarantine(lake, rows.bad, ids.quarantine, origin)
    numbered = lake.append_numbered(lambda: rows.ordered(lake.config), rows.good.rows, ids.ingested)
    if numbered is None:
        return replace(skipped, reason="another run has just ingested it", notes=())
    return counted(lake, origin, numbered, rows.rows, rows.notes)


def _write_quarantine(lake: Lake, bad: Spool, ids: dict[str, int], origin: Origin) -> None:
    schema = bad.schema
    lake.append_once(
        "quarantine", lambda: pa.RecordBatchReader.from_batches(schema, bad.batches()), ids
    )
    present = lake.count("quarantine", rows_of(lake, origin))
    if present != bad.rows:
        raise SourceError(
            f"would send {bad.rows:,} rows to quarantine, where an interrupted run has already "
            f"put {present:,} of it",
            hint="The config was changed in between: undo that for one run.",
        )
