"""New files into the lake, each exactly once: one commit to each table, `quarantine` first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pyarrow as pa

from pipeline.errors import SourceError
from pipeline.files import File
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
from pipeline.sifting import Sifted, sifted_file
from pipeline.sources import by_kind, fingerprint, list_files
from pipeline.spool import Spool
from pipeline.staged_files import Read, StagedFile, discard, rows_of_staged, why_not


def ingest_files(
    lake: Lake, progress: Progress | None = None, read: Read | None = None
) -> IngestResult:
    """Ingest every file of the source that is not in the lake yet.

    Args:
        lake: of the data set.
        progress: told after each file.
        read: has large files checked elsewhere, in any number of places at once.

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
    apart = [] if read is None else _worth_a_task(lake, files)
    if apart and (reason := why_not(lake.config)):
        notes.append(f"the run read all files by itself: {reason}")
        apart = []
    names = set(apart)
    with _asked(apart, read) as staged:
        for done, file in enumerate(files):
            report(progress, done, len(files), f"reading {file.title}")
            result = (
                _take(lake, file, next(staged)) if file.name in names else ingest_file(lake, file)
            )
            results.append(_without_repeats(result, results))
    report(progress, len(files), len(files), "all files read")
    named = lake.config.image is not None and any(r.status != "refused" for r in results)
    if pictures and not named:
        notes.append(
            f"left out {len(pictures):,} picture files: beside tables they are read where a table "
            "names them, and none does"
        )
    return IngestResult(results, tuple(notes))


def _worth_a_task(lake: Lake, files: list[File]) -> list[str]:
    """Names of the large files, as far as their sizes say, but for known ones in a store."""
    least, handle = lake.config.engine.file_bytes, lake.open("ingested")
    large = (file for file in files if file.state is not None and file.state[0] >= least)
    return [file.name for file in large if unchanged_in_store(lake, file, handle) is None]


@contextmanager
def _asked(names: list[str], read: Read | None) -> Iterator[Iterator[StagedFile]]:
    """What `read` makes of files; what is still under way at the end is called off."""
    if read is None or not names:
        yield iter(())
        return
    with closing(read(names)) as staged:
        yield staged


def _without_repeats(result: FileResult, before: list[FileResult]) -> FileResult:
    said = {note for other in before for note in other.notes}
    return replace(result, notes=tuple(note for note in result.notes if note not in said))


def _take(lake: Lake, file: File, staged: StagedFile) -> FileResult:
    """Commit what a worker has made of a file, unless another run was faster.

    The run reads the file itself where the worker could not, or saw another one by that name.
    """
    try:
        trouble = staged.trouble
        if trouble is None and staged.state != file.state:
            trouble = "it saw another size or time of change"
        if trouble is not None:
            result = ingest_file(lake, file)
            told = f"the run read {file.title} by itself, since a worker could not: {trouble}"
            read = result.status == "ingested"
            return replace(result, notes=(*result.notes, told)) if read else result
        return _commit(lake, file, staged)
    finally:
        discard(lake, staged)


def _commit(lake: Lake, file: File, staged: StagedFile) -> FileResult:
    origin = Origin(file.name, staged.hash)
    try:
        handle = lake.open("ingested")
        if known := if_known(lake, handle, origin):
            return known
        if not staged.good:  # it was known to the worker, and the tables are others since
            return ingest_file(lake, file)
        with rows_of_staged(lake, staged) as rows:
            return write_once(lake, rows, origin, transaction_ids(lake, handle, file, origin))
    except SourceError as error:
        return refuse(lake, origin, error)


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
            if known := if_known(lake, handle, origin):
                return known
            with sifted_file(lake, handle, content, seen) as rows:
                return write_once(lake, rows, origin, transaction_ids(lake, handle, file, origin))
    except SourceError as error:
        return refuse(lake, origin, error)


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
