"""Score a night in ranges on many machines: files first, side by side, then commits in order.

A worker writes the scores of a range as a Parquet file into the place of the table `scores`, and
says where it lies. It is no part of the table yet. The run that asked for it adds the files to the
table in order of `_row_id`, each in a commit that moves the stream `score/NAME` on, just as a run
on one machine does with its rows (`pipeline.nights`). So the scores themselves never pass through
that run, and a worker that is killed, repeated or late leaves at most a file that nobody reads;
`VACUUM` in its full mode removes it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from pipeline import nights
from pipeline.commits import GROUP_ROWS, PARQUET, add_file, until_settled
from pipeline.errors import CountError
from pipeline.stores import folder_of, said_plainly

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from pipeline.lake import Lake
    from pipeline.nights import Night
    from vae_core import Scorer

WITH_STATISTICS = ("_row_id", "p_value")  # reads select on these

Range = tuple[int, int]


@dataclass(frozen=True)
class Staged:
    """A file of scores in the place of the table, and no part of it yet.

    Attributes:
        first, last: its `_row_id`, both included.
        path: below the table's place.
        size: bytes.
        statistics: of its columns, as Delta's log keeps them (JSON).
    """

    first: int
    last: int
    path: str
    size: int
    statistics: str


# Version and ranges → their files, in the order of the ranges; closed early when others were faster
Stage = Callable[[int, Iterable[Range]], Generator[Staged, None, None]]


def stage(
    home: Home, config: Config, version: int, first: int, last: int, run_id: str | None
) -> Staged:
    """Score rows `first` to `last` with a version and write them beside the table.

    Args:
        home: tables and registry.
        config: of the data set.
        version: of the model.
        first, last: `_row_id`, both included.
        run_id: recorded with the rows.

    Raises:
        SchemaError: rows are missing, or the version cannot score them.
        RegistryError: there is no such version.
        StoreError: the place cannot be written to.
    """
    from pipeline.lake import Lake
    from pipeline.scoring import score_rows

    lake = Lake(config, home)
    scorer = _scorer(home, config.name, version, config.device)
    rows = score_rows(lake, scorer, version, first, last, run_id)
    path = f"part-{first}-{last}-{uuid.uuid4().hex}.parquet"
    with said_plainly(f"cannot write to {lake.uri('scores')}"):
        place = folder_of(lake.uri("scores"))
        pq.write_table(rows, path, filesystem=place, row_group_size=GROUP_ROWS, **PARQUET)
        size = place.get_file_info(path).size
    return Staged(first, last, path, size, json.dumps(_statistics(rows)))


def commit_staged(lake: Lake, night: Night, stage: Stage, piece: int) -> Iterator[int]:
    """Let the rows of a night be scored elsewhere, and add the files to the table in order.

    Args:
        lake: of the data set.
        night: to be scored.
        stage: has ranges scored, in any number of places at once.
        piece: rows of one range, at most.

    Yields:
        Last `_row_id` covered, before and after every commit, whichever run made it.

    Raises:
        CountError: `stage` left out a range.
        ConflictError: other writers were always first.
    """
    covered = nights.covered_at(night, lake.transaction_version("scores", nights.scores_id(lake)))
    yield min(covered, night.last)
    while covered < night.last:
        before = covered
        with closing(stage(night.model_version, _ranges(covered + 1, night.last, piece))) as files:
            for file in files:
                if file.last <= covered:
                    continue  # a run beside this one was faster
                if file.first != covered + 1:
                    break  # and cuts elsewhere: look again from there
                covered = _add(lake, night, file)
                yield min(covered, night.last)
        if covered == before:
            raise CountError(f"no scores came back for the rows from {covered + 1:,}")


def _add(lake: Lake, night: Night, file: Staged) -> int:
    """Add a file unless the stream has moved on; the last `_row_id` covered then."""
    app_id = nights.scores_id(lake)

    def attempt(handle: DeltaTable) -> int | None:
        covered = nights.covered_at(night, handle.transaction_version(app_id))
        if covered != file.first - 1:
            return covered
        now = int(time.time() * 1000)
        action = AddAction(file.path, file.size, {}, now, True, file.statistics)
        return file.last if add_file(handle, action, {app_id: file.last}) else None

    return until_settled(lake, "scores", attempt)


def _ranges(first: int, last: int, piece: int) -> Iterator[Range]:
    for start in range(first, last + 1, piece):
        yield start, min(last, start + piece - 1)


def _statistics(rows: pa.Table) -> dict[str, Any]:
    bounds = {name: pc.min_max(rows.column(name)).as_py() for name in WITH_STATISTICS}
    return {
        "numRecords": rows.num_rows,
        "minValues": {name: each["min"] for name, each in bounds.items()},
        "maxValues": {name: each["max"] for name, each in bounds.items()},
        "nullCount": {name: rows.column(name).null_count for name in WITH_STATISTICS},
    }


@lru_cache(maxsize=2)
def _scorer(home: Home, name: str, version: int, device: str) -> Scorer:
    """Loaded once by each process that works on ranges of a night."""
    from pipeline import registry

    return registry.load_scorer(home, name, version, device=device)
