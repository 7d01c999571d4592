"""How far a database source has been read, as transaction versions beside its rows.

The stream of a data set is at a *turn*, the number of units committed, and at a *mark*, the
greatest watermark covered. Each commit raises the turn, and goes through only if the turn is still
the one at which its rows were chosen: of several runs at once one commits, the others look again.
Rows are stamped with their watermark as `_source_row`, and with the turn in `_source_hash`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipeline.commits import commit, number, until_settled
from pipeline.databases import KINDS, Bounds, name_of
from pipeline.errors import SourceError
from pipeline.known_rows import Known, keys_of_rows, keys_of_texts
from pipeline.lake import Lake, Numbered
from pipeline.ledger import Origin, digest
from pipeline.sifting import Sifted
from pipeline.spool import Spool
from pipeline.tables import TABLES


class OvertakenError(Exception):
    """Another run has committed a unit of this stream in the meantime."""


@dataclass(frozen=True)
class State:
    """Where a stream is.

    Attributes:
        turn: units committed so far.
        kind: what the watermark was, of `KINDS`; None before the first unit.
        mark: the greatest watermark covered, as a number; None before the first unit.
    """

    turn: int = 0
    kind: str | None = None
    mark: int | None = None


@dataclass
class Aside:
    """Rows of a stretch that quarantine holds, and the version of the stream's id there."""

    known: Known
    version: int


class Stream:
    """The rows of one database source in the lake.

    Args:
        lake: of the data set, whose config has `source.sql`.
    """

    def __init__(self, lake: Lake) -> None:
        assert lake.config.source.sql is not None
        self.lake, self.settings = lake, lake.config.source.sql
        self.name = name_of(self.settings)
        self.id = f"sql/{lake.config.name}"
        query = " ".join((self.settings.query or "").split())
        self.digest = digest(self.settings.table or "", query, self.settings.watermark)
        self.without_mark = self.origin("without watermark")

    def origin(self, unit: int | str) -> Origin:
        """Of the rows of one turn."""
        return Origin(self.name, digest(self.digest, str(unit)) * 2)

    def state(self, handle: DeltaTable) -> State:
        """Where the stream is in this version of `ingested`.

        Raises:
            SourceError: the rows that are there came from another table, query or watermark.
        """
        turn = handle.transaction_version(self.id) or 0
        marks = {kind: handle.transaction_version(self._mark_id(kind)) for kind in KINDS}
        for kind, mark in marks.items():
            if mark is not None:
                return State(turn, kind, mark)
        if turn:
            raise SourceError(
                "is not what was read before: `table`, `query` or `watermark` of `source.sql` were "
                "changed after rows had been read",
                hint="Undo that, or start a new data set under another `name`. A view keeps its "
                "name while its query changes.",
            )
        return State()

    def rows(self, bounds: Bounds) -> ds.Expression:
        """Rows of the stream whose watermark lies in the bounds, in `ingested` or `quarantine`."""
        found = ds.field("_source") == self.name
        found &= ds.field("_source_hash") != self.without_mark.hash
        found &= ds.field("_source_row").is_valid()
        row = ds.field("_source_row")
        if bounds.above is not None:
            found &= row > bounds.above
        if bounds.since is not None:
            found &= row >= bounds.since
        if bounds.until is not None:
            found &= row <= bounds.until
        if bounds.below is not None:
            found &= row < bounds.below
        return found

    def aside(self, where: ds.Expression) -> Aside:
        """What quarantine holds of a stretch."""
        handle = self.lake.open("quarantine")
        texts = self.lake.scan("quarantine", ["raw"], where, handle)
        known = Known([keys_of_texts(batch.column("raw").to_pylist()) for batch in texts])
        return Aside(known, handle.transaction_version(self.id) or 0)

    def ingested(self, bounds: Bounds) -> Known:
        """What `ingested` holds of a stretch."""
        columns = self.lake.config.stored
        pieces = self.lake.scan("ingested", ["_source_row", *columns], self.rows(bounds))
        return Known(
            [keys_of_rows(piece.column("_source_row"), piece.select(columns)) for piece in pieces]
        )

    def set_aside(self, bad: Spool, aside: Aside) -> None:
        """Append refused rows to quarantine.

        Raises:
            OvertakenError: another run has appended some since `aside` was looked at.
        """
        if bad.rows == 0:
            return

        def attempt(handle: DeltaTable) -> bool | None:
            if (handle.transaction_version(self.id) or 0) != aside.version:
                return False
            rows = pa.RecordBatchReader.from_batches(bad.schema, bad.batches())
            return True if commit(handle, rows, {self.id: aside.version + 1}) else None

        if not until_settled(self.lake, "quarantine", attempt):
            raise OvertakenError
        aside.version += 1

    def append(self, rows: Sifted, at: State, after: State) -> Numbered:
        """Append good rows to `ingested`, and move the stream on.

        Args:
            rows: of the unit.
            at: where the stream was when they were chosen.
            after: where it is with them.

        Raises:
            OvertakenError: it has been moved on since.
        """
        lake = self.lake
        schema = TABLES["ingested"](lake.config)
        assert after.kind is not None
        assert after.mark is not None
        ids = {self.id: after.turn, self._mark_id(after.kind): after.mark}

        def numbered(first: int) -> Iterable[pa.RecordBatch]:
            return number(rows.ordered(lake.config), first, schema)

        def attempt(handle: DeltaTable) -> Numbered | bool | None:
            if self.state(handle) != at:
                return False
            last = handle.transaction_version(lake.numbering) or 0
            new = last + rows.good.rows
            stream = pa.RecordBatchReader.from_batches(schema, numbered(last + 1))
            all_ids = ids | ({lake.numbering: new} if rows.good.rows else {})
            return Numbered(last + 1, new) if commit(handle, stream, all_ids) else None

        outcome = until_settled(lake, "ingested", attempt)
        if not isinstance(outcome, Numbered):
            raise OvertakenError
        return outcome

    def _mark_id(self, kind: str) -> str:
        return f"{self.id}/{self.digest}/{kind}"
