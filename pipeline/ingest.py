"""New files into the lake: every row is either ingested or quarantined, each file exactly once.

A file is one commit to each table, `quarantine` first. It is known by its path and the hash of
its content. What goes wrong with a row sends the row to quarantine; what goes wrong with a file
leaves the file alone, is recorded, and does not stop the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from pipeline.config import Config
from pipeline.errors import SourceError
from pipeline.home import Home
from pipeline.ingest_result import FileResult, IngestResult
from pipeline.lake import Lake
from pipeline.ledger import counted, domains, if_known, known_ids, of_file, refuse, transaction_ids
from pipeline.progress import Progress, report
from pipeline.row_checks import Checked, RowChecker
from pipeline.schema import check_keys, check_names, check_types
from pipeline.sources import Fingerprint, fingerprint, is_unchanged, list_files, name_of, open_file
from pipeline.spool import Spool
from pipeline.tables import TABLES, TIME

__all__ = ["FileResult", "IngestResult", "ingest", "ingest_file"]


def ingest(home: Home, config: Config, progress: Progress | None = None) -> IngestResult:
    """Ingest every file of the source that is not in the lake yet.

    Args:
        home: where the tables lie.
        config: the data set.
        progress: told after each file.

    Returns:
        what became of each file; call `raise_if_refused` on it.

    Raises:
        TableMissingError: the tables have not been created.
        SchemaError: the config's columns are not those of the tables.
        SourceError: nothing lies at the source's path.
        CountError: rows in are not ingested + quarantined.
    """
    lake = Lake(config, home)
    lake.fit_columns()
    files, unknown = list_files(config)
    notes = [f"left out a file of unknown kind: {path}" for path in unknown]
    if not files:
        notes.append(f"no files in {config.source_path}")
    results: list[FileResult] = []
    for done, path in enumerate(files):
        report(progress, done, len(files), f"reading {path.name}")
        result = ingest_file(lake, path)
        seen = {n for r in results for n in r.notes}
        results.append(replace(result, notes=tuple(n for n in result.notes if n not in seen)))
    report(progress, len(files), len(files), "all files read")
    return IngestResult(results, tuple(notes))


def ingest_file(lake: Lake, path: Path) -> FileResult:
    """Ingest one file, unless it is there already or cannot be."""
    seen: Fingerprint | None = None
    try:
        seen = fingerprint(path, lake.config.source)
        handle = lake.open("ingested")
        known = if_known(lake, handle, path, seen)
        return known or _ingest_new(lake, handle, path, seen)
    except SourceError as error:
        return refuse(lake, path, seen.hash if seen else "", error)


def _ingest_new(lake: Lake, handle: DeltaTable, path: Path, seen: Fingerprint) -> FileResult:
    config = lake.config
    now = datetime.now(UTC)
    quarantine_schema, rows_schema = TABLES["quarantine"](config), _unnumbered(config)
    with Spool(rows_schema) as good, Spool(quarantine_schema) as bad:
        notes, reasons = [], Counter[str]()
        for item in _checked(lake, handle, path):
            if isinstance(item, str):
                notes.append(item)
                continue
            good.add(_stamped(item, rows_schema, path, seen, now))
            bad.add(_refusals(item, quarantine_schema, path, seen, now))
            reasons.update(reason for row in item.refused for reason in row.reasons)
        if not is_unchanged(path, seen):
            raise SourceError(
                "changed while it was read", hint="It is taken up when it is complete: run again."
            )
        rows_in = good.rows + bad.rows
        if rows_in == 0:
            return FileResult(
                name_of(path),
                seen.hash,
                status="skipped",
                reason="has no rows yet",
                notes=tuple(notes),
            )
        if good.rows == 0:
            (most, _), *_ = reasons.most_common(1)
            notes.append(f"every row of {path.name} was quarantined; most often {most}")
        ids = transaction_ids(lake, handle, path, seen)
        if bad.rows:
            _write_quarantine(lake, bad, ids.quarantine, path, seen)
        numbered = lake.append_numbered(
            lambda: good.sorted_batches(config.time) if config.time else good.batches(),
            good.rows,
            ids.ingested,
        )
    if numbered is None:
        return FileResult(
            name_of(path), seen.hash, status="skipped", reason="another run has just ingested it"
        )
    return counted(lake, path, seen, numbered, rows_in, tuple(notes))


def _checked(lake: Lake, handle: DeltaTable, path: Path) -> Iterator[Checked | str]:
    """The file's rows, checked; and, as text, what is odd about it but accepted."""
    config = lake.config
    opened = open_file(path, config.source)
    checker: RowChecker | None = None
    extra: set[str] = set()
    if opened.schema is not None:
        extra |= set(check_names(opened.schema.names, config))
        if not opened.cells_are_text:
            check_types(opened.schema, config)
    for batch in opened.batches:
        if checker is None:
            checker = RowChecker(config, domains(lake, handle), known_ids(lake, handle))
            if opened.schema is None:
                check_keys(batch, config)
        if opened.schema is None:
            extra |= set(batch.rows.schema.names) - set(config.columns)
        try:
            yield checker.check(batch, opened)
        except (pa.ArrowException, UnicodeError) as error:
            raise SourceError(
                f"holds cells that cannot be converted ({' '.join(str(error).split())[:300]})",
                hint="Mend the file, or give the column `role: ignore`.",
            ) from None
    if extra:
        yield f"columns that the config does not name were left out: {', '.join(sorted(extra))}"
    if checker is not None and len(checker.offsets) > 1:
        yield (
            f"`{config.time}` holds UTC offsets {', '.join(sorted(checker.offsets))}; all are "
            "stored as UTC"
        )


