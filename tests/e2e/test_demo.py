"""`python -m flows.demo`, as `make demo` runs it: to its end, and interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.servers import stop_tree, tool
from pipeline import finishing, nights, report
from pipeline.config import load_config
from pipeline.guarantee import beta_binomial_interval
from pipeline.home import Home
from pipeline.lake import Lake

pytestmark = pytest.mark.slow

# What the shell of a person with other set-ups may hold; the demo must not care.
HOSTILE = {
    "PREFECT_API_URL": "http://127.0.0.1:9/api",
    "PREFECT_PROFILE": "no-such-profile",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "VAE_ANOMALY_HOME": "/nowhere",
}


def start(folder: Path, output: Path) -> subprocess.Popen[bytes]:
    with output.open("wb") as file:
        return subprocess.Popen(
            [*tool("flows.demo"), str(folder)],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **HOSTILE},
            start_new_session=True,
        )


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that still have something to do with the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and str(folder) in process.environ().get(
                "PREFECT_HOME", ""
            ):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("finished")
    process = start(folder / "demo", folder / "output")
    try:
        code = process.wait(timeout=900)
    finally:
        stop_tree(process)
    said = (folder / "output").read_text(encoding="utf-8")
    assert code == 0, said
    yield folder / "demo", said


@pytest.mark.timeout(1000)
def test_it_ends_well_and_leaves_nothing_running(finished: tuple[Path, str]) -> None:
    folder, said = finished
    assert "warn" not in said.lower(), said
    assert "66,300 rows in" in said
    for word in ("quarantined", "scored", "flagged", "mlflow server", "prefect server start"):
        assert word in said
    assert left_over(folder) == []


def test_nights_one_to_five_keep_the_promise_and_night_six_says_it_does_not(
    finished: tuple[Path, str],
) -> None:
    folder, _ = finished
    config = load_config(folder / "network.yaml")
    home = Home(folder / "home")
    lake = Lake(config, home)
    from pipeline import registry

    threshold = registry.load_scorer(home, config.name, 1, device="cpu").thresholds["anomaly_score"]
    assert threshold.alpha == 0.01
    past = nights.history(lake)
    assert len(past) == 6
    for night in past:
        page = report.path_of(home, config.name, night.night_id)
        result = finishing.result_of(lake, night, page)
        assert result.labels is not None
        low, high = beta_binomial_interval(threshold.rank, threshold.n, result.labels.normal)
        if night.night_id < 6:
            assert result.guarantee == "in force"
            assert low <= result.labels.false_alarms <= high
            assert result.labels.found > 0
        else:
            assert result.guarantee == "broken"
            assert result.alert_rate > result.limit
            assert "no longer" in page.read_text(encoding="utf-8")


def test_through_the_worker_and_in_process_alike(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    lake = Lake(load_config(folder / "network.yaml"), Home(folder / "home"))
    assert lake.count("scores") == 36_300
    assert len(set(lake.read("scores", ["run_id"]).column("run_id").to_pylist())) == 6
    logs = sorted(path.name for path in (folder / "logs").glob("night-*.log"))
    assert logs == ["night-1.log", "night-2.log", "night-6.log"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.timeout(400)
def test_interrupted_it_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path / "demo", tmp_path / "output")
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            said = (tmp_path / "output").read_text(encoding="utf-8")
            if re.search(r"✓ Ingest", said):
                break
            assert process.poll() is None, said
            time.sleep(0.5)
        time.sleep(3)
        process.send_signal(number)
        assert process.wait(timeout=60) == 130
    finally:
        stop_tree(process)
    assert left_over(tmp_path) == []
    said = (tmp_path / "output").read_text(encoding="utf-8")
    assert "Interrupted" in said
    assert "Traceback" not in said, said
