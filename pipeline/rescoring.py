"""Score rows again with another version: beside the nights, which keep their scores.

What would the challenger have flagged last month; which rows does the version before last see
otherwise? The answer goes to the table `rescored`, one row for each `_row_id` and version, however
often and by however many runs it is asked. All commits of a version share one application id, so a
run that another one overtakes looks again at what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipeline.commits import ATTEMPTS, commit
from pipeline.errors import ConflictError, UserError
from pipeline.progress import report as tell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config import Config
    from pipeline.home import Home
    from pipeline.lake import Lake
    from pipeline.progress import Progress

PIECE_ROWS = 100_000


@dataclass(frozen=True)
class RescoreResult:
    """A range of rows, scored with another version than that of their nights.

    Attributes:
        version: that scored them.
        first_row_id, last_row_id: the range, both included.
        rows: in the range.
        written: of them by this run; the others were there.
        flagged: rows above this version's per-row threshold.
        compared: rows of the range that a night has scored too.
        flagged_then: of these, flagged in their night.
        flagged_both: of these, flagged then and now.
    """

    version: int
    first_row_id: int
    last_row_id: int
    rows: int
    written: int
    flagged: int
    compared: int
    flagged_then: int
    flagged_both: int


def rescore(
    home: Home,
    config: Config,
    version: int | str = "challenger",
    first: int = 1,
    last: int | None = None,
    run_id: str | None = None,
    progress: Progress | None = None,
) -> RescoreResult:
    """Score the rows `first` to `last` with a version, but for those that it has rescored before.

    Args:
        home: tables and registry.
        config: of the data set.
        version: number, ``"champion"`` or ``"challenger"``.
        first, last: `_row_id`, both included; the newest row where `last` is left out.
        run_id: of the calling flow run, recorded with the rows.
        progress: told the number of rows covered.

    Raises:
        UserError: a range that is empty or goes beyond the rows there are.
        RegistryError: there is no such version.
        SchemaError: its columns do not fit the rows.
        ConflictError: other runs kept writing.
    """
    from pipeline import registry
    from pipeline.lake import Lake
    from pipeline.scoring import check_columns, score_rows

    lake = Lake(config, home)
    newest = lake.last_row_id()
    last = newest if last is None else last
    if not 1 <= first <= last <= newest:
        raise UserError(
            f"{config.name!r} has no rows {first:,} to {last:,}",
            hint=f"Its rows are 1 to {newest:,}." if newest else "Nothing has been ingested yet.",
        )
    found = registry.get(home, config.name, version)
    scorer = registry.load_scorer(home, config.name, found.version, device=config.device)
    check_columns(scorer, config, found.version)
    lake.ensure("rescored")
    written = 0
    for start, stop, handle in _missing(lake, found.version, first, last):
        tell(progress, start - first, last - first + 1, "scoring rows")
        rows = score_rows(lake, scorer, found.version, start, stop, run_id)
        app_id = _app(lake, found.version)
        if commit(handle, rows.to_reader(), {app_id: _reached(handle, app_id) + 1}):
            written += stop - start + 1
    tell(progress, last - first + 1, last - first + 1, "comparing")
    return _compared(lake, found.version, first, last, written)


def _missing(
    lake: Lake, version: int, first: int, last: int
) -> Iterator[tuple[int, int, DeltaTable]]:
    """The next rows to score, with the table as it was when they were missing, until none are."""
    for start in range(first, last + 1, PIECE_ROWS):
        stop = min(last, start + PIECE_ROWS - 1)
        for _ in range(ATTEMPTS):
            handle = lake.open("rescored")
            there = ~np.isnan(_flags(lake, "rescored", start, stop, version, handle))
            if there.all():
                break
            gap = there[int(np.argmin(there)) :]
            length = int(np.argmax(gap)) if gap.any() else len(gap)
            begin = stop + 1 - len(gap)
            yield begin, begin + length - 1, handle
        else:
            raise ConflictError(
                f"the table `rescored` of {lake.config.name!r} was changed by others while this "
                "run wanted to write",
                hint="Nothing is lost; run again when fewer runs are under way.",
            )


def _compared(lake: Lake, version: int, first: int, last: int, written: int) -> RescoreResult:
    now = _flags(lake, "rescored", first, last, version)
    then = _flags(lake, "scores", first, last)
    both = ~np.isnan(then)
    return RescoreResult(
        version=version,
        first_row_id=first,
        last_row_id=last,
        rows=len(now),
        written=written,
        flagged=int((now == 1).sum()),
        compared=int(both.sum()),
        flagged_then=int((then == 1).sum()),
        flagged_both=int(((then == 1) & (now == 1)).sum()),
    )


def _flags(
    lake: Lake,
    table: str,
    first: int,
    last: int,
    version: int | None = None,
    handle: DeltaTable | None = None,
) -> NDArray[np.float32]:
    """(last − first + 1,) `is_anomaly` of each row as 0 or 1, NaN where the table has it not."""
    flags = np.full(last - first + 1, np.nan, np.float32)
    row = ds.field("_row_id")
    where = (row >= first) & (row <= last)
    if version is not None:
        where &= ds.field("model_version") == version
    for batch in lake.scan(table, ["_row_id", "is_anomaly"], where, handle):
        ids = batch.column("_row_id").to_numpy()
        flags[ids - first] = batch.column("is_anomaly").to_numpy(zero_copy_only=False)
    return flags


def _app(lake: Lake, version: int) -> str:
    return f"rescore/{lake.config.name}/{version}"


def _reached(handle: DeltaTable, app_id: str) -> int:
    return handle.transaction_version(app_id) or 0
