"""A database as a source: each row once, whatever order rows and runs come in."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lakes import Desk

from pipeline import ingest_sql
from pipeline.config import load_config
from pipeline.errors import SourceError
from pipeline.home import Home
from pipeline.stream_state import Stream

COLUMNS = """
  id: {role: categorical}
  x: {role: numeric}
  c: {role: categorical, nullable: true}
  at: {role: ignore}
"""


class Shop:
    """An SQLite database with one table, and a data set that reads it."""

    def __init__(self, folder: Path, watermark: str = "id", columns: str = COLUMNS) -> None:
        self.folder, self.watermark, self.columns = folder, watermark, columns
        self.run("CREATE TABLE orders (id INTEGER, x REAL, c TEXT, at TEXT)")
        self.desk = self.configured()
        self.desk.lake.create()

    def run(self, sql: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        database = sqlite3.connect(self.folder / "shop.db")
        with database:
            database.executemany(sql, rows) if rows is not None else database.execute(sql)
        database.close()

    def add(self, *rows: tuple[Any, ...]) -> None:
        """Rows of id, x, c, at; what is left out is null."""
        full = [(*row, *(None,) * (4 - len(row))) for row in rows]
        self.run("INSERT INTO orders VALUES (?, ?, ?, ?)", full)

    def configured(self, more: str = "", table: str = "table: orders", name: str = "a") -> Desk:
        path = self.folder / f"{name}.yaml"
        path.write_text(
            f"name: shop\nsource: {{sql: {{url: 'sqlite:///shop.db', {table}, "
            f"watermark: {self.watermark}{more}}}}}\ncolumns: {self.columns}\n"
        )
        return Desk(self.folder, load_config(path), Home(self.folder / "home"))

    def ids(self, table: str = "ingested") -> list[str]:
        return [r["id"] for r in sorted(self.desk.rows(table), key=lambda r: r["_row_id"])]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_rows_come_in_order_of_the_watermark_and_once(shop: Shop) -> None:
    shop.add((2, 0.5, "red"), (1, 1.5, None), (3, 2.5, "blue"))
    result = shop.desk.ingest()
    assert (result.rows_in, result.first_row_id, result.last_row_id) == (3, 1, 3)
    assert shop.ids() == ["1", "2", "3"]
    (again,) = shop.desk.ingest().files
    assert (again.status, again.reason) == ("skipped", "has no new rows")
    shop.add((5, 1), (4, 1))
    assert shop.desk.ingest().rows_in == 2
    assert shop.ids() == ["1", "2", "3", "4", "5"]
    rows = {r["id"]: (r["_source"], r["_source_row"]) for r in shop.desk.rows("ingested")}
    assert rows["4"] == ("sql:orders", 4)
    assert len({r["_source_hash"] for r in shop.desk.rows("ingested")}) == 2


def test_rows_that_come_late_with_the_last_watermark_are_taken_once(shop: Shop) -> None:
    shop.add((1, 1), (2, 1), (2, 1))
    shop.desk.ingest()
    shop.add((2, 1), (2, 7), (3, 1))  # a third twin, another row, a new one
    result = shop.desk.ingest()
    assert result.rows_in == 3
    assert result.notes == ("sql:orders: 2 rows came late",)
    assert sorted(shop.ids()) == ["1", "2", "2", "2", "2", "3"]
    assert shop.desk.ingest().rows_in == 0


def test_rows_that_come_later_than_that_are_counted_and_then_looked_for(shop: Shop) -> None:
    shop.add((1, 1), (5, 1), (10, 1))
    shop.desk.ingest()
    shop.add((4, 1), (8, 1), (11, 1))
    result = shop.desk.ingest()
    assert result.ingested == 1  # the new one goes in all the same
    with pytest.raises(SourceError, match="holds 2 rows with `id` below 10 that came after") as e:
        result.raise_if_refused()
    assert "source.sql.lookback" in (e.value.hint or "")
    result = shop.configured(", lookback: 3").ingest()  # 11 - 3 reaches the 8
    assert result.ingested == 1
    with pytest.raises(SourceError, match="holds 1 rows with `id` below 8"):
        result.raise_if_refused()
    result = shop.configured(", lookback: 1.0e+30").ingest()
    assert result.ingested == 1
    assert not shop.configured().ingest().refused_files
    assert sorted(map(int, shop.ids())) == [1, 4, 5, 8, 10, 11]
    reasons = [r["reasons"] for r in shop.desk.rows("quarantine")]
    assert len(reasons) == 2  # each refusal, once


def test_bad_rows_are_set_aside_once(shop: Shop) -> None:
    shop.add((1, "?"), (2, 2), (3, None, "red"), (3, "?"))
    result = shop.desk.ingest()
    assert (result.rows_in, result.ingested, result.quarantined) == (4, 1, 3)
    shop.add((3, "?"))  # a twin of one that is there
    result = shop.desk.ingest()
    assert (result.ingested, result.quarantined) == (0, 1)
    assert shop.desk.ingest().rows_in == 0
    raws = sorted((r["_source_row"], r["raw"]) for r in shop.desk.rows("quarantine"))
    assert raws[0] == (1, '{"id": 1, "x": "?", "c": null}')
    assert [n for n, _ in raws] == [1, 3, 3, 3]


def test_rows_without_a_watermark_are_set_aside_once(shop: Shop) -> None:
    shop.add((None, 1), (None, 1), (7, 1))
    result = shop.desk.ingest()
    assert (result.ingested, result.quarantined) == (1, 2)
    shop.add((None, 1))
    assert shop.desk.ingest().quarantined == 1
    assert shop.desk.ingest().rows_in == 0
    assert {r["reasons"][0] for r in shop.desk.rows("quarantine")} == {
        "`id`: no watermark that can be read"
    }


def test_a_watermark_that_goes_backwards(shop: Shop) -> None:
    shop.add((1, 1), (2, 1), (9, 1))
    shop.desk.ingest()
    shop.run("DELETE FROM orders WHERE id = 9")
    result = shop.desk.ingest()
    assert not result.refused_files
    assert "its newest rows were deleted" in result.notes[0]
    shop.run("DELETE FROM orders")
    assert not shop.desk.ingest().refused_files
    shop.add((1, 5), (2, 6))
    with pytest.raises(
        SourceError, match=r"greatest `id` is 2, where rows up to 9 .* and 2 rows are others"
    ):
        shop.desk.ingest().raise_if_refused()
    assert shop.desk.lake.count("ingested") == 3


def test_time_stamps_in_any_iso_spelling(tmp_path: Path) -> None:
    shop = Shop(tmp_path, watermark="at")
    shop.add(
        (2, 1, None, "2024-01-01T00:00:00.5"),
        (1, 1, None, "2024-01-01 00:00:00"),
        (3, 1, None, "2024-01-01T03:00:00+01:00"),
        (4, 1, None, "yesterday"),
    )
    result = shop.desk.ingest()
    assert (result.ingested, result.quarantined) == (3, 1)
    assert shop.ids() == ["1", "2", "3"]
    shop.add((5, 1, None, "2024-01-01 02:00:00"), (6, 1, None, "2024-01-01 02:00:01"))
    assert shop.desk.ingest().ingested == 2
    shop.add((7, 1, None, "2024-01-01 01:59:59.5"))
    with pytest.raises(SourceError, match=r"below 2024-01-01 02:00:01\.000"):
        shop.desk.ingest().raise_if_refused()
    assert shop.configured(", lookback: 2").ingest().ingested == 1
    assert shop.ids() == ["1", "2", "3", "5", "6", "7"]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE orders ADD COLUMN more TEXT", None),
        ("ALTER TABLE orders DROP COLUMN c", r"sql:orders lacks column `c`; it has 3: id, x, at"),
        ("UPDATE orders SET id = 'one'", "was a whole number before|holds integer and text"),
        ("UPDATE orders SET id = 2.5 WHERE id = 3", "holds integer and real|is no whole number"),
        ("UPDATE orders SET x = x'00ff'", "column `x` holds binary, role numeric needs numbers"),
        ("DROP TABLE orders", "cannot be read .no such table: orders"),
    ],
)
def test_a_schema_that_changes(shop: Shop, statement: str, message: str | None) -> None:
    shop.add((1, 1), (2, 2))
    shop.desk.ingest()
    shop.add((3, 3))
    shop.run(statement)
    result = shop.desk.ingest()
    if message is None:
        assert result.ingested == 1
        assert "columns that the config does not name were left out: more" in result.notes
        return
    with pytest.raises(SourceError, match=message) as caught:
        result.raise_if_refused()
    assert caught.value.hint
    assert shop.desk.lake.count("ingested") == 2
    assert len(shop.desk.rows("quarantine")) == 1  # recorded for the night's report


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE orders SET id = id + 0.5", "holds real; it needs integers"),
        ("UPDATE orders SET id = 'x' WHERE id = 1", "holds integer and text"),
        ("UPDATE orders SET id = x'00'", "holds blob"),
    ],
)
def test_columns_that_can_be_no_watermark(shop: Shop, statement: str, message: str) -> None:
    shop.add((1, 1), (2, 2))
    shop.run(statement)
    with pytest.raises(SourceError, match=message):
        shop.desk.ingest().raise_if_refused()


def test_a_table_without_the_label_column(tmp_path: Path) -> None:
    shop = Shop(tmp_path, columns=COLUMNS + "  verdict: {role: label, normal: fine}\n")
    shop.add((1, 0.5), (2, 1.5))
    result = shop.desk.ingest()
    assert (result.ingested, result.quarantined) == (2, 0)
    assert [row["verdict"] for row in shop.desk.rows("ingested")] == [None, None]
    assert any("label column `verdict` is not there" in note for note in result.notes)
    assert shop.desk.ingest().rows_in == 0
    shop.run("ALTER TABLE orders ADD COLUMN verdict TEXT")
    shop.run("INSERT INTO orders VALUES (3, 2.5, NULL, NULL, 'odd')")
    assert shop.desk.ingest().ingested == 1


def test_a_query_in_place_of_a_table(shop: Shop) -> None:
    shop.add((1, 1, "12:30"), (2, 9, "12:30"), (3, 1, "x"))
    query = "SELECT * FROM orders\nWHERE x < 5 AND c = '12:30' AND '%d' <> '%' -- all; "
    desk = shop.configured(table=f"query: {query!r}")
    assert desk.ingest().ingested == 1
    other = shop.configured(table="query: select * from orders", name="b")
    with pytest.raises(SourceError, match="is not what was read before"):
        other.ingest().raise_if_refused()
    with pytest.raises(SourceError, match="is not what was read before"):
        shop.configured(name="c").ingest().raise_if_refused()


def test_databases_that_cannot_be_read(shop: Shop) -> None:
    for url, message in {
        "sqlite:///gone.db": "there is no file .*gone.db",
        "sqlite://": "has no file",
        "mysql://host/shop": "database of kind mysql, which is not known",
        "nonsense": "no database URL",
        "${NO_SUCH_VARIABLE}": "needs the environment variable NO_SUCH_VARIABLE",
    }.items():
        desk = shop.desk
        sql = desk.config.source.sql.model_copy(update={"url": url})  # type: ignore[union-attr]
        source = desk.config.source.model_copy(update={"sql": sql})
        config = desk.config.model_copy(update={"source": source})
        with pytest.raises(SourceError, match=message):
            Desk(desk.folder, config, desk.home).ingest().raise_if_refused()
    assert not (shop.folder / "gone.db").exists()


def test_units_end_between_watermarks(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_sql, "UNIT_ROWS", 3)
    monkeypatch.setattr("pipeline.databases.connection.BATCH_ROWS", 4)
    marks = [1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7]
    shop.add(*((m, i) for i, m in enumerate(marks)))
    said: list[tuple[int, int | None, str]] = []
    from pipeline.ingest import ingest

    result = ingest(shop.desk.home, shop.desk.config, lambda *words: said.append(words))
    assert [f.rows_in for f in result.files] == [9, 3, 8, 1]
    assert [r["x"] for r in sorted(shop.desk.rows("ingested"), key=lambda r: r["_row_id"])] == list(
        range(21)
    )
    assert said[-1] == (21, 21, "read up to 7")


def interrupt() -> None:
    raise KeyboardInterrupt


def killed_before(desk: Desk, method: str) -> None:
    """A run that ends before the first call of a method of `Stream`."""
    with (
        overtaken(method, interrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        desk.ingest()


@pytest.mark.parametrize("between", [(), ((2, "?"), (2, 5), (4, "?"))])
def test_a_run_killed_between_the_tables(shop: Shop, between: tuple[tuple[Any, ...], ...]) -> None:
    """Refused rows are there, good ones not yet; and meanwhile the table may have grown."""
    shop.add((1, 1), (2, "?"), (2, 2), (3, "?"))
    killed_before(shop.desk, "append")
    assert (len(shop.desk.rows("quarantine")), len(shop.desk.rows("ingested"))) == (2, 0)
    shop.add(*between)
    result = shop.desk.ingest()
    assert result.ingested == 2 + len(between[1:2])
    assert shop.desk.ingest().rows_in == 0
    assert shop.desk.lake.count("quarantine") == 2 + len(between[::2])


def test_a_killed_run_that_had_read_only_bad_rows(shop: Shop) -> None:
    shop.add((1, "?"))
    killed_before(shop.desk, "append")
    shop.desk.ingest()
    shop.add((2, 1))
    assert shop.desk.ingest().rows_in == 1
    assert (shop.desk.lake.count("quarantine"), shop.desk.lake.count("ingested")) == (1, 1)


@pytest.mark.parametrize("method", ["append", "set_aside", "aside", "ingested"])
def test_another_run_in_between(shop: Shop, method: str) -> None:
    """Whoever comes second looks again, at whichever step it is overtaken."""
    rng = random.Random(3)
    everything: list[tuple[Any, ...]] = []

    def more(*rows: tuple[Any, ...]) -> None:
        everything.extend(rows)
        shop.add(*rows)

    more(*((0, i) for i in range(10)))
    shop.desk.ingest()
    for first in (1, 11, 21):
        more(*((first + i // 2, rng.choice([1, 2, "?"])) for i in range(9)))
        more((everything[-10][0], "?"), (everything[-10][0], 3))  # late ones
        with overtaken(method, lambda: (more((everything[-3][0], 4)), shop.desk.ingest())):
            shop.desk.ingest()
        shop.desk.ingest()
        good = sorted((str(i), float(x)) for i, x in everything if x != "?")
        assert sorted((r["id"], r["x"]) for r in shop.desk.rows("ingested")) == good
        assert shop.desk.lake.count("quarantine") == sum(x == "?" for _, x in everything)


@contextmanager
def overtaken(method: str, by: Callable[[], Any]) -> Iterator[None]:
    """Before the first call of a method of `Stream` something else happens."""
    plain, happened = getattr(Stream, method), []

    def late(*given: Any) -> Any:
        if not happened:
            happened.append(True)
            by()
        return plain(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stream, method, late)
        yield
    assert happened


def test_ids_are_checked_against_history_if_asked(tmp_path: Path) -> None:
    shop = Shop(tmp_path, "at", COLUMNS.replace("id: {role: categorical}", "id: {role: id}"))
    shop.add((1, 1, None, "2024-01-01"), (1, 2, None, "2024-01-01"))
    assert shop.desk.ingest().quarantined == 1
    shop.add((1, 3, None, "2024-01-02"))
    source = shop.desk.config.source.model_copy(update={"unique_id_history": True})
    config = shop.desk.config.model_copy(update={"source": source})
    assert Desk(shop.folder, config, shop.desk.home).ingest().quarantined == 1
