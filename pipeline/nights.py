"""The protocol of a night: opened once, scored once, closed once, whoever runs and is killed when.

A night is a range of `_row_id`. Its life is a chain of commits, each of which carries a
transaction id of its own in the table that it changes (NAME is the data set):

======================  =========  ==============  =======================
step                    table      application id  version
======================  =========  ==============  =======================
open                    `nights`   `night/NAME`    2 · night_id
score, piece by piece   `scores`   `score/NAME`    last `_row_id` covered
alert                   `alerts`   `alerts/NAME`   night_id
close                   `nights`   `night/NAME`    2 · night_id + 1
======================  =========  ==============  =======================

A step that finds its id in the table is done; a run that is overtaken while it works looks again
and goes on from where things stand. So a run that is retried, doubled, late or killed anywhere
leaves every row once, and the next run repairs what a killed one left undone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import tables
from pipeline.errors import ConflictError, CountError

if TYPE_CHECKING:
    from pipeline.lake import Lake

ATTEMPTS = 30
OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True)
class Night:
    """A night as the `nights` table tells it.

    Attributes:
        night_id: 1, 2, ….
        first, last: `_row_id` range, both included.
        model_version: version of the registered model that scores all of it.
        opened_at: time of the opening row.
        closing: the closing row, None while the night is open.
    """

    night_id: int
    first: int
    last: int
    model_version: int
    opened_at: datetime
    closing: dict[str, Any] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether it is scored and counted in full."""
        return self.closing is not None

    @property
    def rows(self) -> int:
        """Number of rows in its range."""
        return self.last - self.first + 1

    @property
    def selects(self) -> ds.Expression:
        """Filter for its rows, in tables with `_row_id`."""
        row = ds.field("_row_id")
        return (row >= self.first) & (row <= self.last)


class _Overtaken(Exception):  # noqa: N818 (a turn of events, no error)
    """Another run has scored on since this one looked."""


def history(lake: Lake) -> list[Night]:
    """All nights in order; at most the last one is open."""
    rows = [row for batch in lake.scan("nights") for row in batch.to_pylist()]
    closed = {row["night_id"]: row for row in rows if row["state"] == CLOSED}
    return [
        Night(
            night_id=row["night_id"],
            first=row["first_row_id"],
            last=row["last_row_id"],
            model_version=row["model_version"],
            opened_at=row["at"],
            closing=closed.get(row["night_id"]),
        )
        for row in sorted(rows, key=lambda row: row["night_id"])
        if row["state"] == OPEN
    ]


def find(lake: Lake, night_id: int) -> Night | None:
    """The night with this id, open or closed."""
    return next((night for night in history(lake) if night.night_id == night_id), None)


def resume_or_open(
    lake: Lake,
    *,
    version: Callable[[], int],
    stream_start: Callable[[], int],
    run_id: str | None = None,
) -> Night | None:
    """The open night, or a new one over everything ingested and not yet covered.

    Args:
        lake: of the data set.
        version: the champion's version now; asked only if a night has to be opened.
        stream_start: first `_row_id` of the very first night; asked only for that one.
        run_id: recorded with the opening row.

    Returns:
        The night to work on; None where nothing new has been ingested.

    Raises:
        ConflictError: other runs kept changing the table.
    """
    for _ in range(ATTEMPTS):
        nights = history(lake)
        if nights and not nights[-1].is_closed:
            return nights[-1]
        first = nights[-1].last + 1 if nights else stream_start()
        last = lake.last_row_id()
        if last < first:
            return None
        night = Night(
            night_id=nights[-1].night_id + 1 if nights else 1,
            first=first,
            last=last,
            model_version=version(),
            opened_at=now(),
        )
        row = {**_range(night), "state": OPEN, "run_id": run_id, "at": night.opened_at}
        if lake.append_once(
            "nights", _one_row(lake, row), {_app("night", lake): 2 * night.night_id}
        ):
            return night
    raise _gave_up("nights")


