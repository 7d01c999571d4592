"""What the lake knows of files: by path and content hash, as transaction ids beside their rows.

Everything that decides about a file's rows looks at one version of the table, the one in which
the file was found to be new. Runs that work on the same file at once then decide alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipeline.errors import CountError, SourceError
from pipeline.ingest_result import FileResult
from pipeline.lake import Lake, Numbered
from pipeline.sources import Fingerprint, name_of
from pipeline.tables import TABLES

Id = tuple[str, ...]


def if_known(lake: Lake, handle: DeltaTable, path: Path, seen: Fingerprint) -> FileResult | None:
    """Skipped for what `ingested` knows of path and content; None if the file is new.

    Raises:
        SourceError: the path is known with other content.
    """
    name = lake.config.name
    skipped = FileResult(name_of(path), seen.hash, status="skipped")
    if handle.transaction_version(_path_id(name, path)) is not None:
        if handle.transaction_version(_path_id(name, path, seen.hash)) is not None:
            return replace(skipped, reason="is already ingested")
        raise SourceError(
            "was ingested before with other content",
            hint="Deliver corrected or further rows under a new file name.",
        )
    same = handle.transaction_version(_content_id("ingest", name, seen.hash)) is not None
    if same and not lake.config.source.allow_same_content:
        twin = _path_of(lake, seen.hash)
        return replace(skipped, reason=f"holds the same content as {twin}, already ingested")
    return None


@dataclass(frozen=True)
class Ids:
    """Transaction versions of a file, for its commit to each table."""

    quarantine: dict[str, int]
    ingested: dict[str, int]


def transaction_ids(lake: Lake, handle: DeltaTable, path: Path, seen: Fingerprint) -> Ids:
    """One id a table for the content; a copy that is allowed has ids of its own."""
    name = lake.config.name
    first = handle.transaction_version(_content_id("ingest", name, seen.hash)) is None
    suffix = "" if first else f"/{_digest(name_of(path))}"
    return Ids(
        {_content_id("quarantine", name, seen.hash) + suffix: 1},
        {
            _content_id("ingest", name, seen.hash) + suffix: 1,
            _path_id(name, path): 1,
            _path_id(name, path, seen.hash): 1,
        },
    )


def _content_id(kind: str, name: str, content: str) -> str:
    return f"{kind}/{name}/{content}"


def _path_id(name: str, path: Path, content: str = "") -> str:
    return f"source/{name}/{_digest(name_of(path))}" + (f"/{content[:32]}" if content else "")


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def counted(
    lake: Lake,
    path: Path,
    seen: Fingerprint,
    numbered: Numbered,
    rows_in: int,
    notes: tuple[str, ...],
) -> FileResult:
    """The result, after looking into the tables that nothing was lost or doubled.

    Raises:
        CountError: the tables do not hold `rows_in` rows of the file together.
    """
    where = of_file(lake, path, seen)
    ingested, quarantined = lake.count("ingested", where), lake.count("quarantine", where)
    if ingested + quarantined != rows_in:
        raise CountError(
            f"{path}: {rows_in:,} rows in, but {ingested:,} ingested and {quarantined:,} "
            "quarantined",
            hint="Somebody else changed the tables meanwhile, or this is a defect: please report "
            "it with the file.",
        )
    return FileResult(
        name_of(path),
        seen.hash,
        rows_in,
        ingested,
        quarantined,
        notes=notes,
        first_row_id=numbered.first if ingested else None,
        last_row_id=numbered.last if ingested else None,
    )


def refuse(lake: Lake, path: Path, content: str, error: SourceError) -> FileResult:
    """Record a file that was left alone, once for each reason and content."""
    row = {
        "_source": [name_of(path)],
        "_source_hash": [content or None],
        "_source_row": [None],
        "reasons": [[error.message]],
        "raw": [None],
        "_ingested_at": [datetime.now(UTC)],
    }
    schema = TABLES["quarantine"](lake.config)
    app_id = f"refused/{lake.config.name}/{_digest(name_of(path), content, error.message)}"
    lake.append_once("quarantine", pa.table(row, schema=schema), {app_id: 1})
    return FileResult(
        name_of(path), content, status="refused", reason=error.message, hint=error.hint
    )


def of_file(lake: Lake, path: Path, seen: Fingerprint) -> ds.Expression:
    """Rows of the file's content; of copies that are allowed, those of this very path."""
    row = (ds.field("_source_hash") == seen.hash) & ds.field("_source_row").is_valid()
    return (
        row & (ds.field("_source") == name_of(path))
        if lake.config.source.allow_same_content
        else row
    )


def _path_of(lake: Lake, content: str) -> str:
    for table in ("ingested", "quarantine"):
        for batch in lake.scan(table, ["_source"], ds.field("_source_hash") == content):
            return str(batch.column("_source")[0])
    return "another file"


def domains(lake: Lake, handle: DeltaTable) -> dict[str, list[str]]:
    """Values so far of binary columns whose `values` the config does not give."""
    columns = lake.config.columns
    names = [n for n, c in columns.items() if c.role == "binary" and c.values is None]
    seen: dict[str, dict[str, None]] = {n: {} for n in names}
    if names:
        for batch in lake.scan("ingested", names, handle=handle):
            for name in names:
                values = batch.column(name).unique().to_pylist()
                seen[name].update(dict.fromkeys(v for v in values if v is not None))
    return {n: sorted(values) for n, values in seen.items()}


def known_ids(lake: Lake, handle: DeltaTable) -> Callable[[list[Id]], set[Id]] | None:
    """Asks which of some ids earlier files hold; None where nobody wants to know."""
    names = lake.config.ids
    if not names or not lake.config.source.unique_id_history:
        return None

    def known(keys: list[Id]) -> set[Id]:
        where = ds.field(names[0]).isin([key[0] for key in keys])
        found: set[Id] = set()
        for batch in lake.scan("ingested", names, where, handle):
            found.update(zip(*(batch.column(n).to_pylist() for n in names), strict=True))
        return found

    return known
