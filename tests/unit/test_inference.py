"""`init`: roles from data, and a config that works as it is written."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError, SourceError
from pipeline.home import Home
from pipeline.inference import slug, write_config
from pipeline.ingest import ingest
from pipeline.lake import Lake

DATA = Path(__file__).parents[2] / "data"


def orders(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "order_id": [f"o-{i}" for i in range(rows)],
            "when": pd.date_range("2024-01-01", periods=rows, freq="min").astype(str),
            "shipped": pd.date_range("2024-02-01", periods=rows, freq="min").astype(str),
            "amount": rng.normal(10, 3, rows).round(2),
            "discount": np.where(rng.random(rows) < 0.3, np.nan, rng.random(rows).round(3)),
            "ShopID": rng.integers(1, 9, rows),
            "country": rng.choice(["de", "fr", "no"], rows),
            "express": rng.choice([0, 1], rows),
            "paid": rng.choice([True, False], rows),
            "remark: #1": [f"remark {i}" for i in range(rows)],
            "empty": [None] * rows,
            "outcome": rng.choice(["ok", "bad"], rows, p=[0.9, 0.1]),
            "is_fraud": rng.choice([0, 1], rows, p=[0.9, 0.1]),
        }
    )


EXPECTED = {
    "order_id": "id", "when": "time", "shipped": "ignore", "amount": "numeric",
    "discount": "numeric", "ShopID": "categorical", "country": "categorical", "express": "binary",
    "paid": "binary", "remark: #1": "ignore", "empty": "ignore", "outcome": "ignore",
    "is_fraud": "label",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "semicolon", "latin", "parquet", "jsonl"])
def test_roles_are_found_and_the_config_works(tmp_path: Path, kind: str) -> None:
    frame = orders()
    if kind == "csv":
        data = tmp_path / "My Orders.csv"
        frame.to_csv(data, index=False)
    elif kind == "semicolon":
        data = tmp_path / "My Orders.csv"
        frame.to_csv(data, index=False, sep=";")
    elif kind == "latin":
        data = tmp_path / "My Orders.csv"
        frame["country"] = frame["country"].replace("no", "Österreich")
        frame.to_csv(data, index=False, encoding="latin-1")
    elif kind == "parquet":
        data = tmp_path / "My Orders.parquet"
        frame.to_parquet(data)
    else:
        data = tmp_path / "My Orders.jsonl"
        frame.to_json(data, orient="records", lines=True)
    config = write_config(data, tmp_path / "orders.yaml")
    assert {n: c.role for n, c in config.columns.items()} == EXPECTED
    assert config.name == "my-orders"
    assert config.source.path == data.name
    assert config.columns["discount"].nullable
    assert not config.columns["amount"].nullable
    assert config.columns["is_fraud"].normal == ("0",)
    assert config.columns["express"].values == ("0", "1")
    assert config.columns["paid"].values == ("false", "true")
    assert config.columns["when"].timezone == "UTC"
    assert config.split.until == 160
    assert config.source.delimiter == (";" if kind == "semicolon" else ",")
    assert config.source.encoding == ("latin-1" if kind == "latin" else "utf-8")

    home = Home(tmp_path / "home")
    Lake(config, home).create()
    result = ingest(home, config)
    assert (result.rows_in, result.quarantined) == (200, 0)


def test_the_written_file_explains_itself(tmp_path: Path) -> None:
    data = tmp_path / "orders.csv"
    orders().to_csv(data, index=False)
    write_config(data, tmp_path / "orders.yaml", name="shop")
    text = (tmp_path / "orders.yaml").read_text(encoding="utf-8")
    assert "name: shop" in text
    assert "# no UTC offset in the data: put the zone of the clock that wrote it" in text
    assert "of 200 rows" in text
    assert "# a guess; never a feature, used to measure. Is `normal` right?" in text
    assert '"remark: #1": {role: ignore}' in text
    assert all(len(line) < 140 for line in text.splitlines())


def test_dirty_columns_keep_their_kind(tmp_path: Path) -> None:
    cells = [str(i / 7) for i in range(300)]
    cells[5], cells[9] = "n.a.", "inf"
    stamps = pd.date_range("2024-01-01", periods=300, freq="h", tz="Europe/Berlin").astype(str)
    pd.DataFrame({"x": cells, "t": stamps}).to_csv(tmp_path / "a.csv", index=False)
    config = write_config(tmp_path / "a.csv", tmp_path / "a.yaml")
    assert config.columns["x"].role == "numeric"
    assert config.columns["t"].role == "time"
    assert config.columns["t"].timezone is None
    assert "2 cells are no finite number and go to quarantine" in (tmp_path / "a.yaml").read_text()


def test_a_folder_of_files(tmp_path: Path) -> None:
    config = write_config(DATA / "taxi", tmp_path / "taxi.yaml")
    assert config.name == "taxi"
    assert config.source_path == str(DATA / "taxi")
    assert config.time == "lpep_pickup_datetime"
    assert config.columns["PULocationID"].role == "categorical"
    assert config.columns["ehail_fee"].role == "ignore"
    shipped = load_config(DATA.parent / "configs" / "taxi.yaml")
    assert list(config.columns) == list(shipped.columns)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"is empty \(0 bytes\)"),
        ("a,b\n", "has no rows"),
        ("id,t\n" + "".join(f"k{i},2024-01-01\n" for i in range(30)), "no column to learn from"),
    ],
)
def test_data_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(SourceError, match=message):
        write_config(tmp_path / "a.csv", tmp_path / "a.yaml")
    assert not (tmp_path / "a.yaml").exists()


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    pd.DataFrame({"x": range(50), "y": 1.5}).to_csv(tmp_path / "a.csv", index=False)
    write_config(tmp_path / "a.csv", tmp_path / "a.yaml")
    with pytest.raises(ConfigError, match="exists already"):
        write_config(tmp_path / "a.csv", tmp_path / "a.yaml")
    write_config(tmp_path / "a.csv", tmp_path / "a.yaml", force=True)
    with pytest.raises(SourceError, match="there is no file or folder"):
        write_config(tmp_path / "none.csv", tmp_path / "b.yaml")
    with pytest.raises(SourceError, match="holds no CSV"):
        (tmp_path / "empty").mkdir()
        write_config(tmp_path / "empty", tmp_path / "b.yaml")


def test_names_of_data_sets(tmp_path: Path) -> None:
    assert slug(str(tmp_path / "Sales 2024 (EU).csv.gz")) == "sales-2024-eu"
    assert slug(str(tmp_path / "landing" / "*.parquet")) == "landing"
    assert slug("/***") == "data"


@pytest.mark.parametrize("stem", ["2024", "null", "true", "1e5"])
def test_names_that_yaml_would_take_for_something_else(tmp_path: Path, stem: str) -> None:
    (tmp_path / f"{stem}.csv").write_text("x,y\n" + "1.5,2.5\n3.5,4.5\n" * 20)
    assert write_config(tmp_path / f"{stem}.csv", tmp_path / "a.yaml").name == stem


def test_a_name_that_will_not_do_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1.5,2.5\n")
    with pytest.raises(ConfigError, match="'My Data' cannot be the name") as caught:
        write_config(tmp_path / "a.csv", tmp_path / "a.yaml", name="My Data")
    assert "small letters" in (caught.value.hint or "")
    assert not (tmp_path / "a.yaml").exists()


def test_a_file_of_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1.5,2.5\n")
    assert write_config(tmp_path / "a.csv", tmp_path / "a.yaml").split.until == 3


def test_columns_that_tables_cannot_hold_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.5, 2.5, 3.5], "": [1.5, 2.5, 4.5], "X": 1.5, "_row_id": 2.5})
    frame.index = pd.Index([7, 3, 5])
    frame.to_parquet(tmp_path / "a.parquet")
    config = write_config(tmp_path / "a.parquet", tmp_path / "a.yaml")
    assert {n: c.role for n, c in config.columns.items()} == {
        "x": "numeric", "": "ignore", "X": "ignore", "__index_level_0__": "ignore"
    }  # fmt: skip
    text = (tmp_path / "a.yaml").read_text()
    assert "# differs from `x` by case only" in text
    assert "# the index of a pandas frame" in text


def column_of(kind: pa.DataType, cells: int) -> pa.Array:
    """Whole numbers below 7, as cells of a type."""
    numbers = [i % 7 for i in range(cells)]
    made: dict[str, Callable[[int], Any]] = {
        "binary": lambda i: b"%d" % i,
        "list": lambda i: [i],
        "map": lambda i: [(str(i), i)],
        "decimal": Decimal,
        "half": np.float16,
        "string": "abcdefg".__getitem__,
    }
    make = next((f for word, f in made.items() if word in str(kind)), lambda i: i)
    return pa.array([make(i) for i in numbers], kind)


TYPES: dict[str, tuple[Any, str]] = {
    "duration": (pa.duration("s"), "ignore"),
    "list": (pa.list_(pa.int64()), "ignore"),
    "large_list": (pa.large_list(pa.int64()), "ignore"),
    "map": (pa.map_(pa.string(), pa.int64()), "ignore"),
    "binary": (pa.binary(), "ignore"),
    "large_binary": (pa.large_binary(), "ignore"),
    "fixed_binary": (pa.binary(1), "ignore"),
    "binary_view": (pa.binary_view(), "ignore"),
    "string_view": (pa.string_view(), "categorical"),
    "large_string": (pa.large_string(), "categorical"),
    "clock": (pa.time64("us"), "categorical"),
    "decimal": (pa.decimal128(10, 2), "numeric"),
    "half": (pa.float16(), "numeric"),
    "uint64": (pa.uint64(), "numeric"),
    "day": (pa.date32(), "time"),
    "nothing": (pa.null(), "ignore"),
}


@pytest.mark.parametrize("name", TYPES)
def test_columns_of_every_type_are_left_out_or_ingested(tmp_path: Path, name: str) -> None:
    kind, role = TYPES[name]
    cells = pa.nulls(60) if pa.types.is_null(kind) else column_of(kind, 60)
    x = np.random.default_rng(0).normal(size=60)
    columns = {"x": x, "c": cells, "of": pa.StructArray.from_arrays([cells], ["a"])}
    pq.write_table(pa.table(columns), tmp_path / "data.parquet")
    config = write_config(str(tmp_path / "data.parquet"), tmp_path / "config.yaml")
    assert config.columns["c"].role == role
    assert config.columns["of.a"].role in (role, "ignore"), "a second time column is left out"
    home = Home(tmp_path / "home")
    Lake(config, home).create()
    result = ingest(home, config)
    assert (result.ingested, result.quarantined) == (60, 0), result.refused_files


def test_utf_16_and_decimal_commas_are_noticed(tmp_path: Path) -> None:
    text = "x;y\n" + "".join(f"{i},5;{i}.5\n" for i in range(40))
    (tmp_path / "a.csv").write_text(text, encoding="utf-16")
    config = write_config(tmp_path / "a.csv", tmp_path / "a.yaml")
    assert (config.source.encoding, config.source.delimiter) == ("utf-16", ";")
    assert config.columns["y"].role == "numeric"
    assert "decimal commas are read as text" in (tmp_path / "a.yaml").read_text()
    Lake(config, Home(tmp_path / "home")).create()
    assert ingest(Home(tmp_path / "home"), config).ingested == 40


def test_json_that_is_not_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"x": 1}, {"x": 2}]')
    with pytest.raises(SourceError, match="not a JSON object") as caught:
        write_config(tmp_path / "a.json", tmp_path / "a.yaml")
    assert "one object on each line" in (caught.value.hint or "")
