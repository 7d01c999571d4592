"""What became of the files of one ingest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.errors import SourceError

Status = Literal["ingested", "skipped", "refused"]


@dataclass(frozen=True)
class FileResult:
    """What became of one file, or of one unit of another source.

    Attributes:
        path: the file; the table or query; the Delta table with its version.
        hash: SHA-256 of its content; empty where it could not be read.
        rows_in: rows read by this run; `ingested` + `quarantined`.
        ingested, quarantined: rows this run put into each table.
        status: skipped means that nothing was to be done.
        reason: why it was skipped or refused.
        hint: what to do about a refusal.
        notes: oddities that were accepted.
        first_row_id, last_row_id: ids given; None where no row was ingested.
        what: a file is left in place when it is refused, and others go on without it.
    """

    path: str
    hash: str
    rows_in: int = 0
    ingested: int = 0
    quarantined: int = 0
    status: Status = "ingested"
    reason: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()
    first_row_id: int | None = None
    last_row_id: int | None = None
    what: Literal["file", "table"] = "file"


@dataclass(frozen=True)
class IngestResult:
    """What became of all files, in the order they were read."""

    files: list[FileResult] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def rows_in(self) -> int:
        return sum(f.rows_in for f in self.files)

    @property
    def ingested(self) -> int:
        return sum(f.ingested for f in self.files)

    @property
    def quarantined(self) -> int:
        return sum(f.quarantined for f in self.files)

    @property
    def refused_files(self) -> list[FileResult]:
        return [f for f in self.files if f.status == "refused"]

    @property
    def first_row_id(self) -> int | None:
        return min((f.first_row_id for f in self.files if f.first_row_id), default=None)

    @property
    def last_row_id(self) -> int | None:
        return max((f.last_row_id for f in self.files if f.last_row_id), default=None)

    def raise_if_refused(self) -> None:
        """Fail for what was left alone, after all else is in.

        Raises:
            SourceError: naming each file with its reason.
        """
        refused = self.refused_files
        if not refused:
            return
        rest = "All other files were ingested."
        if refused[0].what == "table":  # a source has one of them
            raise SourceError(f"{refused[0].path} {refused[0].reason}", hint=refused[0].hint)
        if len(refused) == 1:
            (one,) = refused
            raise SourceError(
                f"a file was refused and left in place: {one.path} {one.reason}",
                hint=f"{one.hint}\n{rest}" if one.hint else rest,
            )
        listed = [
            f"\n  - {f.path} {f.reason}" + (f"\n    {f.hint}" if f.hint else "") for f in refused
        ]
        raise SourceError(
            f"{len(refused)} files were refused and left in place:{''.join(listed)}", hint=rest
        )
