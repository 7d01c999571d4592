"""Files checked anywhere and committed in order: the rows of a plain ingest, once each."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from lakes import Desk, csv_of, make_desk

from pipeline.home import Home
from pipeline.ingest import IngestResult, ingest
from pipeline.staged_files import StagedFile, stage_file, why_not

LARGE = "engine: {file_bytes: 1}\n"
TABLES = ("ingested", "quarantine")


@dataclass
class Workers:
    """Checks files for real, all at once.

    Attributes:
        asked: names of the files.
        sees: whether it finds them.
    """

    desk: Desk
    asked: list[str] = field(default_factory=list)
    sees: bool = True

    def __call__(self, names: Iterable[str]) -> Generator[StagedFile, None, None]:
        self.asked += (names := list(names))
        with ThreadPoolExecutor(3) as pool:
            seen = names if self.sees else [name + ".gone" for name in names]
            found = [pool.submit(stage_file, self.desk.home, self.desk.config, n) for n in seen]
            for one in found:
                yield one.result()

    def ingest(self) -> IngestResult:
        return ingest(self.desk.home, self.desk.config, read=self)


def files(desk: Desk) -> None:
    """In this order: rows out of time, a twin, one refused as a whole, one all bad, good ones."""
    late = {"t": "2024-01-09", "x": "1"}, {"t": "2024-01-02", "x": "2"}, {"t": "", "x": "3"}
    desk.put("1.csv", csv_of(*late, {"x": "much"}, {"b": "maybe"}))
    desk.put("2.csv", csv_of(*late, {"x": "much"}, {"b": "maybe"}))
    desk.put("3.csv", "id,t\n1,2\n")
    desk.put("4.csv", csv_of({"x": "none"}))
    desk.put("5.csv", csv_of(*({"id": f"f{i}", "x": str(i)} for i in range(50))))
    desk.put("6.csv", "id,t,x,y,c,b,verdict,memo\n")


def rows(desk: Desk, table: str) -> pa.Table:
    """All but when, in an order that a rerun has too, sources by their file's name."""
    found = desk.lake.read(table)
    kept = [{k: v for k, v in row.items() if k != "_ingested_at"} for row in found.to_pylist()]
    for row in kept:
        row["_source"] = Path(row["_source"]).name
    return sorted(kept, key=lambda r: (r.get("_row_id") or 0, r["_source"], r["_source_row"] or 0))


def told(result: IngestResult) -> list[object]:
    return [
        replace(f, path=Path(f.path).name, reason=f.reason and f.reason.rpartition("/")[2])
        for f in result.files
    ]


def desks(folder: Path, **made: str) -> tuple[Desk, Desk]:
    return tuple(make_desk(folder / name, **made, more=LARGE) for name in ("plain", "apart"))


def test_the_same_tables_and_the_same_words(tmp_path: Path) -> None:
    plain, apart = desks(tmp_path)
    for desk in (plain, apart):
        files(desk)
    workers = Workers(apart)
    assert told(plain.ingest()) == told(workers.ingest())
    assert [Path(name).name for name in workers.asked] == [f"{i}.csv" for i in range(1, 7)]
    assert plain.lake.count("ingested") == 53 and plain.lake.count("quarantine") == 4
    for table in TABLES:
        assert rows(plain, table) == rows(apart, table)
    assert not list((apart.folder / "home").rglob("staged-*")), "what was staged is gone"
    for desk in (plain, apart):
        desk.put("7.csv", csv_of({"id": "new"}))
        desk.put("5.csv", csv_of({"id": "other"}))
    assert told(plain.ingest()) == told(Workers(apart).ingest())
    assert rows(plain, "ingested") == rows(apart, "ingested")


def test_a_second_run_beside_it_adds_nothing(tmp_path: Path) -> None:
    plain, apart = desks(tmp_path)
    for desk in (plain, apart):
        files(desk)
    plain.ingest()

    class Slow(Workers):
        def __call__(self, names: Iterable[str]) -> Generator[StagedFile, None, None]:
            found = list(super().__call__(names))
            apart.ingest()  # another run is through before the first row comes back
            yield from found

    result = Slow(apart).ingest()
    assert {f.status for f in result.files} == {"skipped", "refused"}
    for table in TABLES:
        assert rows(plain, table) == rows(apart, table)
    assert not list((apart.folder / "home").rglob("staged-*"))


def test_what_a_killed_run_leaves_is_no_row(tmp_path: Path) -> None:
    plain, apart = desks(tmp_path)
    for desk in (plain, apart):
        files(desk)
    plain.ingest()
    for name in sorted(apart.inbox.iterdir()):
        stage_file(apart.home, apart.config, str(name))
    assert list((apart.folder / "home").rglob("staged-*"))
    assert apart.lake.count("ingested") == 0
    Workers(apart).ingest()
    for table in TABLES:
        assert rows(plain, table) == rows(apart, table)


def test_small_files_are_not_worth_a_task(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    files(desk)
    workers = Workers(desk)
    assert workers.ingest().ingested == 53
    assert workers.asked == []


def test_workers_that_do_not_see_the_files(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, more=LARGE)
    files(desk)
    result = Workers(desk, sees=False).ingest()
    assert result.ingested == 53
    assert any("the run read 1.csv by itself" in note for note in result.files[0].notes)


def test_a_worker_that_sees_another_file_by_that_name(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, more=LARGE)
    path = desk.put("1.csv", csv_of({"x": "1"}, {"x": "2"}))

    class Stale(Workers):
        def __call__(self, names: Iterable[str]) -> Generator[StagedFile, None, None]:
            whole = path.read_bytes()
            desk.put("1.csv", csv_of({"x": "1"}))
            found = list(super().__call__(names))
            path.write_bytes(whole)
            yield from found

    workers = Stale(desk)
    result = workers.ingest()
    assert result.ingested == 2 and "another size" in result.files[0].notes[0]
    assert not list((desk.folder / "home").rglob("staged-*"))


def test_a_home_that_the_worker_does_not_see(tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "one", more=LARGE)
    path = desk.put("1.csv", csv_of({}))
    staged = stage_file(Home(tmp_path / "elsewhere"), desk.config, str(path))
    assert staged.trouble is not None and not staged.good


def test_files_in_a_store(tmp_path: Path) -> None:
    desk = make_desk(tmp_path, more=LARGE)
    store = fsspec.filesystem("memory")
    store.pipe("/staged/1.csv", csv_of({"x": "1"}, {"x": "much"}).encode())
    section = desk.config.source.model_copy(update={"path": "memory://staged"})
    stored = replace(desk, config=desk.config.model_copy(update={"source": section}))
    workers = Workers(stored)
    result = workers.ingest()
    assert (result.ingested, result.quarantined) == (1, 1) and len(workers.asked) == 1
    assert result.files[0].notes == ()
    again = Workers(stored)
    assert again.ingest().files[0].status == "skipped" and again.asked == []


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"source": ", unique_id_history: true"}, "unique_id_history"),
        ({"columns": "\n  x: {role: numeric}\n  b: {role: binary}\n"}, "`b` is binary"),
    ],
)
def test_checks_that_need_the_files_before(tmp_path: Path, made: dict[str, str], said: str) -> None:
    desk = make_desk(tmp_path, **made, more=LARGE)
    desk.put("1.csv", csv_of({}) if "source" in made else "x,b\n1,0\n2,1\n")
    workers = Workers(desk)
    result = workers.ingest()
    assert result.ingested > 0 and workers.asked == []
    assert said in str(why_not(desk.config)) and said in result.notes[0]