def _write_quarantine(
    lake: Lake, bad: Spool, ids: dict[str, int], path: Path, seen: Fingerprint
) -> None:
    schema = bad.schema
    lake.append_once(
        "quarantine", lambda: pa.RecordBatchReader.from_batches(schema, bad.batches()), ids
    )
    present = lake.count("quarantine", of_file(lake, path, seen))
    if present != bad.rows:
        raise SourceError(
            f"would send {bad.rows:,} rows to quarantine, where an interrupted run has already "
            f"put {present:,} of it",
            hint="The config was changed in between: undo that for one run.",
        )


def _unnumbered(config: Config) -> pa.Schema:
    schema = TABLES["ingested"](config)
    return schema.remove(schema.get_field_index("_row_id"))


def _stamped(
    item: Checked, schema: pa.Schema, path: Path, seen: Fingerprint, now: datetime
) -> pa.RecordBatch:
    n = item.rows.num_rows
    own = _provenance(n, item.numbers, path, seen, now)
    arrays = [own[m] if m in own else item.rows.column(m) for m in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _refusals(
    item: Checked, schema: pa.Schema, path: Path, seen: Fingerprint, now: datetime
) -> pa.RecordBatch:
    rows = item.refused
    numbers = np.array([row.number for row in rows], dtype=np.int64)
    columns = _provenance(len(rows), numbers, path, seen, now)
    columns["reasons"] = pa.array([row.reasons for row in rows], pa.list_(pa.string()))
    columns["raw"] = pa.array([row.raw for row in rows], pa.string())
    return pa.RecordBatch.from_arrays([columns[m] for m in schema.names], schema=schema)


def _provenance(
    n: int, numbers: np.ndarray, path: Path, seen: Fingerprint, now: datetime
) -> dict[str, pa.Array]:
    return {
        "_source": pa.array([name_of(path)] * n, pa.string()),
        "_source_hash": pa.array([seen.hash] * n, pa.string()),
        "_source_row": pa.array(numbers, pa.int64()),
        "_ingested_at": pa.array([now] * n, TIME),
    }
