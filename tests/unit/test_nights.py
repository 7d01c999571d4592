"""The protocol of a night on real Delta tables: opened, scored and closed once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from night_homes import contents, deliver, empty_home

from pipeline import nights, tables
from pipeline.errors import CountError
from pipeline.lake import Lake
from pipeline.nights import Night

FACTS: dict[str, Any] = {
    "rows_in": 1, "ingested": 1, "quarantined": 0, "scored": 1, "flagged": 0, "alpha": 0.05,
    "cut_off": 1.0, "guarantee": "in force", "alert_rate": 0.0, "interval_low": 0.0,
    "interval_high": 0.1, "trouble_sources": [],
}  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A hundred rows ingested, none scored."""
    home, config = empty_home(tmp_path)
    deliver(home, config, "first", rows=100, seed=1)
    return Lake(config, home)


def begin(lake: Lake, version: int = 1, start: int = 41) -> Night | None:
    return nights.resume_or_open(lake, version=lambda: version, stream_start=lambda: start)


def rows_of(lake: Lake, first: int, last: int) -> pa.Table:
    """Rows for the `scores` table whose values follow from the row id alone."""
    schema = tables.scores(lake.config)
    ids = np.arange(first, last + 1)
    columns: dict[str, Any] = {n: pa.nulls(len(ids), schema.field(n).type) for n in schema.names}
    columns |= {"_row_id": ids, "anomaly_score": ids * 1.0, "is_anomaly": ids % 10 == 0}
    return pa.table([columns[n] for n in schema.names], schema=schema)


def finish(lake: Lake, night: Night, piece: int = 7) -> None:
    for _ in nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b), piece):
        pass
    nights.write_alerts(lake, night, [])
    nights.close(lake, night, FACTS)


def scored_ids(lake: Lake) -> list[int]:
    return [int(i) for i in contents(lake.home, lake.config, "scores")["_row_id"]]


def test_a_night_covers_what_is_ingested_and_the_next_goes_on(lake: Lake) -> None:
    night = begin(lake)
    assert night is not None
    assert (night.night_id, night.first, night.last, night.model_version) == (1, 41, 100, 1)
    finish(lake, night)
    assert scored_ids(lake) == list(range(41, 101))
    assert begin(lake) is None
    deliver(lake.home, lake.config, "second", rows=20, seed=2)
    following = begin(lake, version=3, start=1)
    assert following is not None
    assert (following.night_id, following.first, following.last) == (2, 101, 120)
    assert following.model_version == 3


def test_nothing_ingested_is_no_night(tmp_path: Path) -> None:
    home, config = empty_home(tmp_path)
    assert begin(Lake(config, home), start=1) is None
    assert nights.history(Lake(config, home)) == []


def test_nothing_beyond_the_calibration_rows_is_no_night(lake: Lake) -> None:
    assert begin(lake, start=101) is None


def test_an_open_night_is_resumed_with_its_own_model_and_range(lake: Lake) -> None:
    night = begin(lake, version=1)
    deliver(lake.home, lake.config, "second", rows=20, seed=2)
    again = begin(lake, version=2)
    assert again == night


def test_scoring_goes_on_where_a_killed_run_stopped(lake: Lake) -> None:
    night = begin(lake)
    assert night is not None
    pieces = nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b), 7)
    assert [next(pieces) for _ in range(3)] == [40, 47, 54]
    pieces.close()
    asked: list[tuple[int, int]] = []

    def score(first: int, last: int) -> pa.Table:
        asked.append((first, last))
        return rows_of(lake, first, last)

    assert list(nights.score_pieces(lake, night, score, 20)) == [54, 74, 94, 100]
    assert sorted(asked) == [(55, 74), (75, 94), (95, 100)]
    assert scored_ids(lake) == list(range(41, 101))


@pytest.mark.parametrize("other_piece", [3, 7, 50])
def test_an_overtaken_run_writes_nothing_twice(lake: Lake, other_piece: int) -> None:
    """The other run scores on in the very moment in which this one has its rows ready."""
    night = begin(lake)
    assert night is not None
    other = nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b), other_piece)
    next(other)

    one_at_a_time = threading.Lock()

    def score(first: int, last: int) -> pa.Table:
        with one_at_a_time:
            next(other, None)
        return rows_of(lake, first, last)

    for _ in nights.score_pieces(lake, night, score, 7):
        pass
    assert scored_ids(lake) == list(range(41, 101))


def test_four_runs_at_once(lake: Lake) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def run(piece: int) -> None:
        try:
            mine = Lake(lake.config, lake.home)
            barrier.wait()
            night = begin(mine)
            if night is not None:
                finish(mine, night, piece)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(piece,)) for piece in (5, 7, 11, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert scored_ids(lake) == list(range(41, 101))
    assert list(contents(lake.home, lake.config, "nights")["state"]) == ["closed", "open"]


def test_alerts_and_closing_happen_once(lake: Lake) -> None:
    night = begin(lake)
    assert night is not None
    schema = tables.alerts(lake.config)
    row = {"night_id": 1, "_row_id": 50, "rank": 1, "reasons": ["x"], "raw": "{}"}
    batch = pa.RecordBatch.from_pylist([row], schema=schema)
    assert not nights.has_alerts(lake, night)
    assert nights.write_alerts(lake, night, [batch])
    assert not nights.write_alerts(lake, night, [batch])
    assert nights.has_alerts(lake, night)
    assert lake.count("alerts") == 1
    assert nights.close(lake, night, FACTS)
    assert not nights.close(lake, night, FACTS)
    closed = nights.find(lake, 1)
    assert closed is not None and closed.closing is not None
    assert closed.closing["guarantee"] == "in force"
    assert lake.count("nights") == 2


def test_a_night_without_alerts_remembers_that_it_has_none(lake: Lake) -> None:
    night = begin(lake)
    assert night is not None
    assert nights.write_alerts(lake, night, [])
    assert nights.has_alerts(lake, night)


def test_rows_that_are_not_there_stop_the_night(lake: Lake) -> None:
    night = begin(lake)
    assert night is not None
    with pytest.raises(CountError, match=r"rows 41 to 47: 7 rows expected, 6 found"):
        list(nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b - 1), 7))


def test_a_gap_in_coverage_is_not_papered_over(lake: Lake) -> None:
    night = begin(lake)
    assert night is not None
    lake.append_once("scores", rows_of(lake, 1, 5), {f"score/{lake.config.name}": 5})
    with pytest.raises(CountError, match="would never be scored"):
        list(nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b), 7))
