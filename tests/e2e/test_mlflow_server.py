"""A real MLflow server: train, calibrate and load over HTTP; what happens when it goes away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from night_homes import CONFIG, HISTORY_ROWS, deliver, empty_home
from registered import register, rows, scorer

from flows.servers import NO_JOBS, QUIET
from pipeline import registry, tracking
from pipeline.calibration import calibrate
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.sampling import read_rows
from pipeline.split import Range
from pipeline.training import train


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], log: Path, url: str, seconds: float = 180.0) -> Iterator[None]:
    """A child process and its children, up when the URL answers, gone afterwards."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    scripts = Path(sys.executable).parent
    environment |= {**QUIET, **NO_JOBS, "PATH": f"{scripts}:{os.environ['PATH']}"}
    with log.open("w", encoding="utf-8") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except (OSError, urllib.error.URLError):
                assert child.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < until, log.read_text(encoding="utf-8")
                time.sleep(0.3)
        yield
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait(20)


def serve(folder: Path, store: Path, port: int) -> list[str]:
    return [
        *("server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{store}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]


@pytest.mark.slow
def test_everything_over_http(
    tmp_path: Path, migrated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = empty_home(tmp_path, CONFIG)
    deliver(home, config, "history", rows=HISTORY_ROWS, seed=0)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = tmp_path / "server"
    server.mkdir()
    store = server / "mlflow.db"
    store.write_bytes(migrated_store.read_bytes())
    with running(serve(server, store, port), server / "log.txt", f"{url}/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        trained = train(home, config)
        result = calibrate(home, config)
        assert result.promoted, result.gates
        champion = registry.champion(home, config.name)
        assert champion is not None and champion.training_run == trained.run_id
        registry.load_scorer(home, config.name)
        cached = list((home.path / "cache" / "models").iterdir())
        assert [folder.name.split("-")[:2] for folder in cached] == [["shop", "1"]]
        again = registry.load_scorer(home, config.name)
        assert not (home.path / "mlflow.db").exists()
        assert not home.mlflow_artifacts.exists()
        assert list((server / "artifacts").rglob("scorer.safetensors"))
        lake = Lake(config, home)
        frame = read_rows(lake, config, Range(1, 50)).columns
        model = tracking.pyfunc().load_model(champion.uri)
        served = model.predict(pd.DataFrame(frame)[list(again.encoding.names)])
        for name, values in again.score(frame).items():
            np.testing.assert_array_equal(values, served[name].to_numpy())
    began = time.monotonic()
    with pytest.raises(tracking.TrackingError, match=f"no MLflow server answers at {url}"):
        registry.champion(home, config.name)
    assert time.monotonic() - began < 15


def post(url: str, body: Any) -> tuple[int, str]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, text, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_the_model_served_as_rest(home: Home, tmp_path: Path) -> None:
    """`mlflow models serve`: valid JSON, integers, and errors that quote no row."""
    register(home, scorer())
    registry.promote(home, "shop")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    folder = next(p.parent for p in home.mlflow_artifacts.rglob("MLmodel"))
    command = ["models", "serve", "-m", str(folder), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    frame = pd.DataFrame(rows(5, 3)).astype({"amount": "int64"})
    good = json.loads(frame.to_json(orient="split", index=False))
    with running(command, tmp_path / "log.txt", f"{url}/ping"):
        status, text = post(f"{url}/invocations", {"dataframe_split": good})
        assert status == 200, text
        predictions = json.loads(text, parse_constant=lambda name: pytest.fail(name))["predictions"]
        expected = scorer().score(rows(5, 3))
        got = [row["anomaly_score"] for row in predictions]
        np.testing.assert_array_equal(got, expected["anomaly_score"])
        status, text = post(
            f"{url}/invocations", {"dataframe_split": good, "params": {"alpha": 0.9}}
        )
        assert any(row["is_anomaly"] for row in json.loads(text)["predictions"])
        for column, value, message in (
            ("amount", None, "missing value"),
            ("amount", "SECRET", "not numbers"),
            ("express", "SECRET", "express"),
        ):
            bad = json.loads(json.dumps(good))
            bad["data"][1][bad["columns"].index(column)] = value
            bad["data"][2][bad["columns"].index("country")] = "OTHER-SECRET"
            status, text = post(f"{url}/invocations", {"dataframe_split": bad})
            assert status == 400 and message in text and column in text, text
            assert "SECRET" not in text
        status, text = post(
            f"{url}/invocations", {"dataframe_split": good, "params": {"fdr": True}}
        )
        assert status == 400 and "not decided per request" in text
        without = json.loads(frame.drop(columns="amount").to_json(orient="split", index=False))
        status, text = post(f"{url}/invocations", {"dataframe_split": without})
        assert status == 400 and "missing column(s): amount" in text
        assert post(f"{url}/invocations", b"{broken")[0] == 400
