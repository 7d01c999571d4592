"""However runs of a night interleave and wherever they die, its tables end up the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from night_homes import contents, deliver, empty_home, write_config

from pipeline import nights, tables
from pipeline.home import Home
from pipeline.lake import Lake

ROWS, START = 60, 11
TABLES = ("scores", "alerts", "nights")


def rows_of(lake: Lake, first: int, last: int) -> pa.Table:
    schema = tables.scores(lake.config)
    ids = np.arange(first, last + 1)
    columns: dict[str, Any] = {n: pa.nulls(len(ids), schema.field(n).type) for n in schema.names}
    columns |= {"_row_id": ids, "anomaly_score": ids * 0.5, "is_anomaly": ids % 7 == 0}
    return pa.table([columns[n] for n in schema.names], schema=schema)


def run(lake: Lake, piece: int) -> Iterator[str]:
    """A scoring run that can be stopped, for good or for a while, between any two steps."""
    night = nights.resume_or_open(lake, version=lambda: 1, stream_start=lambda: START)
    if night is None:
        return
    yield "opened"
    for _ in nights.score_pieces(lake, night, lambda a, b: rows_of(lake, a, b), piece):
        yield "scored"
    schema = tables.alerts(lake.config)
    flagged = [i for i in range(night.first, night.last + 1) if i % 7 == 0]
    found = [{"night_id": night.night_id, "_row_id": i, "rank": i} for i in flagged]
    nights.write_alerts(lake, night, [pa.RecordBatch.from_pylist(found, schema=schema)])
    yield "alerted"
    facts = {"scored": night.rows, "flagged": len(flagged), "guarantee": "in force"}
    nights.close(lake, night, facts)
    yield "closed"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables with rows ingested and none scored, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    home, config = empty_home(folder)
    deliver(home, config, "first", rows=ROWS, seed=1)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run that nothing disturbs leaves behind."""
    folder = tmp_path_factory.mktemp("once") / "copy"
    lake = _copy(template, folder)
    list(run(lake, 9))
    return {table: contents(lake.home, lake.config, table) for table in TABLES}


@settings(max_examples=15, deadline=None)
@given(
    pieces=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    moves=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=30),
)
def test_any_interleaving_of_runs_that_live_or_die(
    template: Path,
    uninterrupted: dict[str, Any],
    pieces: list[int],
    moves: list[tuple[int, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = _copy(template, Path(folder) / "copy")
        runs = [run(lake, piece) for piece in pieces]
        for who, dies in moves:
            one = runs[who % len(runs)]
            if dies:
                one.close()
            else:
                next(one, None)
        list(run(lake, 13))
        for late in runs:
            list(late)
        for table in TABLES:
            found = contents(lake.home, lake.config, table)
            pd.testing.assert_frame_equal(found, uninterrupted[table])


def _copy(template: Path, folder: Path) -> Lake:
    shutil.copytree(template, folder)
    return Lake(write_config(folder / "project"), Home(folder / "home"))
