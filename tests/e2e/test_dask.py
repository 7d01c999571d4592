"""Nights and files on Dask workers, processes of their own: killed, doubled, and still exact."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from night_homes import (
    CONFIG,
    HISTORY_ROWS,
    champion_home,
    contents,
    deliver,
    empty_home,
    orders,
    write_config,
)

from pipeline.config import Config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.scoring import score

pytest.importorskip("prefect_dask", reason="needs the extra `dask`")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]
ROWS, PIECE = 1_500, 50
TABLES = ("scores", "alerts", "nights")
FLOW = """
import sys
from flows.score import score
if __name__ == "__main__":
    print("night", score(sys.argv[1], sys.argv[2]), flush=True)
"""
INGEST = """
import sys
from flows.ingest import ingest
if __name__ == "__main__":
    ingest(sys.argv[1], sys.argv[2])
"""
FILES, FILE_ROWS = 8, 3_000


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a scheduler with two workers of one thread, as `dask scheduler` and `dask worker` run."""
    from flows.servers import Children, free_port, tool

    folder, port = tmp_path_factory.mktemp("dask"), free_port()
    found = f"tcp://127.0.0.1:{port}"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["worker", found, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    with Children() as children:
        for each in (scheduler, worker):
            log = folder / f"{each[0]}.log"
            children.start(f"Dask's {each[0]}", [*tool("dask"), *each], environment, log)
        yield found


def night_home(folder: Path, engine: str = "") -> tuple[Home, Config]:
    home, config = champion_home(folder, f"{CONFIG}{engine}\n")
    deliver(home, config, "one", rows=ROWS, seed=1, odd=0.03)
    return home, config


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    """Tables after a plain run of the command's own function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home, config = night_home(tmp_path_factory.mktemp("plain"))
        score(home, config)
        found = {table: contents(home, config, table) for table in TABLES}
    assert len(found["scores"]) == ROWS and len(found["alerts"]) > 10
    return found


def check(home: Home, config: Config, expected: dict[str, pd.DataFrame]) -> None:
    for table, frame in expected.items():
        pd.testing.assert_frame_equal(contents(home, config, table), frame, check_exact=True)


def start(home: Home, config: Config, program: str = FLOW) -> subprocess.Popen[str]:
    """The flow, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, str(config.path), str(home.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(home: Home, config: Config, child: subprocess.Popen[str]) -> int:
    """Until some rows are scored, but not all of them."""
    lake = Lake(config, home)
    while True:
        covered = lake.transaction_version("scores", f"score/{config.name}") or HISTORY_ROWS
        if covered > HISTORY_ROWS + PIECE:
            return covered
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)


def on(address: str) -> str:
    return f"engine: {{kind: dask, address: '{address}', piece_rows: {PIECE}}}"


def test_workers_of_the_flows_own(tmp_path: Path, expected: dict[str, pd.DataFrame]) -> None:
    home, config = night_home(tmp_path, "engine: {kind: dask, workers: 2, piece_rows: 400}")
    child = start(home, config)
    said, errors = child.communicate(timeout=300)
    assert child.returncode == 0 and said == "night 1\n", errors
    assert "Traceback" not in errors and "Warning" not in errors, errors
    check(home, config, expected)


def test_a_killed_flow_is_continued_and_a_doubled_one_is_harmless(
    address: str, tmp_path: Path, expected: dict[str, pd.DataFrame]
) -> None:
    home, config = night_home(tmp_path, on(address))
    child = start(home, config)
    covered = wait_for_rows(home, config, child)
    child.kill()
    child.communicate()
    assert covered < HISTORY_ROWS + ROWS, "it was killed too late"
    both = [start(home, config) for _ in range(2)]
    for one in both:
        said, errors = one.communicate(timeout=300)
        assert one.returncode == 0, errors
        assert said in ("night 1\n", "night None\n"), "the slower one may find nothing left"
    check(home, config, expected)


def test_a_killed_worker_costs_no_row(
    address: str, tmp_path: Path, expected: dict[str, pd.DataFrame]
) -> None:
    import psutil
    from distributed import Client

    home, config = night_home(tmp_path, on(address))
    with Client(address) as client:
        pids = list(client.run(os.getpid).values())
    child = start(home, config)
    wait_for_rows(home, config, child)
    psutil.Process(pids[0]).kill()
    said, errors = child.communicate(timeout=300)
    assert child.returncode == 0 and said == "night 1\n", errors
    check(home, config, expected)


def test_no_scheduler_is_said_plainly(tmp_path: Path) -> None:
    home, config = night_home(tmp_path, on("tcp://127.0.0.1:9"))
    child = start(home, config)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 1
    assert "no Dask workers at tcp://127.0.0.1:9" in errors
    assert Lake(write_config(tmp_path / "project", CONFIG), home).count("scores") == 0


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of CSV files with some rows that cannot be used."""
    folder = tmp_path_factory.mktemp("inbox")
    for number in range(FILES):
        frame = orders(FILE_ROWS, seed=number, first=number * FILE_ROWS).astype({"amount": object})
        frame.loc[number::1000, "amount"] = "a lot"
        frame.to_csv(folder / f"{number}.csv", index=False)
    return folder


def taken(home: Home, config: Config, table: str) -> pd.DataFrame:
    """A table's rows in order, without what differs between runs."""
    frame = Lake(config, home).read(table).to_pandas().drop(columns="_ingested_at")
    keys = ["_row_id"] if "_row_id" in frame else ["_source", "_source_row"]
    return frame.sort_values(keys, ignore_index=True)


def test_files_are_checked_on_workers_and_go_in_once(
    address: str, tmp_path: Path, delivered: Path
) -> None:
    text = CONFIG.replace("path: inbox", f"path: {delivered}")
    plain, plain_config = empty_home(tmp_path / "plain", text)
    ingest(plain, plain_config)
    home, config = empty_home(
        tmp_path / "dask", f"{text}engine: {{kind: dask, address: '{address}', file_bytes: 1000}}\n"
    )
    lake = Lake(config, home)
    child = start(home, config, INGEST)
    while not (rows := lake.count("ingested")) > 0:
        assert child.poll() is None, child.communicate()
        time.sleep(0.02)
    child.kill()
    child.communicate()
    assert rows < FILES * FILE_ROWS - 24, "it was killed too late"
    for one in [start(home, config, INGEST) for _ in range(2)]:
        _, errors = one.communicate(timeout=300)
        assert one.returncode == 0, errors
        assert "Traceback" not in errors and "Warning" not in errors, errors
        assert "workers do not see" not in errors
    for table, count in (("ingested", FILES * FILE_ROWS - 24), ("quarantine", 24)):
        found = taken(home, config, table)
        assert len(found) == count
        pd.testing.assert_frame_equal(found, taken(plain, plain_config, table), check_exact=True)


def test_only_large_files_need_the_workers(tmp_path: Path, delivered: Path) -> None:
    text = CONFIG.replace("path: inbox", f"path: {delivered}") + on("tcp://127.0.0.1:9") + "\n"
    home, config = empty_home(tmp_path / "small", text)
    child = start(home, config, INGEST)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    large = text.replace("piece_rows: 50", "file_bytes: 1000")
    home, config = empty_home(tmp_path / "large", large)
    child = start(home, config, INGEST)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 1 and "no Dask workers at tcp://127.0.0.1:9" in errors
    assert Lake(config, home).count("ingested") == 0


def test_a_task_that_runs_out_of_time_fails_the_run(address: str) -> None:
    """Its error is no sign that the wait for it should go on."""
    from prefect import task
    from prefect_dask import DaskTaskRunner

    from flows.dask_engine import _in_order

    @task
    def slow() -> None:
        raise TimeoutError("the store is slow")

    with DaskTaskRunner(address=address) as runner:
        results = _in_order(runner, lambda _: runner.submit(slow, {}), ["a piece"])
        with pytest.raises(TimeoutError, match="the store is slow"):
            next(results)
