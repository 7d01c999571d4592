"""Columns as the core takes them, one spelling per category."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from lakes import make_desk

import vae_core
from pipeline.errors import SchemaError
from pipeline.frames import is_anomaly, to_columns
from pipeline.values import canonical, numbers, text_categories, texts, times

COLUMNS = """
  x: {role: numeric, nullable: true}
  c: {role: categorical, nullable: true}
  b: {role: binary}
  verdict: {role: label, normal: [fine, ok]}
"""


def test_arrow_and_pandas_give_the_same_columns(tmp_path: Path) -> None:
    config = make_desk(tmp_path, COLUMNS, create=False).config
    table = pa.table({"b": [True, False], "c": ["u", None], "x": [1, None], "other": [1, 2]})
    for given in (table, table.to_pandas(), table.to_pandas().astype(object)):
        for settings in (config, config.columns, config.feature_columns):
            columns = to_columns(given, settings)
            assert list(columns) == ["x", "c", "b"]
            np.testing.assert_array_equal(columns["x"], [1.0, np.nan])
            assert columns["x"].dtype == np.float64
            assert columns["c"].tolist() == ["u", None]
            assert columns["b"].tolist() == ["true", "false"]


def test_an_encoding_names_the_columns_too(tmp_path: Path) -> None:
    encoding = vae_core.Encoding(
        [
            vae_core.NumericColumn("x", 0.0, 1.0),
            vae_core.BinaryColumn("b", ("0", "1")),
            vae_core.CategoricalColumn("c", ("u", "v")),
        ]
    )
    table = pa.table({"c": [5.0, 1.5], "x": ["2", " 3e1"], "b": [0, 1]})
    columns = to_columns(table, encoding)
    assert columns["x"].tolist() == [2.0, 30.0]
    assert columns["b"].tolist() == ["0", "1"]
    assert columns["c"].tolist() == ["5", "1.5"]


def test_a_pandas_column_of_several_types(tmp_path: Path) -> None:
    config = make_desk(
        tmp_path, "\n  c: {role: categorical, nullable: true}\n", create=False
    ).config
    columns = to_columns(pd.DataFrame({"c": [1, "a", 2.0, True, None, np.nan]}), config)
    assert columns["c"].tolist() == ["1", "a", "2", "true", None, None]


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    config = make_desk(tmp_path, COLUMNS, create=False).config
    with pytest.raises(SchemaError, match="2 columns missing: c, b"):
        to_columns(pa.table({"x": [1.0]}), config)
    with pytest.raises(SchemaError, match="1 cells do not, first 'abc' in row 2"):
        to_columns(pa.table({"x": ["1", "abc"], "c": ["", ""], "b": ["0", "1"]}), config)
    with pytest.raises(SchemaError, match="must hold numbers, it holds list"):
        to_columns(pa.table({"x": [[1]], "c": [""], "b": ["0"]}), config)


def test_labels(tmp_path: Path) -> None:
    config = make_desk(tmp_path, COLUMNS, create=False).config
    found = is_anomaly(np.array(["fine", "ok", "broken", None], dtype=object), config)
    assert found.tolist() == [False, False, True, False]
    unlabelled = make_desk(tmp_path / "u", "\n  x: {role: numeric}\n", create=False).config
    with pytest.raises(SchemaError, match="no label column"):
        is_anomaly(pa.array(["fine"]), unlabelled)


CELLS = [
    True, False, 0, 5, -3, 2**60, 5.0, -0.0, 1.5, 1e300, float("inf"), float("nan"), None, "5.0",
    "a b",
]  # fmt: skip


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_categories_are_spelled_as_the_core_spells_them(cell: object) -> None:
    assert canonical(cell) == vae_core.canonical(cell)
    assert texts(pa.array([cell, cell])).to_pylist() == [canonical(cell)] * 2


def test_other_types_have_a_spelling() -> None:
    assert texts(pa.array([Decimal("1.50"), None])).to_pylist() == ["1.50", None]
    assert texts(pa.array([date(2024, 1, 2)])).to_pylist() == ["2024-01-02"]
    assert texts(pa.array(["a", "b", "a"]).dictionary_encode()).to_pylist() == ["a", "b", "a"]
    cells = pa.array(["1.0", "x", "NA", "", "True", "-2.00", "1.05"])
    assert text_categories(cells, False, True).to_pylist() == [
        "1", "x", None, None, "True", "-2", "1.05",
    ]  # fmt: skip
    assert text_categories(cells, True, False).to_pylist()[2:5] == ["NA", "", "true"]


def test_numbers_out_of_text() -> None:
    cells = [
        "1",
        " -2.5 ",
        "+3",
        ".5",
        "5.",
        "1e3",
        "",
        "NaN",
        "inf",
        "-Infinity",
        "1,000",
        "0x1",
        "1_0",
        None,
        "a",
    ]
    read = numbers(pa.array(cells))
    assert read.values.to_pylist() == [
        1.0, -2.5, 3.0, 0.5, 5.0, 1000.0, None, None, np.inf, -np.inf, *[None] * 5,
    ]  # fmt: skip
    assert np.flatnonzero(read.unreadable).tolist() == [10, 11, 12, 14]
    assert numbers(pa.array([1, None])).values.to_pylist() == [1.0, None]
    assert numbers(pa.array([Decimal("1.5")])).values.to_pylist() == [1.5]
    assert numbers(pa.array([True])).values.to_pylist() == [1.0]


def test_times_out_of_text() -> None:
    read = times(
        pa.array(
            ["2024-01-02 03:04:05", "2024-01-02T03:04:05+02:00", "2024-01-02", "soon", "", None]
        ),
        "America/New_York",
    )
    assert [str(v) if v else None for v in read.values.to_pylist()] == [
        "2024-01-02 08:04:05+00:00", "2024-01-02 01:04:05+00:00", "2024-01-02 05:00:00+00:00",
        None, None, None,
    ]  # fmt: skip
    assert np.flatnonzero(read.unreadable).tolist() == [3]
    assert read.aware.tolist() == [False, True, False, False, False, False]
    assert read.offsets == {"+02:00"}


def test_an_hour_that_comes_twice_or_never() -> None:
    read = times(pa.array(["2024-11-03T01:30:00", "2024-03-10T02:30:00"]), "America/New_York")
    assert [v.hour for v in read.values.to_pylist()] == [5, 7]
    assert not read.unreadable.any()


def test_times_that_no_calendar_has_are_unreadable() -> None:
    text = times(pa.array(["-1", "2024-01-01", "10000-01-01"]), None)
    assert text.unreadable.tolist() == [True, False, True]
    far = pa.array([-(10**17), 0, 3 * 10**17], pa.timestamp("us"))
    typed = times(far, None)
    assert typed.unreadable.tolist() == [True, False, True]
    assert [v is None for v in typed.values.to_pylist()] == [True, False, True]
