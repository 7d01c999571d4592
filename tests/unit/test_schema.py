"""Row and column checks: every reason at once, every kind of trouble by its name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakes import HEADER, Desk, csv_of, make_desk

from pipeline.errors import SourceError
from pipeline.schema import check_names, check_types


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        ({"x": ""}, ["`x`: missing, but required"]),
        ({"x": "NaN"}, ["`x`: missing, but required"]),
        ({"x": "abc"}, ["`x`: not a number"]),
        ({"x": "inf"}, ["`x`: infinite"]),
        ({"y": "-Infinity"}, ["`y`: infinite"]),
        ({"y": "1e999"}, ["`y`: infinite"]),
        ({"b": "maybe"}, ["`b`: neither no nor yes"]),
        ({"b": ""}, ["`b`: missing, but required"]),
        ({"t": "yesterday"}, ["`t`: not an ISO 8601 time"]),
        ({"id": ""}, ["`id`: missing, but required"]),
        ({"x": "?", "b": "?", "t": "?"}, [
            "`x`: not a number", "`t`: not an ISO 8601 time", "`b`: neither no nor yes",
        ]),
        ({"id": "r1"}, ["`id`: repeats an earlier row of this file"]),
    ],
)  # fmt: skip
def test_a_bad_row_goes_to_quarantine(desk: Desk, row: dict[str, str], reasons: list[str]) -> None:
    path = desk.put("a.csv", csv_of({}, row, {}))
    result = desk.ingest()
    assert (result.rows_in, result.ingested, result.quarantined) == (3, 2, 1)
    (kept,) = desk.rows("quarantine")
    assert sorted(kept["reasons"]) == sorted(reasons)
    assert kept["_source_row"] == 2
    assert kept["_source"] == str(path)
    for name, cell in row.items():
        assert f'"{name}": "{cell}"' in kept["raw"]  # as it came
    assert [r["_source_row"] for r in desk.rows("ingested")] == [1, 3]


def test_good_cells_are_stored_in_one_spelling(desk: Desk) -> None:
    desk.put("a.csv", csv_of({"c": "1.0", "y": "2"}, {"c": "", "t": ""}))
    desk.put("b.jsonl", '{"id": 7, "x": 1, "c": 1.0, "b": "yes", "verdict": "fine"}\n')
    table = pa.table(
        {"verdict": ["fine"], "b": ["no"], "c": [1.0], "y": [None], "x": [3], "id": [9],
         "t": pa.array([1_700_000_000], pa.timestamp("s")), "memo": [[1]]}
    )  # fmt: skip
    pq.write_table(table, desk.inbox / "c.parquet")
    result = desk.ingest()
    assert (result.ingested, result.quarantined) == (4, 0)
    rows = sorted(desk.rows("ingested"), key=lambda r: r["_row_id"])
    assert [r["c"] for r in rows] == ["1", None, "1", "1"]
    assert [r["id"] for r in rows] == ["r1", "r2", "7", "9"]
    assert "memo" not in rows[0]
    assert rows[3]["t"].isoformat() == "2023-11-14T22:13:20+00:00"


def test_rows_of_odd_length_and_unseen_categories(desk: Desk) -> None:
    desk.put("a.csv", csv_of({"c": "never seen"}) + "too,short\n")
    result = desk.ingest()
    assert (result.ingested, result.quarantined) == (1, 1)
    (kept,) = desk.rows("quarantine")
    assert kept["reasons"] == ["2 cells instead of 8"]
    assert kept["raw"] == '{"_text": "too,short"}'


def test_columns_may_come_in_any_order_and_extra_ones_are_left_out(desk: Desk) -> None:
    names = [*reversed(HEADER.split(",")), "new", "newer"]
    for file in ("a.csv", "b.csv"):
        body = csv_of({"new": file, "newer": ""}, header=",".join(names))
        desk.put(file, body)
    result = desk.ingest()
    assert result.ingested == 2
    said = [f.notes for f in result.files]
    assert said == [("columns that the config does not name were left out: new, newer",), ()]


def test_labels_may_be_missing_whatever_the_file(desk: Desk) -> None:
    desk.put("a.csv", csv_of({"verdict": ""}, {"verdict": "NA"}, {"verdict": "odd"}))
    names = [name for name in HEADER.split(",") if name != "verdict"]
    desk.put("b.csv", csv_of({}, {}, header=",".join(names)))
    desk.put("c.jsonl", '{"id": 1, "x": 1, "b": "no"}\n{"id": 2, "x": 2, "b": "yes"}\n')
    table = pa.table({"id": [9], "t": ["2024-01-01"], "x": [1.0], "y": [2.0], "c": ["red"],
                      "b": ["no"], "Verdict": ["fine"]})  # fmt: skip
    pq.write_table(table, desk.inbox / "d.parquet")
    result = desk.ingest()
    assert (result.ingested, result.quarantined) == (8, 0)
    rows = sorted(desk.rows("ingested"), key=lambda r: r["_row_id"])
    assert [r["verdict"] for r in rows] == [None, None, "odd", *[None] * 5]
    told = "the label column `verdict` is not there: rows without labels were ingested"
    notes = [file.notes for file in result.files]
    assert notes[:3] == [(), (told,), ()], "each note is given once"
    assert told.replace("`verdict`", "`verdict` (there is 'Verdict')") in notes[3]


def test_missing_columns_are_named(desk: Desk) -> None:
    with pytest.raises(SourceError) as caught:
        check_names(["id", "t", "X ", "y", "b", "verdict"], desk.config)
    assert str(caught.value) == (
        "lacks 2 columns `x` (there is 'X '), `c`; it has 6: id, t, X , y, b, verdict"
    )
    columns = "".join(f"\n  c{n}: {{role: numeric}}" for n in range(40))
    with pytest.raises(SourceError, match=r"lacks 39 columns `c1`, .*`c12`, …; it has 1: c0$"):
        check_names(["c0"], make_desk(desk.folder / "wide", columns).config)
    with pytest.raises(SourceError) as caught:
        check_names([HEADER.replace(",", ";")], desk.config)
    assert "set `source.delimiter`" in (caught.value.hint or "")
    with pytest.raises(SourceError, match="holds a column twice: x"):
        check_names(["x", "x"], desk.config)


def test_types_that_fit_no_role_are_named(desk: Desk) -> None:
    names = desk.config.stored
    good = pa.schema([(n, pa.string()) for n in names])
    check_types(good, desk.config)
    for name, kind, expected in (
        ("x", pa.list_(pa.int64()), "role numeric needs numbers or text"),
        ("x", pa.timestamp("us"), "role numeric needs numbers or text"),
        ("t", pa.int64(), "role time needs time stamps, dates or ISO 8601 text"),
        ("c", pa.binary(), "role categorical needs text, numbers, booleans or dates"),
    ):
        wrong = good.set(good.get_field_index(name), pa.field(name, kind))
        with pytest.raises(SourceError, match=f"column `{name}` holds .*, {expected}"):
            check_types(wrong, desk.config)


def test_time_stamps_with_and_without_offset_do_not_mix(desk: Desk) -> None:
    desk.put("a.csv", csv_of({"t": "2024-01-01T00:00:00"}, {"t": "2024-01-01T00:00:00Z"}))
    (refused,) = desk.ingest().refused_files
    assert refused.reason is not None
    assert "column `t` mixes time stamps with a UTC offset (1 rows so far) and without (1)" in (
        refused.reason
    )


def test_several_offsets_are_instants_all_the_same(desk: Desk) -> None:
    desk.put("a.csv", csv_of({"t": "2024-01-01T02:00:00+02:00"}, {"t": "2024-01-01T01:00:00Z"}))
    result = desk.ingest()
    assert "`t` holds UTC offsets +02:00, Z; all are stored as UTC" in result.files[0].notes
    hours = [r["t"].hour for r in sorted(desk.rows("ingested"), key=lambda r: r["_row_id"])]
    assert hours == [0, 1]


def test_a_third_value_of_a_binary_column_without_values(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, "\n  b: {role: binary}\n  x: {role: numeric}\n")
    desk.put("a.csv", "b,x\nup,1\nup,2\n")
    desk.put("b.csv", "b,x\ndown,1\nsideways,2\nup,3\n")
    result = desk.ingest()
    assert (result.ingested, result.quarantined) == (4, 1)
    assert desk.reasons() == {2: ["`b`: neither down nor up"]}
    desk.put("c.csv", "b,x\nelsewhere,1\nup,3\n")
    assert desk.ingest().quarantined == 1


def test_json_lines_that_lack_a_column_altogether(desk: Desk) -> None:
    desk.put("a.jsonl", '{"id": 1, "b": "no", "verdict": "fine"}\n')
    (refused,) = desk.ingest().refused_files
    assert refused.reason is not None
    assert refused.reason.startswith("lacks column `x`; it has 3: id, b, verdict")
