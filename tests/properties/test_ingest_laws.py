"""Rows in = ingested + quarantined, whatever table is thrown at it."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lakes import Desk, make_desk

COLUMNS = """
  k: {role: id}
  t: {role: time, nullable: true}
  x: {role: numeric}
  c: {role: categorical, nullable: true}
  b: {role: binary}
"""
NAMES = ["k", "t", "x", "c", "b"]
WORDS = st.sampled_from(
    ["", "0", "1", "1.0", "-3e2", "nan", "inf", "NA", "true", "False", "2024-01-02", "x,y", '"',
     "é", "2024-01-02T03:04:05Z", "a\nb", " ", "\t", "1e999", "-"]
)  # fmt: skip
CELLS = WORDS | st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)
ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, CELLS)), max_size=12)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def check(folder: str, name: str, content: bytes, rows: int, columns: str = COLUMNS) -> Desk:
    """Ingest twice; every row is in one of the tables, once, or the file was left alone."""
    desk = make_desk(Path(folder), columns)
    desk.put(name, content)
    result = desk.ingest()
    again = desk.ingest()
    where = [r["_source_row"] for r in desk.rows("quarantine") if r["_source_row"] is not None]
    where += [r["_source_row"] for r in desk.rows("ingested")]
    if result.refused_files:
        assert where == []
        assert all(f.reason and f.hint for f in result.refused_files)
    else:
        assert sorted(where) == list(range(1, rows + 1))
        assert result.rows_in == rows == result.ingested + result.quarantined
    assert again.rows_in == 0
    assert all(r["reasons"] for r in desk.rows("quarantine"))
    ids = sorted(r["_row_id"] for r in desk.rows("ingested"))
    assert ids == list(range(1, len(ids) + 1))
    return desk


@FEW
@given(rows=ROWS)
def test_any_csv(rows: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, NAMES, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        check(folder, "a.csv", text.getvalue().encode(), len(rows))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | CELLS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=3)


@FEW
@given(
    lines=st.lists(
        st.dictionaries(st.sampled_from([*NAMES, "more"]), VALUES, max_size=6).map(json.dumps)
        | st.text(st.characters(codec="utf-8"), min_size=1, max_size=9).map(
            lambda s: "|" + "".join(s.splitlines())
        ),
        max_size=12,
    )
)
def test_any_json_lines(lines: list[str]) -> None:
    content = "".join(line + "\n" for line in lines).encode()
    with tempfile.TemporaryDirectory() as folder:
        check(folder, "a.jsonl", content, len(lines))


TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (pa.float64(), st.floats()),
    "bool": (pa.bool_(), st.booleans()),
    "text": (pa.string(), CELLS),
    "stamp": (pa.timestamp("us"), st.datetimes()),
    "zoned": (pa.timestamp("ns", "Europe/Berlin"), st.integers(-(2**62), 2**62)),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=2)),
    "null": (pa.null(), st.none()),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    n = draw(st.integers(0, 10))
    names = (
        draw(st.permutations(NAMES))
        if draw(st.booleans())
        else draw(st.permutations([*NAMES, "more"]))
    )
    arrays = []
    for _ in names:
        kind, values = TYPES[draw(st.sampled_from(sorted(TYPES)))]
        cells = draw(st.lists(st.none() | values, min_size=n, max_size=n))
        arrays.append(pa.array(cells, kind))
    return pa.table(arrays, names=list(names))


@FEW
@given(table=tables())
def test_any_parquet(table: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    with tempfile.TemporaryDirectory() as folder:
        check(folder, "a.parquet", sink.getvalue(), table.num_rows)


@FEW
@given(
    content=st.binary(min_size=1, max_size=200), kind=st.sampled_from(["csv", "jsonl", "parquet"])
)
def test_any_bytes(content: bytes, kind: str) -> None:
    """Rubbish is refused or sent to quarantine; it never ends in a traceback."""
    with tempfile.TemporaryDirectory() as folder:
        desk = make_desk(Path(folder), "\n  a: {role: numeric}\n")
        desk.put(f"x.{kind}", content)
        result = desk.ingest()
        rows = desk.lake.count("ingested") + sum(
            r["_source_row"] is not None for r in desk.rows("quarantine")
        )
        assert result.rows_in == rows
