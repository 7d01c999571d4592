"""Picture files into the lake: each file is a row, and many of them are one commit.

A file is known by its path. Paths that the tables hold already are dropped, and the others checked
against the very version of `ingested` that the good ones are committed to: of two runs at once one
commits first and the other looks again. What was refused then goes to `quarantine`. So every file
becomes one row, once, in `ingested` or in `quarantine`, whatever is killed or doubled.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipeline.commits import commit, number, until_settled
from pipeline.errors import SourceError
from pipeline.files import File
from pipeline.ingest_result import FileResult
from pipeline.lake import Lake, Numbered
from pipeline.ledger import Origin, check_count, digest, domains, known_ids, refuse
from pipeline.progress import Progress, report
from pipeline.readers import RawBatch
from pipeline.readers.base import Opened
from pipeline.row_checks import RowChecker
from pipeline.schema import check_names, check_types
from pipeline.sifting import refusals
from pipeline.sources import fingerprint, is_unchanged, open_file
from pipeline.tables import TABLES, TIME

GROUP_FILES = 2000
GROUP_BYTES = 128 << 20


class _Read(NamedTuple):
    """A picture file's row and the hash of its bytes."""

    name: str
    hash: str
    row: pa.RecordBatch


class _Taken(NamedTuple):
    """Numbers given to a group's good rows, and its refused rows."""

    given: Numbered
    bad: pa.RecordBatch


def ingest_pictures(
    lake: Lake, files: list[File], progress: Progress | None = None
) -> list[FileResult]:
    """Ingest picture files that are not in the lake yet, in an order without system.

    In the order of their names the pictures of one folder would come together, and the rows that
    calibrate would be of another kind than those that train.

    Returns:
        a result for each commit, and one for each file that was refused or skipped with a reason.
    """
    known = _known(lake)
    skipped = sum(file.name in known for file in files)
    results: list[FileResult] = []
    group: list[_Read] = []
    size = done = 0
    for file in sorted(files, key=lambda one: digest(one.name)):
        done += 1
        if file.name in known and file.version is not None:
            continue  # a store's file is not fetched for what is there
        try:
            read = _read(lake, file)
            if known.get(file.name, read.hash) != read.hash:
                raise SourceError(
                    "was ingested before with other content",
                    hint="Deliver another picture under a new file name.",
                )
        except SourceError as error:
            results.append(refuse(lake, Origin(file.name, ""), error))
            continue
        if file.name in known:
            continue
        group.append(read)
        size += read.row.nbytes
        if len(group) == GROUP_FILES or size > GROUP_BYTES:
            report(progress, done, len(files), "reading pictures")
            results.append(_take(lake, group))
            group, size = [], 0
    if group:
        results.append(_take(lake, group))
    report(progress, len(files), len(files), "all pictures read")
    if skipped and not results:
        reason = "holds no new picture"
        results.append(FileResult(lake.config.source_path, "", status="skipped", reason=reason))
    return results


def were_ingested(lake: Lake, files: list[File]) -> bool:
    """Whether one of these picture files is a row."""
    if lake.transaction_version("ingested", f"pictures/{lake.config.name}") is None:
        return False  # no picture file is: nothing needs be read
    return lake.count("ingested", _rows_of([file.name for file in files])) > 0


def _known(lake: Lake) -> dict[str, str]:
    """Hash of each picture that is in the tables, by its path."""
    known: dict[str, str] = {}
    rows = ds.field("_source_row").is_valid()
    for table in ("ingested", "quarantine"):
        for batch in lake.scan(table, ["_source", "_source_hash"], rows):
            known.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))
    return known


def _read(lake: Lake, file: File) -> _Read:
    """A file's row.

    Raises:
        SourceError: it is empty, cannot be read, or is just being written.
    """
    with file.content() as content:
        seen = fingerprint(content, lake.config.source)
        batch = next(open_file(content, lake.config.source).batches)
        if not is_unchanged(content, seen):
            raise SourceError(
                "changed while it was read", hint="It is taken up when it is complete: run again."
            )
    return _Read(file.name, seen.hash, batch.rows)


