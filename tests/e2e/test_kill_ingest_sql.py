"""A database read by runs that are killed, or by several at once, ends as by one calm run."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lakes import Desk
from test_kill_ingest import contents, finish, go, kill

from pipeline.config import load_config
from pipeline.home import Home

ROWS = 12_000
CHILD = """
import sys
import pandera.pandas
from pathlib import Path
from pipeline import ingest_sql
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.ingest import ingest
ingest_sql.UNIT_ROWS = 1000
home, config = Home(Path(sys.argv[1])), load_config(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
ingest(home, config)
"""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Twelve units with bad rows, equal watermarks, twins and rows without one, read in peace."""
    folder = tmp_path_factory.mktemp("calm")
    chance = random.Random(1)
    database = sqlite3.connect(folder / "shop.db")
    database.execute("CREATE TABLE orders (mark INTEGER, x REAL)")
    marks = [None if i % 999 == 0 else i // 3 for i in range(ROWS)]
    database.executemany(
        "INSERT INTO orders VALUES (?, ?)", [(m, chance.choice([1, 2, "?"])) for m in marks]
    )
    database.commit()
    database.close()
    path = folder / "shop.yaml"
    path.write_text(
        "name: shop\nsource: {sql: {url: 'sqlite:///shop.db', table: orders, watermark: mark}}\n"
        "columns: {x: {role: numeric}}\n"
    )
    desk = Desk(folder, load_config(path), Home(folder / "home"))
    desk.lake.create()
    finish(start(desk))
    return desk


def fresh(desk: Desk, folder: Path) -> Desk:
    other = replace(desk, home=Home(folder / "home"))
    other.lake.create()
    return other


def start(desk: Desk) -> subprocess.Popen[str]:
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


def test_the_calm_run_is_complete(calm: Desk) -> None:
    assert calm.lake.count("ingested") + calm.lake.count("quarantine") == ROWS
    assert calm.lake.transaction_version("ingested", "sql/shop") == 12


def test_two_at_once(calm: Desk, tmp_path: Path) -> None:
    again = fresh(calm, tmp_path)
    children = [start(again) for _ in range(2)]
    for child in children:
        go(child)
    for child in children:
        finish(child)
    assert contents(again) == contents(calm)


@pytest.mark.slow
def test_killed_again_and_again_beside_another(calm: Desk, tmp_path: Path) -> None:
    chance, at_work = random.Random(2), 0
    for number in range(2):
        again = fresh(calm, tmp_path / str(number))
        for _ in range(3):
            at_work += kill(start(again), chance.uniform(0.05, 1.0))
        survivor, victim = start(again), start(again)
        go(survivor)
        kill(victim, chance.uniform(0.05, 1.0))
        finish(survivor)
        assert contents(again) == contents(calm)
    assert at_work > 0