def score_pieces(
    lake: Lake, night: Night, score_rows: Callable[[int, int], pa.Table], piece: int
) -> Iterator[int]:
    """Write the scores of a night, going on from wherever it stands.

    A piece is written only if coverage still ends right before it, so runs that work side by
    side, even with pieces of different sizes, never overlap. While one is written the next is
    scored.

    Args:
        lake: of the data set.
        night: to be scored.
        score_rows: (first, last) → rows of the `scores` table for exactly that range; called in
            two threads.
        piece: rows that one commit covers, at most.

    Yields:
        Last `_row_id` covered, before and after every commit, whichever run made it.

    Raises:
        CountError: `score_rows` gave another number of rows than the range has.
        ConflictError: writing kept failing although nobody else made progress.
    """
    app_id = scores_id(lake)
    idle, before = 0, -1
    asked: dict[int, Future[pa.Table]] = {}  # by the last row before a piece
    pool = ThreadPoolExecutor(2)
    try:
        while True:
            mark = lake.transaction_version("scores", app_id)
            covered = covered_at(night, mark)
            yield min(covered, night.last)
            if covered >= night.last:
                return
            idle = idle + 1 if covered == before else 0
            if idle > ATTEMPTS:
                raise _gave_up("scores")
            before = covered
            for start in range(covered, min(covered + 2 * piece, night.last), piece):
                if start not in asked:
                    stop = min(start + piece, night.last)
                    asked[start] = pool.submit(score_rows, start + 1, stop)
            rows, last = asked[covered].result(), min(covered + piece, night.last)
            asked = {start: future for start, future in asked.items() if start > covered}
            if rows.num_rows != last - covered:
                raise CountError(
                    f"rows {covered + 1:,} to {last:,}: {last - covered:,} rows expected, "
                    f"{rows.num_rows:,} found"
                )
            _write_piece(lake, rows, app_id, mark, last)
    finally:
        pool.shutdown(cancel_futures=True)


def scores_id(lake: Lake) -> str:
    """Application id of the stream of scores, whose version is the last `_row_id` covered."""
    return _app("score", lake)


def covered_at(night: Night, mark: int | None) -> int:
    """Last `_row_id` that the stream covers where its version is `mark`.

    Raises:
        CountError: it ends before the night begins.
    """
    covered = night.first - 1 if mark is None else mark
    if covered < night.first - 1:
        raise CountError(
            f"night {night.night_id} starts at row {night.first:,} but scores end at row "
            f"{covered:,}: the rows between would never be scored",
            hint="The tables were changed by hand; restore the version of `nights` before.",
        )
    return covered


def write_alerts(lake: Lake, night: Night, batches: Iterable[pa.RecordBatch]) -> bool:
    """Write the alerts of a night that is scored in full, once.

    Args:
        lake: of the data set.
        night: scored.
        batches: the rows; they pass through a temporary file, so any number fits.

    Returns:
        Whether this call wrote them.
    """
    schema = tables.alerts(lake.config)
    with tempfile.NamedTemporaryFile(suffix=".arrows") as spool:
        # A stream that itself reads Delta tables would panic inside the Delta writer.
        with pa.ipc.new_stream(spool.name, schema) as sink:
            for batch in batches:
                sink.write_batch(batch)
        # Read, not mapped: what is mapped counts as memory, all of it at the end.
        return lake.append_once(
            "alerts",
            lambda: pa.ipc.open_stream(pa.OSFile(spool.name)),
            {_app("alerts", lake): night.night_id},
        )


def close(lake: Lake, night: Night, facts: dict[str, Any], run_id: str | None = None) -> bool:
    """Append the closing row, once.

    Args:
        lake: of the data set.
        night: scored in full, its alerts written.
        facts: values of the `nights` columns that only a closed night has.
        run_id: recorded with the row.

    Returns:
        Whether this call closed it.
    """
    row = {**_range(night), **facts, "state": CLOSED, "run_id": run_id, "at": now()}
    version = 2 * night.night_id + 1
    return lake.append_once("nights", _one_row(lake, row), {_app("night", lake): version})


def has_alerts(lake: Lake, night: Night) -> bool:
    """Whether the alerts of a night are written (there may be none in them)."""
    return (lake.transaction_version("alerts", _app("alerts", lake)) or 0) >= night.night_id


def now() -> datetime:
    """The time, as the tables keep it."""
    return datetime.now(UTC)


def _write_piece(lake: Lake, rows: pa.Table, app_id: str, mark: int | None, last: int) -> None:
    def unless_overtaken() -> pa.RecordBatchReader:
        # Asked after the writer has opened the table: whoever scores on later makes its commit
        # conflict, and this is asked again.
        if lake.transaction_version("scores", app_id) != mark:
            raise _Overtaken
        return rows.to_reader()

    try:
        lake.append_once("scores", unless_overtaken, {app_id: last})
    except _Overtaken:
        return


def _app(step: str, lake: Lake) -> str:
    return f"{step}/{lake.config.name}"


def _range(night: Night) -> dict[str, Any]:
    return {
        "night_id": night.night_id,
        "first_row_id": night.first,
        "last_row_id": night.last,
        "model_version": night.model_version,
    }


def _one_row(lake: Lake, row: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([row], schema=tables.nights(lake.config))


def _gave_up(table: str) -> ConflictError:
    return ConflictError(
        f"other runs kept changing the table `{table}` ({ATTEMPTS} attempts)",
        hint="Nothing is lost: run `vae-anomaly score` again when the others have finished.",
    )