def _take(lake: Lake, group: list[_Read]) -> FileResult:
    """Check the rows of some files and commit them, those that others have not committed."""
    config = lake.config
    result = FileResult(config.source_path, digest(*(one.hash for one in group)))
    try:
        check_names(group[0].row.schema.names, config)
        check_types(group[0].row.schema, config)
    except SourceError as error:
        return refuse(lake, Origin(config.source_path, ""), error)
    taken = until_settled(lake, "ingested", lambda handle: _commit_good(lake, handle, group))
    if taken.bad.num_rows:
        until_settled(lake, "quarantine", lambda handle: _commit_bad(lake, handle, taken.bad))
    ingested, quarantined = _present(lake, group)
    check_count(config.source_path, len(group), ingested, quarantined)
    given = taken.given
    return replace(
        result,
        rows_in=len(group),
        ingested=ingested,
        quarantined=quarantined,
        first_row_id=given.first if given.last >= given.first else None,
        last_row_id=given.last if given.last >= given.first else None,
    )


def _commit_good(lake: Lake, handle: DeltaTable, group: list[_Read]) -> _Taken | None:
    """Commit the good rows of files that no table holds; None where this version has changed."""
    names = [one.name for one in group]
    there = _held(lake, "ingested", names, handle) | _held(lake, "quarantine", names)
    new = [one for one in group if one.name not in there]
    good, bad = _checked(lake, handle, new)
    last = handle.transaction_version(lake.numbering) or 0
    given = Numbered(last + 1, last + good.num_rows)
    if good.num_rows == 0:
        return _Taken(given, bad)
    ids = {**_turn(lake, handle), lake.numbering: given.last}
    schema = TABLES["ingested"](lake.config)
    rows = pa.RecordBatchReader.from_batches(schema, number([good], given.first, schema))
    return _Taken(given, bad) if commit(handle, rows, ids) else None


def _commit_bad(lake: Lake, handle: DeltaTable, bad: pa.RecordBatch) -> bool | None:
    """Commit refused rows that this version does not hold; None where it has changed."""
    names = bad.column("_source").to_pylist()
    there = _held(lake, "quarantine", names, handle)
    new = bad.filter(pa.array([name not in there for name in names], pa.bool_()))
    if new.num_rows == 0:
        return True
    rows = pa.RecordBatchReader.from_batches(bad.schema, iter([new]))
    return commit(handle, rows, _turn(lake, handle)) or None


def _turn(lake: Lake, handle: DeltaTable) -> dict[str, int]:
    """An id for a commit: who looked at the same version and comes later is refused for it."""
    turn = f"pictures/{lake.config.name}"
    return {turn: (handle.transaction_version(turn) or 0) + 1}


def _checked(
    lake: Lake, handle: DeltaTable, group: list[_Read]
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Good rows of some files, without their numbers, and the refused ones."""
    now, config = datetime.now(UTC), lake.config
    schema, refused = TABLES["ingested"](config), TABLES["quarantine"](config)
    schema = schema.remove(schema.get_field_index("_row_id"))
    if not group:
        return pa.RecordBatch.from_pylist([], schema), pa.RecordBatch.from_pylist([], refused)
    (rows,) = pa.Table.from_batches([one.row for one in group]).combine_chunks().to_batches()
    checker = RowChecker(config, domains(lake, handle), known_ids(lake, handle))
    batch = RawBatch(rows, np.arange(len(group)))
    checked = checker.check(batch, Opened(rows.schema, iter(())))
    good = _stamped(checked.rows, [group[i] for i in checked.numbers], schema, now)
    bad = refusals(checked.refused, refused, Origin("", ""), now)
    return good, _stamped(bad, [group[row.number] for row in checked.refused], refused, now)


def _stamped(
    rows: pa.RecordBatch, group: list[_Read], schema: pa.Schema, now: datetime
) -> pa.RecordBatch:
    own = {
        "_source": pa.array([one.name for one in group], pa.string()),
        "_source_hash": pa.array([one.hash for one in group], pa.string()),
        "_source_row": pa.array([1] * len(group), pa.int64()),
        "_ingested_at": pa.repeat(pa.scalar(now, TIME), len(group)),
    }
    arrays = [own[n] if n in own else rows.column(n) for n in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _held(lake: Lake, table: str, names: list[str], handle: DeltaTable | None = None) -> set[str]:
    """Which of some files a table, or this version of it, holds."""
    held: set[str] = set()
    for batch in lake.scan(table, ["_source"], _rows_of(names), handle):
        held.update(batch.column(0).to_pylist())
    return held


def _present(lake: Lake, group: list[_Read]) -> tuple[int, int]:
    """Rows of the group's files in `ingested` and in `quarantine`."""
    where = _rows_of([one.name for one in group])
    return lake.count("ingested", where), lake.count("quarantine", where)


def _rows_of(names: list[str]) -> ds.Expression:
    return ds.field("_source").isin(names) & ds.field("_source_row").is_valid()
