"""New rows of a database into the lake, each exactly once.

Rows are read in order of their watermark, from the greatest one covered on, in units of some
hundred thousand rows. Before that, the rows at the mark are read again, and as far below it as
`lookback` says: what is not in the lake came late, and is taken in. Rows are compared by all their
cells. Further below they are counted, so that one that comes later still is not lost silently.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline.commits import ATTEMPTS
from pipeline.databases import KINDS, Bounds, Table, opened
from pipeline.databases.units import units
from pipeline.errors import ConflictError, SourceError
from pipeline.ingest_result import FileResult, IngestResult
from pipeline.known_rows import Known, keys_of_rows, keys_of_texts, rest_of
from pipeline.lake import Lake
from pipeline.ledger import Origin, check_count, refuse
from pipeline.progress import Progress, report
from pipeline.readers import Opened, RawBatch
from pipeline.row_checks import Refused, RowChecker
from pipeline.schema import check_names, check_types, without_label
from pipeline.sifting import refusals, sifted
from pipeline.spool import Spool
from pipeline.stream_state import Aside, OvertakenError, State, Stream
from pipeline.tables import TABLES

UNIT_ROWS = 500_000


def ingest_sql(lake: Lake, progress: Progress | None = None) -> IngestResult:
    """Ingest the rows that the database holds and the lake does not yet.

    Raises:
        ConflictError: other runs were always first.
    """
    stream = Stream(lake)
    results: list[FileResult] = []
    notes: dict[str, None] = {}
    try:
        with opened(stream.settings, lake.config.path.parent) as table:
            for tries in range(ATTEMPTS):
                try:
                    _Run(stream, table, results, notes, progress).all()
                    break
                except OvertakenError:
                    time.sleep(random.uniform(0, min(1.0, 0.02 * 2**tries)))
            else:
                raise ConflictError(
                    f"other runs read {stream.name} whenever this one wanted to write",
                    hint="Nothing is lost; run again when fewer runs are under way.",
                )
    except SourceError as error:
        results.append(replace(refuse(lake, Origin(stream.name, ""), error), what="table"))
    if not results:
        results.append(FileResult(stream.name, "", status="skipped", reason="has no new rows"))
    return IngestResult(results, tuple(notes))


@dataclass
class _Run:
    """One attempt at everything that is new."""

    stream: Stream
    table: Table
    results: list[FileResult]
    notes: dict[str, None]
    progress: Progress | None

    def all(self) -> None:
        """Take in everything that is new.

        Raises:
            SourceError: the table cannot be used, or holds rows that came too late.
            OvertakenError: another run was first.
        """
        self._check_columns()
        state = self.stream.state(self.stream.lake.open("ingested"))
        kind, newest = self.table.kind, self.table.newest()
        self._check_kind(state)
        self._take_unmarked()
        if kind is None or newest is None:
            return
        missed = 0
        if state.mark is not None:
            if newest < state.mark:
                self._check_nothing_new(state, newest)
                return
            low = KINDS[kind].below(state.mark, self.stream.settings.lookback)
            missed = self._missed(low)
            state = self._take_late(state, low)
        self._take_new(state)
        if missed:
            column, shown = self.stream.settings.watermark, KINDS[kind].shown(low)
            raise SourceError(
                f"holds {missed:,} rows with `{column}` below {shown} that came after larger ones "
                "had been read; they were left out",
                hint="Set `source.sql.lookback` to the greatest distance they can come late by "
                "(for one run, as far back as they lie): they are then taken in.",
            )

    def _check_columns(self) -> None:
        config, names = self.stream.lake.config, list(self.table.types)
        if self.stream.settings.watermark not in names:
            raise SourceError(
                f"lacks the column `{self.stream.settings.watermark}`, its watermark; it has "
                f"{len(names)}: {', '.join(names[:12])}",
                hint="Correct `source.sql.watermark`.",
            )
        extra = [n for n in check_names(names, config) if n != self.stream.settings.watermark]
        if extra:
            listed = ", ".join(sorted(extra))
            self.notes[f"columns that the config does not name were left out: {listed}"] = None
        if told := without_label(names, config):
            self.notes[told] = None

    def _check_kind(self, state: State) -> None:
        kind = self.table.kind
        if None not in (state.kind, kind) and state.kind != kind:
            raise SourceError(
                f"has a watermark `{self.stream.settings.watermark}` that is a "
                f"{KINDS[kind or ''].title} now, and was a {KINDS[state.kind or ''].title} before",
                hint="Undo that change, or start a new data set under another `name`.",
            )

    def _take_unmarked(self) -> None:
        """Rows without a watermark go to quarantine: nobody can tell which of them are new."""
        if not self.table.count_without():
            return
        stream, origin = self.stream, self.stream.without_mark
        aside = stream.aside(_unit(origin))
        reason = [f"`{stream.settings.watermark}`: no watermark that can be read"]
        schema = TABLES["quarantine"](stream.lake.config)
        with Spool(schema) as bad:
            for batch in self._rest(None, aside, None):
                rows = [Refused(0, reason, raw) for raw in batch.raw or ()]
                bad.add(refusals(rows, schema, origin, datetime.now(UTC)))
            stream.set_aside(bad, aside)
            if bad.rows:
                self.results.append(
                    FileResult(stream.name, origin.hash, bad.rows, 0, bad.rows, what="table")
                )

    def _missed(self, low: int) -> int:
        """How many more rows the table holds below a watermark than were taken from there."""
        there = self.stream.rows(Bounds(below=low))
        lake = self.stream.lake
        taken = lake.count("ingested", there) + lake.count("quarantine", there)
        return max(0, self.table.count(Bounds(below=low)) - taken)

    def _check_nothing_new(self, state: State, newest: int) -> None:
        """The newest rows may have been deleted; but others must not have taken their place.

        Raises:
            SourceError: they have.
        """
        everything = Bounds()
        aside = self.stream.aside(self.stream.rows(everything))
        known = self.stream.ingested(everything)
        unknown = sum(b.rows.num_rows for b in self._rest(everything, aside, known))
        column, kind = self.stream.settings.watermark, KINDS[state.kind or ""]
        assert state.mark is not None
        went_back = f"the greatest `{column}` is {kind.shown(newest)}, where rows up to " \
            f"{kind.shown(state.mark)} were read before"  # fmt: skip
        if unknown:
            raise SourceError(
                f"went backwards: {went_back}, and {unknown:,} rows are others than those",
                hint="If the table was emptied and filled anew, start a new data set under "
                "another `name`; if it was restored from a backup, its watermarks must go on above "
                "the old ones.",
            )
        self.notes[f"{self.stream.name}: {went_back}; its newest rows were deleted"] = None

    def _take_late(self, state: State, low: int) -> State:
        """Rows from `low` up to the mark that are not in the lake; the state after them."""
        bounds = Bounds(since=low, until=state.mark)
        aside = self.stream.aside(self.stream.rows(bounds))
        known = self.stream.ingested(bounds)
        late = self._rest(bounds, aside, known)
        first = next(late, None)
        if first is None:
            return state
        after = self._take(chain([first], late), state, aside)
        self.notes[f"{self.stream.name}: {self.results[-1].rows_in:,} rows came late"] = None
        return after

    def _take_new(self, state: State) -> None:
        """Rows above the mark, in units."""
        bounds = Bounds(above=state.mark)
        aside = self.stream.aside(self.stream.rows(bounds))
        total = self.table.count(bounds) if self.progress else None
        done = 0
        for unit in units(self.table.batches(self._roles, bounds), UNIT_ROWS):
            seen = _Seen()
            rest = self._without_known(seen.noted(unit), aside, None)
            state = self._take(rest, state, aside, seen)
            done += seen.rows
            shown = f"read up to {KINDS[state.kind or ''].shown(seen.last)}"
            report(self.progress, min(done, total or done), total, shown)

    def _take(
        self, batches: Iterator[RawBatch], at: State, aside: Aside, seen: _Seen | None = None
    ) -> State:
        """Commit one unit: refused rows first, then the good ones with the state after them."""
        stream, lake = self.stream, self.stream.lake
        origin = stream.origin(at.turn + 1)
        with sifted(lake, lake.open("ingested"), Opened(None, batches), origin) as rows:
            after = State(at.turn + 1, self.table.kind, seen.last if seen else at.mark)
            before = lake.count("quarantine", _unit(origin))
            stream.set_aside(rows.bad, aside)
            numbered = stream.append(rows, at, after)
            good, bad = rows.good.rows, lake.count("quarantine", _unit(origin)) - before
            there = lake.count("ingested", _unit(origin))
            check_count(stream.name, rows.rows, there, bad)
        self.notes |= dict.fromkeys(rows.notes)
        given = (numbered.first, numbered.last) if good else (None, None)
        self.results.append(
            FileResult(
                stream.name,
                origin.hash,
                good + bad,
                good,
                bad,
                first_row_id=given[0],
                last_row_id=given[1],
                what="table",
            )
        )
        return after

    def _rest(self, bounds: Bounds | None, aside: Aside, known: Known | None) -> Iterator[RawBatch]:
        """Rows of a stretch that the lake does not hold."""
        return self._without_known(self.table.batches(self._roles, bounds), aside, known)

    def _without_known(
        self, batches: Iterator[RawBatch], aside: Aside, known: Known | None
    ) -> Iterator[RawBatch]:
        checker = RowChecker(self.stream.lake.config)
        for rest in batches:
            check_types(rest.rows.schema, checker.config)
            if len(aside.known):
                rest = rest_of(rest, aside.known.take(keys_of_texts(rest.raw or ())))
            if known is not None and len(known):
                cells, _ = checker.parse(rest.rows, Opened(None, iter(())))
                keys = keys_of_rows(pa.array(rest.numbers), cells)
                rest = rest_of(rest, known.take(keys))
            if rest.rows.num_rows:
                yield rest

    @property
    def _roles(self) -> dict[str, str]:
        config = self.stream.lake.config
        there = [name for name in config.stored if name in self.table.types]
        return {name: config.columns[name].role for name in there}


@dataclass
class _Seen:
    """What a unit held before known rows were taken out of it."""

    rows: int = 0
    last: int = 0

    def noted(self, batches: Iterator[RawBatch]) -> Iterator[RawBatch]:
        for batch in batches:
            self.rows += batch.rows.num_rows
            self.last = int(batch.numbers[-1])
            yield batch


def _unit(origin: Origin) -> ds.Expression:
    return (ds.field("_source_hash") == origin.hash) & ds.field("_source_row").is_valid()
