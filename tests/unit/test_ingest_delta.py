"""A Delta table as a source: each version once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from lakes import Desk

from pipeline.config import load_config
from pipeline.errors import SourceError
from pipeline.home import Home
from pipeline.lake import Lake


class Feed:
    """A Delta table, partitioned by a column, and a data set that reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "feed"
        self.append(1, 2)
        self.desk = self.configured()
        self.desk.lake.create()

    def configured(self, more: str = "", path: str = "feed") -> Desk:
        config = self.folder / "feed.yaml"
        config.write_text(
            f"name: feed\nsource: {{delta: {{path: {path}{more}}}}}\n"
            "columns: {x: {role: numeric}, kind: {role: categorical}}\n"
        )
        return Desk(self.folder, load_config(config), Home(self.folder / "home"))

    def append(self, *x: Any, kind: str = "a b/é", **columns: list[Any]) -> None:
        rows = pa.table({"x": list(x), "kind": [kind] * len(x), **columns})
        write_deltalake(self.path, rows, mode="append", partition_by=["kind"], schema_mode="merge")

    def x(self) -> list[float]:
        return [r["x"] for r in sorted(self.desk.rows("ingested"), key=lambda r: r["_row_id"])]


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path)


def test_each_version_is_read_once(feed: Feed) -> None:
    feed.append(3)
    result = feed.desk.ingest()  # all that is there
    assert (result.rows_in, result.last_row_id) == (3, 3)
    (again,) = feed.desk.ingest().files
    assert (again.status, again.reason) == ("skipped", "has no new rows")
    feed.append(4)
    feed.append(5, 6, kind="b")
    assert [f.rows_in for f in feed.desk.ingest().files] == [1, 2]
    assert sorted(feed.x()) == [1, 2, 3, 4, 5, 6]
    assert feed.x()[3:] == [4, 5, 6]
    row = feed.desk.rows("ingested")[-1]
    rows = {r["x"]: (r["kind"], r["_source"]) for r in feed.desk.rows("ingested")}
    assert rows[4] == ("a b/é", f"{feed.path}@v2")
    assert rows[6] == ("b", f"{feed.path}@v3")
    assert row["_source_hash"]


def test_moving_rows_to_other_files_is_nothing_new(feed: Feed) -> None:
    feed.append(3)
    feed.desk.ingest()
    DeltaTable(feed.path).optimize.compact()
    feed.append(4)
    DeltaTable(feed.path).optimize.compact()
    assert feed.desk.ingest().rows_in == 1
    assert feed.desk.ingest().rows_in == 0
    feed.append(5)
    assert feed.desk.ingest().rows_in == 1


def test_versions_that_change_rows_are_refused_or_passed_over(feed: Feed) -> None:
    feed.desk.ingest()
    feed.append(3)
    DeltaTable(feed.path).delete("x = 1")
    DeltaTable(feed.path).restore(0)
    feed.append(4)
    result = feed.desk.ingest()
    assert result.ingested == 1
    with pytest.raises(SourceError, match=r"feed@v2 changes rows that were there \(DELETE\)") as e:
        result.raise_if_refused()
    assert "skip_changes" in (e.value.hint or "")
    feed.desk.ingest()
    assert feed.desk.lake.count("quarantine") == 1
    result = feed.configured(", skip_changes: true").ingest()
    assert result.ingested == 1
    assert len(result.notes) == 2
    assert "RESTORE" in result.notes[1]
    assert feed.x()[2:] == [3, 4]


def test_columns_that_change(feed: Feed) -> None:
    feed.desk.ingest()
    feed.append(3, more=[1])
    result = feed.desk.ingest()
    assert result.files[0].notes == ("columns that the config does not name were left out: more",)
    write_deltalake(
        feed.path, pa.table({"y": [1.5], "kind": ["a"]}), mode="overwrite", schema_mode="overwrite"
    )
    with pytest.raises(SourceError, match="feed@v2 changes rows"):
        feed.desk.ingest().raise_if_refused()
    desk = feed.configured(", skip_changes: true")
    assert not desk.ingest().refused_files
    write_deltalake(feed.path, pa.table({"y": [1.5], "kind": ["a"]}), mode="append")
    with pytest.raises(SourceError, match=r"feed@v3 lacks column `x`; it has 2"):
        desk.ingest().raise_if_refused()


def test_another_table_in_its_place(feed: Feed) -> None:
    feed.desk.ingest()
    feed.append(3)
    shutil.copytree(feed.path, feed.folder / "copy")
    feed.desk.ingest()
    with pytest.raises(SourceError, match="is at version 0, and was read"):
        shutil.rmtree(feed.path / "_delta_log")
        shutil.copytree(feed.folder / "copy" / "_delta_log", feed.path / "_delta_log")
        (feed.path / "_delta_log" / f"{1:020d}.json").unlink()
        feed.desk.ingest().raise_if_refused()
    shutil.rmtree(feed.path)
    feed.append(9)
    with pytest.raises(SourceError, match="is another table than the one that was read before"):
        feed.desk.ingest().raise_if_refused()
    with pytest.raises(SourceError, match="cannot be read as a Delta table"):
        feed.configured(path="nowhere").ingest().raise_if_refused()
    assert feed.x() == [1, 2, 3]


def test_a_log_that_was_cleaned_up(feed: Feed) -> None:
    feed.desk.ingest()
    for x in (3, 4, 5):
        feed.append(x)
    DeltaTable(feed.path).create_checkpoint()
    (feed.path / "_delta_log" / f"{2:020d}.json").unlink()
    result = feed.desk.ingest()
    assert result.ingested == 1
    with pytest.raises(SourceError, match="has no log of version 2 any more"):
        result.raise_if_refused()


def test_bad_rows_once_in_spite_of_a_kill(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reading is of one version, whatever is appended before it is repeated."""
    feed.append(None)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "append_numbered", killed)
        with pytest.raises(KeyboardInterrupt):
            feed.desk.ingest()
    assert feed.desk.lake.count("quarantine") == 1
    feed.append(None)
    result = feed.desk.ingest()
    assert [(f.ingested, f.quarantined) for f in result.files] == [(2, 1), (0, 1)]
    assert feed.desk.ingest().rows_in == 0
    assert feed.desk.lake.count("quarantine") == 2
