"""`vae-anomaly serve`: everything on one machine, stopped without a trace, started again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from small_data import HISTORY_ROWS, command

from flows.servers import clean_environment, stop_tree, tool
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.lake import Lake

pytestmark = pytest.mark.slow


@contextmanager
def serving(config: Path, home: Home, stop: signal.Signals) -> Iterator[tuple[str, str]]:
    """Yields the addresses of Prefect and MLflow; checks that all is gone afterwards."""
    output = config.parent / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*tool("pipeline.cli"), "serve", str(config), "--port", "0", "--mlflow-port", "0"],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={**clean_environment(), "VAE_ANOMALY_HOME": str(home.path)},
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 200
        while "Stop with Ctrl-C" not in (said := output.read_text(encoding="utf-8")):
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.5)
        addresses = re.findall(r"^(?:Prefect|MLflow) +(http\S+)$", said, re.MULTILINE)
        yield addresses[0], addresses[1]
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(stop)
        assert process.wait(timeout=60) == 0
    finally:
        stop_tree(process)
    assert len(family) >= 3
    assert not [p for p in family if p.is_running()]
    said = output.read_text(encoding="utf-8")
    assert "Traceback" not in said, said
    assert "Warning" not in said, said


def active_schedules(api: str) -> dict[str, bool]:
    """Whether each scheduled deployment fires, by entrypoint."""
    request = urllib.request.Request(
        f"{api}/deployments/filter", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        deployments = json.load(reply)
    return {
        d["entrypoint"]: all(s["active"] for s in d["schedules"]) and not d["paused"]
        for d in deployments
        if d["schedules"]
    }


@pytest.mark.timeout(900)
def test_served_runs_clean_stop_and_restart(
    home: Home, make_data_set: Callable[[str], Path]
) -> None:
    config = make_data_set("served")
    with serving(config, home, signal.SIGTERM) as (prefect, mlflow):
        with urllib.request.urlopen(f"{mlflow}/health", timeout=30) as reply:
            assert reply.status == 200
        deadline = time.monotonic() + 60
        while len(active_schedules(f"{prefect}/api")) < 3 and time.monotonic() < deadline:
            time.sleep(0.5)
        done = command(
            "prefect",
            *("deployment", "run", "ingest/nightly", "--watch", "--watch-timeout", "120"),
            PREFECT_API_URL=f"{prefect}/api",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert Lake(load_config(config), home).last_row_id() == HISTORY_ROWS

    with serving(config, home, signal.SIGINT) as (prefect, _):
        expected = {f"flows.{name}.{name}": True for name in ("ingest", "score", "retrain")}
        deadline = time.monotonic() + 60
        while active_schedules(f"{prefect}/api") != expected and time.monotonic() < deadline:
            time.sleep(0.5)
        assert active_schedules(f"{prefect}/api") == expected, "paused by the stop before"


def test_taken_port_is_named(home: Home, make_data_set: Callable[[str], Path]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*tool("flows.serve"), str(make_data_set("served")), "--port", port],
            capture_output=True,
            text=True,
            env={**clean_environment(), "VAE_ANOMALY_HOME": str(home.path)},
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in done.stderr
    assert "Traceback" not in done.stderr
