"""Tables that an earlier release made: they are read, get the new columns, and lose no row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from night_homes import champion_home, contents, deliver, empty_home

from pipeline import evolution, nights, report, tables
from pipeline.errors import TableMissingError
from pipeline.lake import Lake
from pipeline.scoring import score

NEW = ["drift_log10_capital", "drift_row_id", "effective_rows", "alerts_by", "alerts_level"]


def set_back(lake: Lake) -> None:
    """`nights` as it was before the columns of `NEW`, with its rows and transaction ids."""
    rows = lake.read("nights").drop_columns(NEW)
    write_deltalake(lake.open("nights"), rows, mode="overwrite", schema_mode="overwrite")
    assert not set(NEW) & {field.name for field in lake.open("nights").schema().fields}


def test_a_home_of_an_earlier_release_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = champion_home(tmp_path)
    lake = Lake(config, home)
    deliver(home, config, "one", rows=300, seed=1, odd=0.05)
    first = score(home, config)
    assert first is not None
    set_back(lake)
    assert lake.read("nights", ["night_id", "drift_row_id"]).column(1).null_count == 2
    page = report.write(home, config, 1)
    assert "drifted away" not in page.read_text(encoding="utf-8")

    deliver(home, config, "two", rows=200, seed=2)
    second = score(home, config)
    assert second is not None and second.night_id == 2
    assert second.drift_log10_capital is not None
    stored = contents(home, config, "nights")
    assert list(stored["night_id"]) == [1, 1, 2, 2]
    closed = stored[stored["state"] == "closed"].set_index("night_id")
    assert closed["drift_log10_capital"].isna().tolist() == [True, False]
    assert closed["scored"].tolist() == [300, 200]
    assert score(home, config) is None


def test_many_runs_add_the_columns_once(tmp_path: Path) -> None:
    home, config = empty_home(tmp_path)
    lake = Lake(config, home)
    row = {"night_id": 1, "state": "open", "first_row_id": 1, "last_row_id": 9}
    schema = tables.nights(config)
    lake.append_once("nights", pa.Table.from_pylist([row], schema=schema), {"night/shop": 2})
    set_back(lake)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(evolution.add_columns, Lake(config, home)) for _ in range(8)]:
            done.result()
    assert [f.name for f in lake.open("nights").schema().fields][-len(NEW) :] == NEW
    assert len(nights.history(lake)) == 1
    assert not lake.append_once("nights", lake.read("nights"), {"night/shop": 2})
    version = lake.open("nights").version()
    evolution.add_columns(lake)
    assert lake.open("nights").version() == version


def test_without_tables(tmp_path: Path) -> None:
    home, config = empty_home(tmp_path)
    missing = Lake(config.model_copy(update={"name": "other"}), home)
    with pytest.raises(TableMissingError, match="no table"):
        evolution.add_columns(missing)
