"""The tables: made once, written once, read in order."""

from __future__ import annotations

import resource
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from lakes import Desk, make_desk

from pipeline.errors import SchemaError, TableMissingError, TableWriteError
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.tables import TABLES

SMALL = "\n  x: {role: numeric}\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path, SMALL)


def rows(n: int) -> pa.RecordBatch:
    now = pa.array([datetime.now(UTC)] * n, pa.timestamp("us", "UTC"))
    names = {"_source": ["f"] * n, "_source_hash": ["h"] * n, "_source_row": list(range(1, n + 1))}
    return pa.RecordBatch.from_pydict(
        {**names, "_ingested_at": now, "x": [float(i) for i in range(n)]}
    )


def test_tables_are_made_once_with_their_schemas(desk: Desk) -> None:
    desk.lake.create()
    assert desk.lake.exists()
    for table, schema in TABLES.items():
        stored = pa.schema(desk.lake.open(table).schema().to_arrow())
        assert stored.names == schema(desk.config).names
        assert desk.lake.open(table).version() == 0
        assert desk.lake.count(table) == 0
    assert desk.lake.last_row_id() == 0


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    lake = make_desk(tmp_path, SMALL, create=False).lake
    assert not lake.exists()
    for call in (lake.last_row_id, lambda: lake.count("scores"), lambda: lake.open("nights")):
        with pytest.raises(TableMissingError, match="there is no table") as caught:
            call()
        assert "vae-anomaly init" in (caught.value.hint or "")


def test_a_home_that_cannot_be_written_is_named(desk: Desk) -> None:
    file = desk.folder / "file"
    file.touch()
    with pytest.raises(TableMissingError, match="cannot be made in") as caught:
        Lake(desk.config, Home(file)).create()
    assert str(file) in str(caught.value)
    assert "VAE_ANOMALY_HOME" in (caught.value.hint or "")


def test_columns_may_change_until_rows_are_ingested(desk: Desk) -> None:
    columns = "\n  x: {role: categorical}\n  z: {role: numeric}\n"
    changed = make_desk(desk.folder, columns, create=False)
    changed.put("a.csv", "x,z\nred,1\n")
    assert changed.ingest().ingested == 1
    assert [(r["x"], r["z"]) for r in changed.rows("ingested")] == [("red", 1.0)]
    assert desk.lake.open("ingested").metadata().configuration == {
        "delta.dataSkippingStatsColumns": "_row_id,_source,_source_hash"
    }
    with pytest.raises(SchemaError, match="not in the config: z"):
        desk.lake.create()
    assert changed.lake.count("ingested") == 1


def test_a_first_file_wins_over_a_change_of_columns(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = make_desk(desk.folder, "\n  x: {role: categorical}\n", create=False).lake
    stale = changed.open("ingested")
    assert desk.lake.append_numbered(lambda: [rows(2)], 2, {"ingest/desk/h": 1})
    handles = iter([stale])
    opened = changed.open
    monkeypatch.setattr(changed, "open", lambda table: next(handles, None) or opened(table))
    with pytest.raises(SchemaError, match="of another type: x"):
        changed.fit_columns()
    assert desk.lake.count("ingested") == 2


def test_a_changed_config_does_not_fit_the_tables(desk: Desk) -> None:
    changed = make_desk(
        desk.folder, "\n  x: {role: categorical}\n  z: {role: numeric}\n", create=False
    )
    with pytest.raises(SchemaError) as caught:
        changed.lake.check_columns()
    assert "not in the table: z" in str(caught.value)
    assert "of another type: x" in str(caught.value)


def test_rows_are_numbered_on_and_never_twice(desk: Desk) -> None:
    lake = desk.lake
    assert lake.append_numbered(lambda: [rows(3)], 3, {"a": 1}) == (1, 3)
    assert lake.append_numbered(lambda: [rows(3)], 3, {"a": 1}) is None
    assert lake.append_numbered(lambda: [rows(2), rows(2)], 4, {"b": 1}) == (4, 7)
    assert lake.append_numbered(list, 0, {"c": 1}) == (8, 7)
    assert lake.append_numbered(list, 0, {"c": 1}) is None
    assert lake.last_row_id() == 7
    assert lake.count("ingested") == 7
    pieces = list(lake.scan_rows(2, 7, ["x"], piece_rows=4))
    assert [p.num_rows for p in pieces] == [4, 2]
    assert pa.concat_tables(pieces)["_row_id"].to_pylist() == [2, 3, 4, 5, 6, 7]
    assert pieces[0].column_names == ["_row_id", "x"]


def test_rows_that_are_not_there_are_missed(desk: Desk) -> None:
    with pytest.raises(SchemaError, match="holds 0 rows with ids 1 to 2"):
        list(desk.lake.scan_rows(1, 2))


def test_a_stale_writer_loses_and_looks_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handle opened before another commit of the same id must not write."""
    lake, stale = desk.lake, desk.lake.open("ingested")
    assert lake.append_numbered(lambda: [rows(2)], 2, {"a": 1}) == (1, 2)
    handles = [stale]
    monkeypatch.setattr(
        Lake,
        "open",
        lambda self, table, _open=Lake.open: handles.pop() if handles else _open(self, table),
    )
    assert desk.lake.append_numbered(lambda: [rows(3)], 3, {"b": 1}) == (3, 5)
    assert not handles
    monkeypatch.undo()
    assert [t["_row_id"].to_pylist() for t in lake.scan_rows(1, 5)] == [[1, 2, 3, 4, 5]]


def test_append_once(desk: Desk) -> None:
    schema = TABLES["nights"](desk.config)
    night = pa.Table.from_pylist([{"night_id": 1, "state": "open"}], schema=schema)
    assert desk.lake.append_once("nights", night, {"night/desk": 2})
    assert not desk.lake.append_once("nights", night, {"night/desk": 2})
    assert not desk.lake.append_once("nights", night, {"night/desk": 1})
    assert desk.lake.append_once("nights", night, {"night/desk": 3})
    assert desk.lake.transaction_version("nights", "night/desk") == 3
    assert desk.lake.transaction_version("nights", "other") is None
    assert desk.lake.count("nights") == 2


def test_an_abandoned_scan_does_no_harm(desk: Desk) -> None:
    desk.lake.append_numbered(lambda: [rows(1000)] * 5, 5000, {"a": 1})
    assert next(desk.lake.scan("ingested", ["x"])).num_rows > 0


def test_a_place_that_takes_no_more_is_said(desk: Desk) -> None:
    desk.lake.create()
    row = dict.fromkeys(TABLES["nights"](desk.config).names) | {"night_id": 1, "state": "open"}
    data = pa.Table.from_pylist([row], schema=TABLES["nights"](desk.config))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as if the disk were full
    try:
        with pytest.raises(TableWriteError, match=r"cannot write to .*nights"):
            desk.lake.append_once("nights", data, {"night/x": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert desk.lake.count("nights") == 0
    assert desk.lake.append_once("nights", data, {"night/x": 1})
