"""What the lake knows of files: by path and content hash, as transaction ids beside their rows.

Everything that decides about a file's rows looks at one version of the table, the one in which
the file was found to be new. Runs that work on the same file at once then decide alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipeline.errors import CountError, SourceError
from pipeline.files import File
from pipeline.ingest_result import FileResult
from pipeline.lake import Lake, Numbered
from pipeline.tables import TABLES

Id = tuple[str, ...]
MOST_TEXT = 32  # hexadecimal digits of a digest


@dataclass(frozen=True)
class Origin:
    """Where a unit of rows comes from, as the tables hold it.

    Attributes:
        name: `_source`: a file's path or URI, a Delta table with its version, a database table.
        hash: `_source_hash`: SHA-256 of a file's content, or of what else tells units apart.
    """

    name: str
    hash: str


@dataclass(frozen=True)
class Ids:
    """Transaction versions of a unit, for its commit to each table."""

    quarantine: dict[str, int]
    ingested: dict[str, int]


def unchanged_in_store(
    lake: Lake, file: File, handle: DeltaTable | None = None
) -> FileResult | None:
    """Skipped if the store says that these bytes were ingested; None where they must be looked at.

    A file on this machine is always looked at; one in a store need not be fetched for that.

    Args:
        lake: of the data set.
        file: as it was listed.
        handle: a version of `ingested`; None: the one that it has now.
    """
    if file.version is None:
        return None
    handle = handle or lake.open("ingested")
    if handle.transaction_version(_version_id(lake.config.name, file)) is None:
        return None
    return FileResult(file.name, "", status="skipped", reason="is already ingested")


def if_known(lake: Lake, handle: DeltaTable, origin: Origin) -> FileResult | None:
    """Skipped for what `ingested` knows of path and content; None if the file is new.

    Raises:
        SourceError: the path is known with other content.
    """
    name = lake.config.name
    skipped = FileResult(origin.name, origin.hash, status="skipped")
    if handle.transaction_version(_path_id(name, origin.name)) is not None:
        if handle.transaction_version(_path_id(name, origin.name, origin.hash)) is not None:
            return replace(skipped, reason="is already ingested")
        raise SourceError(
            "was ingested before with other content",
            hint="Deliver corrected or further rows under a new file name.",
        )
    same = handle.transaction_version(_content_id("ingest", name, origin.hash)) is not None
    if same and not lake.config.source.allow_same_content:
        twin = _path_of(lake, origin.hash)
        return replace(skipped, reason=f"holds the same content as {twin}, already ingested")
    return None


def transaction_ids(lake: Lake, handle: DeltaTable, file: File, origin: Origin) -> Ids:
    """One id a table for the content; a copy that is allowed has ids of its own."""
    name = lake.config.name
    first = handle.transaction_version(_content_id("ingest", name, origin.hash)) is None
    suffix = "" if first else f"/{digest(origin.name)}"
    ingested = {
        _content_id("ingest", name, origin.hash) + suffix: 1,
        _path_id(name, origin.name): 1,
        _path_id(name, origin.name, origin.hash): 1,
    }
    if file.version is not None:
        ingested[_version_id(name, file)] = 1
    return Ids({_content_id("quarantine", name, origin.hash) + suffix: 1}, ingested)


def _content_id(kind: str, name: str, content: str) -> str:
    return f"{kind}/{name}/{content}"


def _path_id(name: str, path: str, content: str = "") -> str:
    return f"source/{name}/{digest(path)}" + (f"/{content[:MOST_TEXT]}" if content else "")


def _version_id(name: str, file: File) -> str:
    return f"source/{name}/{digest(file.name)}/version/{digest(file.version or '')}"


def digest(*texts: str) -> str:
    """Of some texts together, 32 hexadecimal digits."""
    joined = "\0".join(texts).encode("utf-8", "surrogateescape")
    return hashlib.sha256(joined).hexdigest()[:MOST_TEXT]


def counted(
    lake: Lake, origin: Origin, numbered: Numbered, rows_in: int, notes: tuple[str, ...]
) -> FileResult:
    """The result, after looking into the tables that nothing was lost or doubled.

    Raises:
        CountError: the tables do not hold `rows_in` rows of the unit together.
    """
    where = rows_of(lake, origin)
    ingested, quarantined = lake.count("ingested", where), lake.count("quarantine", where)
    check_count(origin.name, rows_in, ingested, quarantined)
    return FileResult(
        origin.name,
        origin.hash,
        rows_in,
        ingested,
        quarantined,
        notes=notes,
        first_row_id=numbered.first if ingested else None,
        last_row_id=numbered.last if ingested else None,
    )


def check_count(name: str, rows_in: int, ingested: int, quarantined: int) -> None:
    """Rows in are ingested + quarantined.

    Raises:
        CountError: they are not.
    """
    if ingested + quarantined != rows_in:
        raise CountError(
            f"{name}: {rows_in:,} rows in, but {ingested:,} ingested and {quarantined:,} "
            "quarantined",
            hint="Somebody else changed the tables meanwhile, or this is a defect: please report "
            "it with the file.",
        )


def refuse(lake: Lake, origin: Origin, error: SourceError) -> FileResult:
    """Record a unit that was left alone, once for each reason and content."""
    row = {
        "_source": [origin.name],
        "_source_hash": [origin.hash or None],
        "_source_row": [None],
        "reasons": [[error.message]],
        "raw": [None],
        "_ingested_at": [datetime.now(UTC)],
    }
    schema = TABLES["quarantine"](lake.config)
    app_id = f"refused/{lake.config.name}/{digest(origin.name, origin.hash, error.message)}"
    lake.append_once("quarantine", pa.table(row, schema=schema), {app_id: 1})
    return FileResult(
        origin.name, origin.hash, status="refused", reason=error.message, hint=error.hint
    )


def rows_of(lake: Lake, origin: Origin) -> ds.Expression:
    """Rows of the unit's content; of copies that are allowed, those of this very path."""
    row = (ds.field("_source_hash") == origin.hash) & ds.field("_source_row").is_valid()
    return (
        row & (ds.field("_source") == origin.name) if lake.config.source.allow_same_content else row
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
        if not keys:  # of a batch without one good row; an empty list has no type to compare by
            return set()
        where = ds.field(names[0]).isin([key[0] for key in keys])
        found: set[Id] = set()
        for batch in lake.scan("ingested", names, where, handle):
            found.update(zip(*(batch.column(n).to_pylist() for n in names), strict=True))
        return found

    return known
