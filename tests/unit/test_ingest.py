"""Files go in once, in order, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lakes import HEADER, Desk, csv_of, make_desk

from pipeline.errors import SourceError, TableMissingError
from pipeline.lake import Lake

SMALL = "\n  x: {role: numeric}\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


def test_files_are_numbered_on_in_natural_order(desk: Desk) -> None:
    desk.put("day-10.csv", csv_of({"x": "3"}))
    desk.put("day-9.csv", csv_of({"x": "1"}, {"x": "2"}))
    said: list[str] = []
    from pipeline.ingest import ingest

    result = ingest(desk.home, desk.config, lambda done, total, message: said.append(message))
    assert (result.first_row_id, result.last_row_id) == (1, 3)
    assert said == ["reading day-9.csv", "reading day-10.csv", "all files read"]
    desk.put("day-11.csv", csv_of({"x": "4"}))
    again = desk.ingest()
    assert [f.status for f in again.files] == ["skipped", "skipped", "ingested"]
    assert (again.first_row_id, again.last_row_id, again.rows_in) == (4, 4, 1)
    rows = {r["_row_id"]: r["x"] for r in desk.rows("ingested")}
    assert rows == {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}


def test_rows_of_a_file_are_in_order_of_time(desk: Desk) -> None:
    stamps = ["2024-01-03", "", "2024-01-01", "2024-01-02", "", "2024-01-01"]
    desk.put("a.csv", csv_of(*({"t": t, "x": str(i)} for i, t in enumerate(stamps))))
    desk.ingest()
    rows = sorted(desk.rows("ingested"), key=lambda r: r["_row_id"])
    assert [r["x"] for r in rows] == [2, 5, 3, 0, 1, 4]
    assert [r["_source_row"] for r in rows] == [3, 6, 4, 1, 2, 5]


def test_the_same_content_under_another_name_is_skipped(desk: Desk) -> None:
    first = desk.put("a.csv", csv_of({}))
    desk.ingest()
    desk.put("b.csv", csv_of({}))
    for _ in range(2):
        result = desk.ingest()
        assert result.files[1].status == "skipped"
        assert result.files[1].reason == f"holds the same content as {first}, already ingested"
    assert desk.lake.count("ingested") == 1


def test_the_same_content_may_be_allowed(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, source=", allow_same_content: true")
    desk.put("a.csv", csv_of({}, {"x": "?"}))
    desk.put("b.csv", csv_of({}, {"x": "?"}))
    for expected in (4, 0):
        result = desk.ingest()
        assert result.rows_in == expected
        assert not result.refused_files
    assert (desk.lake.count("ingested"), desk.lake.count("quarantine")) == (2, 2)


def test_changed_content_stops_the_file_and_not_the_others(desk: Desk) -> None:
    desk.put("a.csv", csv_of({}))
    desk.ingest()
    desk.put("a.csv", csv_of({}, {}))
    desk.put("b.csv", csv_of({"x": "9"}))
    result = desk.ingest()
    assert [f.status for f in result.files] == ["refused", "ingested"]
    with pytest.raises(SourceError, match="was ingested before with other content"):
        result.raise_if_refused()
    assert desk.lake.count("ingested") == 2


def test_a_bad_file_is_recorded_once_left_in_place_and_named(desk: Desk) -> None:
    bad = desk.put("bad.parquet", b"PAR1 and then nothing")
    worse = desk.put("worse.csv", "id,x\n1,2\n")
    desk.put("good.csv", csv_of({}))
    for ingested in (1, 0):
        result = desk.ingest()
        assert result.ingested == ingested
        assert [Path(f.path).name for f in result.refused_files] == ["bad.parquet", "worse.csv"]
        with pytest.raises(SourceError) as caught:
            result.raise_if_refused()
        assert "2 files were refused and left in place" in str(caught.value)
        assert "bad.parquet cannot be read as parquet" in str(caught.value)
        assert "worse.csv lacks 4 columns `t`, `y`, `c`, `b`; it has 2" in str(caught.value)
        reason, hint = str(caught.value).splitlines()[1:3]  # each hint below its own file
        assert "bad.parquet" in reason and "deliver it again" in hint
    assert bad.exists()
    assert worse.exists()
    recorded = desk.rows("quarantine")
    assert {r["_source"] for r in recorded} == {str(bad), str(worse)}
    assert len(recorded) == 2
    assert all(r["_source_row"] is None and r["raw"] is None for r in recorded)
    desk.put("bad.parquet", b"PAR1 and nothing again")  # another content, told again
    desk.ingest()
    assert desk.lake.count("quarantine") == 3


def test_a_mended_file_goes_in(desk: Desk) -> None:
    desk.put("a.csv", csv_of({}, header=HEADER.replace("b,", "")))
    assert len(desk.ingest().refused_files) == 1
    desk.put("a.csv", csv_of({}))
    assert desk.ingest().ingested == 1


def test_files_without_rows_wait(desk: Desk) -> None:
    desk.put("a.csv", csv_of())
    result = desk.ingest()
    assert (result.files[0].status, result.files[0].reason) == ("skipped", "has no rows yet")
    desk.put("a.csv", csv_of({}))
    assert desk.ingest().ingested == 1


def test_a_file_of_bad_rows_only_is_known_afterwards(desk: Desk) -> None:
    desk.put("a.csv", csv_of({"x": "?"}, {"x": "?"}))
    result = desk.ingest()
    assert (result.ingested, result.quarantined) == (0, 2)
    assert result.first_row_id is None
    assert result.files[0].notes == (
        "every row of a.csv was quarantined; most often `x`: not a number",
    )
    assert desk.ingest().files[0].status == "skipped"
    assert desk.lake.count("quarantine") == 2


def test_ids_of_earlier_files_are_checked_if_asked(tmp_path: Path) -> None:
    for history in (False, True):
        folder = tmp_path / str(history)
        desk = make_desk(folder, source=f", unique_id_history: {str(history).lower()}")
        desk.put("a.csv", csv_of({"id": "k"}))
        desk.put("b.csv", csv_of({"id": "k", "x": "7"}, {"id": "l"}))
        result = desk.ingest()
        assert result.quarantined == int(history)
    assert desk.reasons() == {1: ["`id`: repeats a row of an earlier file"]}


def test_ids_are_asked_for_of_bad_rows_only(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, source=", unique_id_history: true")
    desk.put("a.csv", csv_of({"id": "k"}))
    desk.put("b.csv", csv_of({"id": "l", "x": "?"}))
    result = desk.ingest()
    assert (result.ingested, result.quarantined) == (1, 1)


def test_several_id_columns_name_a_row_together(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "\n  k: {role: id}\n  l: {role: id}\n  x: {role: numeric}\n")
    desk.put("a.csv", "k,l,x\n1,1,0\n1,2,0\n1,1,0\n")
    desk.ingest()
    assert desk.reasons() == {3: ["`k`, `l`: repeats an earlier row of this file"]}


def test_nothing_is_written_without_tables(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, create=False)
    desk.put("a.csv", csv_of({}))
    with pytest.raises(TableMissingError):
        desk.ingest()
    assert not desk.home.path.exists()


def test_unknown_files_and_empty_folders_are_mentioned(desk: Desk) -> None:
    assert desk.ingest().notes == (f"no files in {desk.inbox}",)
    desk.put("readme.md", "hello")
    assert any("readme.md" in note for note in desk.ingest().notes)


def test_an_unreadable_file_is_refused(desk: Desk) -> None:
    path = desk.put("a.csv", csv_of({}))
    path.unlink()
    path.symlink_to(desk.inbox / "gone")  # not a file any more: passed over
    assert desk.ingest().files == []
    name = os.fsdecode(b"odd-\xff.csv")
    desk.put(name, "")
    (refused,) = desk.ingest().refused_files
    assert refused.path.endswith("odd-\\xff.csv")


def test_a_large_file_streams(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, SMALL)
    desk.put("a.csv", "x\n" + "".join(f"{i}\n" for i in range(150_000)))
    assert desk.ingest().ingested == 150_000
    pieces = list(Lake(desk.config, desk.home).scan_rows(1, 150_000, ["x"]))
    assert len(pieces) == 2
    assert pieces[1]["x"][-1].as_py() == 149_999
