"""Files in stores, compressed files, nested and decimal columns: the same rows from everywhere."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakes import Desk, make_desk

from pipeline.config import load_config
from pipeline.errors import SourceError
from pipeline.files import Store
from pipeline.home import Home
from pipeline.inference import write_config
from pipeline.sources import list_files

COLUMNS = "\n  x: {role: numeric}\n  c: {role: categorical, nullable: true}\n"
CSV = b"x,c\n1.5,red\n2.5,\n"
LINES = b'{"x": 1.5, "c": "red"}\n{"x": 2.5, "c": null}\n'


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's store in this process's memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def desk_at(folder: Path, place: str, columns: str = COLUMNS, more: str = "") -> Desk:
    path = folder / "desk.yaml"
    path.write_text(f"name: desk\nsource: {{path: '{place}'{more}}}\ncolumns: {columns}\n")
    desk = Desk(folder, load_config(path), Home(folder / "home"))
    desk.lake.create()
    return desk


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


PACKED = {
    "a.csv": CSV,
    "a.csv.gz": gzip.compress(CSV),
    "a.CSV.GZ": gzip.compress(CSV[:9]) + gzip.compress(CSV[9:]),  # two members, as `cat` makes
    "a.csv.zst": zstd(CSV),
    "a.tsv.zst": zstd(CSV[:9]) + zstd(CSV[9:]),
    "a.csv.bz2": bz2.compress(CSV),
    "a.jsonl": LINES,
    "a.jsonl.gz": gzip.compress(LINES),
    "a.ndjson.zst": zstd(LINES),
}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("place", ["folder", "file://", "memory://"])
def test_the_same_rows_from_everywhere(tmp_path: Path, memory: Any, name: str, place: str) -> None:
    inbox = tmp_path / "in box"
    if place == "memory://":
        with memory.open("/in box/" + name, "wb") as file:
            file.write(PACKED[name])
        uri = "memory://in box"
    else:
        inbox.mkdir()
        (inbox / name).write_bytes(PACKED[name])
        uri = "in box" if place == "folder" else inbox.as_uri()
    desk = desk_at(tmp_path, uri)
    assert desk.ingest().ingested == 2
    assert desk.ingest().files[0].reason == "is already ingested"
    rows = sorted(desk.rows("ingested"), key=lambda r: r["_source_row"])
    assert [(r["x"], r["c"]) for r in rows] == [(1.5, "red"), (2.5, None)]
    assert rows[0]["_source"].endswith("in box/" + name)


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst", "a.jsonl.gz", "a.ndjson.zst"])
def test_compressed_files_cut_short(tmp_path: Path, name: str) -> None:
    desk = make_desk(tmp_path, COLUMNS)
    long = (CSV if "csv" in name else LINES) + b"".join(
        PACKED["a.csv"][4:12] if "csv" in name else b'{"x": %d}\n' % i for i in range(5000)
    )
    packed = gzip.compress(long) if name.endswith("gz") else zstd(long)
    desk.put(name, packed[: len(packed) // 2])
    (refused,) = desk.ingest().refused_files
    assert "cannot be read" in (refused.reason or "")
    assert desk.lake.count("ingested") == 0


def test_a_store_is_asked_before_files_are_fetched(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    plain = Store._fetched

    def noted(store: Store, key: str, copy: Any) -> Any:
        fetched.append(key)
        return plain(store, key, copy)

    monkeypatch.setattr(Store, "_fetched", noted)
    for name in ("night-10.csv", "night-9.csv", ".hidden.csv", "_tmp/x.csv", "notes.md"):
        with memory.open(f"/landing/{name}", "wb") as file:
            file.write(CSV.replace(b"red", name.encode()))
    desk = desk_at(tmp_path, "memory://landing")
    files, unknown = list_files(desk.config)
    assert [f.title for f in files] == ["night-9.csv", "night-10.csv"]
    assert unknown == ["memory:///landing/notes.md"]
    assert desk.ingest().ingested == 4
    assert len(fetched) == 2
    assert desk.ingest().ingested == 0
    assert len(fetched) == 2
    with memory.open("/landing/night-9.csv", "wb") as file:
        file.write(CSV)
    (refused,) = desk.ingest().refused_files
    assert refused.reason == "was ingested before with other content"
    assert len(fetched) == 3


def test_globs_single_files_and_nothing_in_a_store(tmp_path: Path, memory: Any) -> None:
    for name in ("a.csv", "sub/b.csv", "c.dat"):
        with memory.open(f"/landing/{name}", "wb") as file:
            file.write(CSV)
    for place, count in {"*.csv": 1, "**/*.csv": 2, "a.csv": 1, "c.dat": 1}.items():
        desk = desk_at(tmp_path, f"memory://landing/{place}")
        assert len(list_files(desk.config)[0]) == count, place
    for place, message in {
        "memory://landing/*.parquet": "no file matches memory://landing/",
        "memory://nowhere": "there is no file or folder memory://nowhere",
        "nonsense://x": "nonsense://x cannot be read: Protocol not known: nonsense",
    }.items():
        with pytest.raises(SourceError, match=message.replace("*", r"\*")) as caught:
            list_files(desk_at(tmp_path, place).config)
        assert caught.value.hint


def test_options_come_from_the_environment_and_stay_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "{endpoint_url: 'http://127.0.0.1:9/${STORE_SECRET}'}"
    keys = "key: '${NO_SUCH_KEY}', secret: '${STORE_SECRET}'"
    more = f", options: {{{keys}, client_kwargs: {address}}}"
    desk = desk_at(tmp_path, "s3://bucket/x.csv", more=more)
    with pytest.raises(SourceError, match="needs the environment variable NO_SUCH_KEY"):
        desk.ingest()
    monkeypatch.setenv("NO_SUCH_KEY", "a-key")
    monkeypatch.setenv("STORE_SECRET", "rosebud")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(SourceError, match=r"s3://bucket/x\.csv cannot be read") as caught:
        desk.ingest()
    assert "127.0.0.1:9/***" in str(caught.value)
    assert "rosebud" not in str(caught.value)


def test_nested_and_decimal_columns(tmp_path: Path) -> None:
    kind = pa.struct({"amount": pa.decimal128(12, 2), "to": pa.struct({"code": pa.int16()})})
    table = pa.table(
        {
            "pay": pa.array(
                [
                    {"amount": Decimal("12.50"), "to": {"code": 7}},
                    {"amount": Decimal("-3.00"), "to": None},
                    None,
                ],
                kind,
            ),
            "rate": pa.array([Decimal("0.1"), Decimal("2"), None], pa.decimal256(40, 20)),
            "level": pa.array(
                [Decimal("5.00"), Decimal("5.50"), Decimal("5")], pa.decimal128(9, 2)
            ),
            "tags": pa.array([[1], [], None], pa.list_(pa.int64())),
        }
    )
    data = tmp_path / "pay.parquet"
    pq.write_table(pa.concat_tables([table] * 20), data)
    config = write_config(data, tmp_path / "pay.yaml")
    roles = {n: c.role for n, c in config.columns.items()}
    assert roles["pay.amount"] == "numeric"
    assert roles["tags"] == "ignore"
    assert "cells of type list" in (tmp_path / "pay.yaml").read_text()
    columns = (
        "{pay.amount: {role: numeric, nullable: true}, pay.to.code: {role: numeric, "
        "nullable: true}, rate: {role: numeric, nullable: true}, level: {role: categorical}"
    )
    pq.write_table(table, data)
    desk = desk_at(tmp_path, "pay.parquet", columns + "}")
    assert desk.ingest().ingested == 3
    rows = sorted(desk.rows("ingested"), key=lambda r: r["_source_row"])
    assert [tuple(r[n] for n in desk.config.stored) for r in rows] == [
        (12.5, 7, 0.1, "5"),
        (-3, None, 2, "5.50"),
        (None, None, None, "5"),
    ]
    pq.write_table(table.slice(1), data)
    desk = desk_at(tmp_path, "pay.parquet", columns + "}")  # the same data set
    with pytest.raises(SourceError, match="ingested before with other content"):
        desk.ingest().raise_if_refused()
    (tmp_path / "lists").mkdir()
    pq.write_table(table, tmp_path / "lists" / "pay.parquet")
    desk = desk_at(tmp_path / "lists", "pay.parquet", columns + ", tags: {role: numeric}}")
    with pytest.raises(SourceError, match=r"column `tags` holds list<.*>, role numeric needs"):
        desk.ingest().raise_if_refused()
    clash = table.append_column("pay.amount", pa.array([1, 2, 3]))
    pq.write_table(clash, tmp_path / "lists" / "clash.parquet")
    desk = desk_at(tmp_path / "lists", "clash.parquet", columns + "}")
    (refused,) = desk.ingest().refused_files
    assert refused.reason == "holds a column twice: pay.amount"
