"""Ingest killed at random moments, or run several times at once, ends as one calm run does."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lakes import ROW, Desk, csv_of, make_desk

from pipeline.home import Home

FILES = 8
FILE_ROWS = 1500
CHILD = """
import sys
import pandera.pandas
from pathlib import Path
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.ingest import ingest
home, config = Home(Path(sys.argv[1])), load_config(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
ingest(home, config)
"""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, float]:
    """A data set with bad rows and a bad file, ingested in peace; and how long that took."""
    desk = make_desk(tmp_path_factory.mktemp("calm"))
    for number in range(FILES):
        rows = [
            {**ROW, "id": f"{number}-{i}", "x": "?" if i % 50 == 7 else str(i)}
            for i in range(FILE_ROWS)
        ]
        desk.put(f"day-{number}.csv", csv_of(*rows))
    desk.put("day-3-bad.csv", "id\n1\n")
    child = start(desk)
    begun = time.monotonic()
    finish(child)
    return desk, time.monotonic() - begun


def fresh(desk: Desk, folder: Path) -> Desk:
    """The same files and config with tables of their own."""
    other = replace(desk, home=Home(folder / "home"))
    other.lake.create()
    return other


def start(desk: Desk) -> subprocess.Popen[str]:
    """A process that is about to ingest; it waits for `finish` or `kill`."""
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD, str(desk.home.path), str(desk.config.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", child.communicate()[1]
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def finish(child: subprocess.Popen[str]) -> None:
    errors = child.communicate("\n", timeout=120)[1]
    assert (child.returncode, errors) == (0, "")


def kill(child: subprocess.Popen[str], after: float) -> bool:
    """Whether the process was still at work when it was killed."""
    go(child)
    time.sleep(after)
    child.kill()
    child.communicate()
    return child.returncode == -9


def contents(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """All rows but for times, in an order of their own."""
    tables = {}
    for table in ("ingested", "quarantine"):
        rows = [tuple(map(repr, r.values())) for r in _without_times(desk.rows(table))]
        tables[table] = sorted(rows)
    return tables


def _without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "_ingested_at"} for row in rows]


def kill_and_repair(calm: tuple[Desk, float], folder: Path, kills: int, seed: int) -> None:
    desk, seconds = calm
    chance, at_work = random.Random(seed), 0
    desk_again = fresh(desk, folder / "0")
    for number in range(kills):
        at_work += kill(start(desk_again), chance.uniform(0, seconds))
        if desk_again.lake.last_row_id() == desk.lake.last_row_id():
            # all done in spite of the kills: begin anew
            finish(start(desk_again))
            assert contents(desk_again) == contents(desk)
            desk_again = fresh(desk, folder / str(number + 1))
    finish(start(desk_again))
    assert contents(desk_again) == contents(desk)
    assert at_work > 0


def test_the_calm_run_is_complete(calm: tuple[Desk, float]) -> None:
    desk, _ = calm
    bad = FILE_ROWS // 50
    assert desk.lake.last_row_id() == desk.lake.count("ingested") == FILES * (FILE_ROWS - bad)
    assert desk.lake.count("quarantine") == FILES * bad + 1


def test_killed_twice(calm: tuple[Desk, float], tmp_path: Path) -> None:
    kill_and_repair(calm, tmp_path, kills=2, seed=1)


def test_two_at_once(calm: tuple[Desk, float], tmp_path: Path) -> None:
    _at_once(calm[0], tmp_path, 2)


@pytest.mark.slow
def test_killed_twenty_times(calm: tuple[Desk, float], tmp_path: Path) -> None:
    kill_and_repair(calm, tmp_path, kills=20, seed=2)


@pytest.mark.slow
def test_four_at_once(calm: tuple[Desk, float], tmp_path: Path) -> None:
    _at_once(calm[0], tmp_path, 4)


@pytest.mark.slow
def test_killed_beside_another(calm: tuple[Desk, float], tmp_path: Path) -> None:
    """One process dies while another goes on."""
    desk, seconds = calm
    for number in range(3):
        again = fresh(desk, tmp_path / str(number))
        survivor, victim = start(again), start(again)
        go(survivor)
        kill(victim, seconds * (number + 1) / 4)
        finish(survivor)
        assert contents(again) == contents(desk)


def _at_once(desk: Desk, folder: Path, processes: int) -> None:
    again = fresh(desk, folder)
    children = [start(again) for _ in range(processes)]
    for child in children:
        go(child)
    for child in children:
        finish(child)
    assert contents(again) == contents(desk)
