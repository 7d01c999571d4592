"""Deployments: through `flows.deploy` and `prefect.yaml`, scheduled, run by a real worker."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_data import NIGHT_ROWS, command, land_night

from flows.servers import Children, clean_environment, tool
from pipeline.config import load_config
from pipeline.errors import UserError
from pipeline.home import Home
from pipeline.lake import Lake

ROOT = Path(__file__).resolve().parents[2]
POOL = "vae-anomaly"


@pytest.fixture(autouse=True)
def clean_slate(prefect_api: str) -> Iterator[None]:
    """No deployment is left for the next test."""
    yield
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)


@pytest.fixture
def worker(prefect_api: str, tmp_path: Path) -> Iterator[Path]:
    """A process worker that polls every two seconds; its log."""
    environment = clean_environment() | {
        "PREFECT_API_URL": prefect_api,
        "PREFECT_HOME": str(tmp_path / "worker-home"),
        "PREFECT_WORKER_QUERY_SECONDS": "2",
    }
    start = [*tool("prefect"), "worker", "start", "--pool", POOL, "--type", "process"]
    with Children() as children:
        children.start("the worker", start, environment, tmp_path / "worker.log")
        yield tmp_path / "worker.log"


def described() -> dict[str, dict[str, Any]]:
    """What the server knows of each deployment, by full name, without what changes by itself."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return {
            f"{d.entrypoint.split('.')[1]}/{d.name}": {
                "entrypoint": d.entrypoint,
                "parameters": d.parameters,
                "pull_steps": d.pull_steps,
                "path": d.path,
                "pool": d.work_pool_name,
                "environment": d.job_variables,
                "tags": d.tags,
                "limit": d.global_concurrency_limit and d.global_concurrency_limit.limit,
                "strategy": d.concurrency_options and d.concurrency_options.collision_strategy,
                "schedules": [(s.schedule.cron, s.schedule.timezone) for s in d.schedules],
                "schema": d.parameter_openapi_schema,
                "description": d.description,
            }
            for d in client.read_deployments()
        }


def test_schedules_fire_and_paths_are_absolute(
    home: Home, make_data_set: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.deploy import deploy

    config = make_data_set("small")
    monkeypatch.setenv("VAE_ANOMALY_HOME", "home")
    monkeypatch.chdir(home.path.parent)
    names = deploy([config.relative_to(home.path.parent)])
    assert names == [
        "ingest/nightly",
        "score/nightly",
        "retrain/weekly",
        "train/manual",
        "calibrate/manual",
        "tune/manual",
        "rescore/manual",
    ]
    known = described()
    assert set(known) == set(names)
    paths = {"config": str(config), "home": str(home.path)}
    assert known["score/nightly"]["parameters"] == paths
    assert known["calibrate/manual"]["parameters"] == {**paths, "recalibrate_champion": True}
    for deployment in known.values():
        assert deployment["limit"] == 1
        assert deployment["strategy"] == "CANCEL_NEW"
        assert deployment["pull_steps"] == []
    times = {name: known[name]["schedules"] for name in names}
    assert times == {
        "ingest/nightly": [("10 1 * * *", "Europe/Berlin")],
        "score/nightly": [("20 2 * * *", "Europe/Berlin")],
        "retrain/weekly": [("30 3 * * 0", "Europe/Berlin")],
        "train/manual": [],
        "calibrate/manual": [],
        "tune/manual": [],
        "rescore/manual": [],
    }
    assert Lake(load_config(config), home).exists()
    assert scheduled_flows(within=60) == {"ingest", "score", "retrain"}


def scheduled_flows(within: float) -> set[str]:
    """Names of the flows with runs that the scheduler has put into the future."""
    from prefect.client.orchestration import get_client

    deadline = time.monotonic() + within
    found: set[str] = set()
    with get_client(sync_client=True) as client:
        flows = {d.id: d.entrypoint.split(".")[1] for d in client.read_deployments()}
        while time.monotonic() < deadline and len(found) < 3:
            runs = [r for r in client.read_flow_runs() if r.auto_scheduled]
            found = {flows[r.deployment_id] for r in runs if r.deployment_id in flows}
            time.sleep(0.5)
    return found


def test_further_data_sets_get_their_name(
    home: Home, make_data_set: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.deploy import deploy

    monkeypatch.setenv("VAE_ANOMALY_HOME", str(home.path))
    first, second = make_data_set("first"), make_data_set("second")
    assert deploy([first, second])[7:9] == ["ingest/nightly-second", "score/nightly-second"]
    assert deploy([second])[1] == "score/nightly-second", "not the place of the first"
    assert deploy([first])[1] == "score/nightly"
    assert len(described()) == 14


def test_second_store_is_refused(
    home: Home, make_data_set: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.deploy import deploy

    config = make_data_set("small")
    monkeypatch.setenv("VAE_ANOMALY_HOME", str(home.path))
    deploy([config])
    monkeypatch.setenv("VAE_ANOMALY_HOME", str(home.path / "other"))
    with pytest.raises(UserError, match="already deployed with its store in"):
        deploy([config])
    assert not (home.path / "other").exists()


@pytest.mark.slow
def test_prefect_yaml_deploys_the_same(prefect_api: str, home: Home, tmp_path: Path) -> None:
    environment = {
        **clean_environment(),
        "PREFECT_API_URL": prefect_api,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "VAE_ANOMALY_HOME": str(home.path),
    }

    def prefect(*arguments: str) -> None:
        done = subprocess.run(
            [*tool("prefect"), "--no-prompt", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    prefect("deploy", "--all")
    by_yaml = described()
    done = command("flows.deploy", str(ROOT / "configs" / "network.yaml"), **environment)
    assert done.returncode == 0, done.stderr
    assert by_yaml == described()
    assert set(by_yaml) == {
        "ingest/nightly", "score/nightly", "retrain/weekly",
        "train/manual", "calibrate/manual", "tune/manual", "rescore/manual",
    }  # fmt: skip


def test_worker_scores_a_night_and_failures_exit_1(
    worker: Path,
    prefect_api: str,
    home: Home,
    make_data_set: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.deploy import deploy
    from flows.ingest import ingest
    from flows.retrain import retrain

    config = make_data_set("small")
    monkeypatch.setenv("VAE_ANOMALY_HOME", str(home.path))
    deploy([config])
    watch = ("deployment", "run", "score/nightly", "--watch", "--watch-timeout", "120")
    ingest(str(config), str(home.path))

    no_model = command("prefect", *watch)
    assert no_model.returncode == 1, no_model.stdout + no_model.stderr
    assert "no champion" in worker.read_text()

    retrain(str(config), str(home.path))
    land_night(config, 1)
    ingest(str(config), str(home.path))
    scored = command("prefect", *watch)
    assert scored.returncode == 0, scored.stdout + scored.stderr + worker.read_text()
    assert Lake(load_config(config), home).count("scores") == NIGHT_ROWS
    assert "warning" not in worker.read_text().lower()


def test_unreachable_server_is_named(home: Home, make_data_set: Callable[[str], Path]) -> None:
    done = command(
        "flows.deploy",
        str(make_data_set("small")),
        PREFECT_API_URL="http://127.0.0.1:9/api",
        PREFECT_CLIENT_MAX_RETRIES="0",
        VAE_ANOMALY_HOME=str(home.path),
    )
    assert done.returncode == 1
    assert "http://127.0.0.1:9/api" in done.stderr
    assert "Traceback" not in done.stderr
