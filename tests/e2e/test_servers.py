"""The whole product on PostgreSQL and S3, with passwords: the same scores, each row once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from cluster import (
    BUCKET,
    PASSWORD,
    Cluster,
    cluster,
    create_databases,
    start_mlflow,
    start_object_store,
    start_postgres,
    unpointed,
)
from night_homes import CONFIG as NIGHT_CONFIG
from night_homes import HISTORY_ROWS as NIGHT_HISTORY_ROWS
from night_homes import contents, crown, deliver, write_config
from small_data import CONFIG, HISTORY_ROWS, NIGHT_ROWS, land_night, rows

from flows.servers import Children, tool
from pipeline import registry, tracking
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.scoring import score

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
POOL = "vae-anomaly"
# A process of its own that waits for the word, then scores in small pieces; with the first one in
# hand it waits again, until all others have theirs.
CHILD = """
import sys
from pipeline import finishing, nights, recording, registry, scoring
from pipeline.config import load_config
from pipeline.home import Home
scoring.PIECE_ROWS = 200
home, config = Home.resolve(), load_config(sys.argv[1])
registry.champion(home, config.name)
write = nights._write_piece

def wait_then_write(*arguments):
    nights._write_piece = write
    print("scored", flush=True)
    sys.stdin.readline()
    write(*arguments)

nights._write_piece = wait_then_write
print("ready", flush=True)
sys.stdin.readline()
night = scoring.score(home, config, run_id=sys.argv[2])
print("night", night and night.night_id, flush=True)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The servers; what a user sets is in force in this process too while the tests run."""
    folder = tmp_path_factory.mktemp("servers")
    with cluster(folder) as found, pytest.MonkeyPatch.context() as patch:
        for name in [k for k in os.environ if k.startswith(("MLFLOW_", "PREFECT_", "AWS_", "PG"))]:
            patch.delenv(name)
        mine = {"XDG_CACHE_HOME": str(folder / "cache"), "PREFECT_HOME": str(folder / "prefect")}
        for name, value in {**found.environment, **mine}.items():
            patch.setenv(name, value)
        yield Cluster({**found.environment, **mine}, found.database)


@pytest.fixture
def servers(running: Cluster) -> dict[str, str]:
    """What a user sets."""
    return running.environment


def run(
    environment: dict[str, str], module: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """`python -m module` by a user who has set nothing but `environment`, anywhere."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**unpointed(), **environment},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def succeed(environment: dict[str, str], module: str, *arguments: str) -> str:
    done = run(environment, module, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def data_set(folder: Path) -> Path:
    (folder / "landing").mkdir(parents=True)
    pq.write_table(rows(HISTORY_ROWS, seed=1), folder / "landing" / "history.parquet")
    (folder / "small.yaml").write_text(CONFIG.format(name="small"), encoding="utf-8")
    return folder / "small.yaml"


def embedded(folder: Path) -> Path:
    """The main job as one who sets nothing gets it; the home."""
    config = data_set(folder)
    environment = {"VAE_ANOMALY_HOME": str(folder / "home")}
    succeed(environment, "pipeline.cli", "init", str(config))
    succeed(environment, "pipeline.cli", "run", str(config))
    land_night(config, 1)
    succeed(environment, "pipeline.cli", "ingest", str(config))
    succeed(environment, "pipeline.cli", "score", str(config))
    return folder / "home"


def test_the_main_job_scores_as_on_the_embedded_stores(
    servers: dict[str, str], tmp_path: Path
) -> None:
    config = data_set(tmp_path / "served")
    succeed(servers, "pipeline.cli", "deploy", str(config))
    known = succeed(servers, "prefect", "deployment", "inspect", "score/nightly", "-o", "json")
    assert PASSWORD not in known and servers["AWS_SECRET_ACCESS_KEY"] not in known
    assert json.loads(known)["parameters"]["home"] == f"s3://{BUCKET}/vae-anomaly"

    log = tmp_path / "worker.log"
    with Children() as children:
        worker = {**unpointed(), **servers, "PREFECT_WORKER_QUERY_SECONDS": "2"}
        command = [*tool("prefect"), "worker", "start", "--pool", POOL, "--type", "process"]
        children.start("the worker", command, worker, log)

        def deployment(name: str, **parameters: int) -> None:
            watch = ["--watch", "--watch-timeout", "400"]
            for key, value in parameters.items():
                watch += ["--param", f"{key}={value}"]
            done = run(servers, "prefect", "deployment", "run", name, *watch)
            assert done.returncode == 0, done.stdout + done.stderr + log.read_text()

        deployment("ingest/nightly")
        deployment("retrain/weekly")
        land_night(config, 1)
        deployment("ingest/nightly")
        deployment("score/nightly")
        deployment("rescore/manual", version=1, first=HISTORY_ROWS + 1)
        healthy = run(servers, "pipeline.cli", "doctor", str(config))
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    for said in ("the user is accepted", "a worker looks after them", "champion is version 1"):
        assert said in healthy.stdout

    home, loaded = Home.resolve(), load_config(config)
    assert home.place == f"s3://{BUCKET}/vae-anomaly"
    assert not list(home.path.rglob("*.db")), "no database hides on the worker's machine"
    other = Home(embedded(tmp_path / "embedded"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "VAE_ANOMALY_HOME"):
            patch.delenv(name)
        alone = load_config(tmp_path / "embedded" / "small.yaml")
        expected = {t: contents(other, alone, t) for t in ("scores", "alerts", "nights")}
    assert len(expected["scores"]) == NIGHT_ROWS and len(expected["alerts"]) > 0
    for table, frame in expected.items():
        pd.testing.assert_frame_equal(contents(home, loaded, table), frame, check_exact=True)
    again = contents(home, loaded, "rescored")
    pd.testing.assert_frame_equal(again, expected["scores"], check_exact=True)
    assert "Traceback" not in log.read_text() and PASSWORD not in log.read_text()
    report = succeed(servers, "pipeline.cli", "report", str(config)).strip()
    assert Path(report).is_file()


def test_four_runs_at_once_score_every_row_once(servers: dict[str, str], tmp_path: Path) -> None:
    config = write_config(tmp_path / "project", NIGHT_CONFIG.replace("name: shop", "name: four"))
    home = Home.resolve()
    Lake(config, home).create()
    deliver(home, config, "history", rows=NIGHT_HISTORY_ROWS, seed=0)
    crown(home, config)
    deliver(home, config, "one", rows=2_000, seed=1, odd=0.03, spoilt=5)
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD, str(config.path), f"run-{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**unpointed(), **servers},
        )
        for number in range(4)
    ]  # fmt: skip
    for word in ("ready\n", "scored\n"):
        for child in children:
            assert child.stdout is not None
            if child.stdout.readline() != word:
                raise AssertionError(child.communicate()[1])
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
    said = [child.communicate() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0, 0], said
    assert all(output.endswith("night 1\n") for output, _ in said)

    lake = Lake(config, home)
    scored = lake.read("scores").to_pandas().sort_values("_row_id", ignore_index=True)
    first = NIGHT_HISTORY_ROWS + 1
    assert scored["_row_id"].tolist() == list(range(first, first + 2_000))
    scorer = registry.load_scorer(home, config.name)
    from pipeline.frames import to_columns

    cells = to_columns(next(lake.scan_rows(first, first + 1_999)), scorer.encoding)
    expected = scorer.score(cells)["anomaly_score"]
    np.testing.assert_array_equal(scored["anomaly_score"], expected)
    alerts = lake.read("alerts").to_pandas()
    assert sorted(alerts["_row_id"]) == scored.loc[scored["is_anomaly"], "_row_id"].tolist()
    assert sorted(lake.read("nights")["state"].to_pylist()) == ["closed", "open"]
    runs = tracking.find_runs(tracking.connect(home), "four", "tags.stage = 'score'")
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_a_backup_brings_everything_back(running: Cluster, tmp_path: Path) -> None:
    """By the commands of docs/operations.md: into servers that hold nothing, and on from there."""
    config = write_config(tmp_path / "project", NIGHT_CONFIG.replace("name: shop", "name: kept"))
    home = Home.resolve()
    Lake(config, home).create()
    deliver(home, config, "history", rows=NIGHT_HISTORY_ROWS, seed=0)
    crown(home, config)
    deliver(home, config, "one", rows=500, seed=1, odd=0.03)
    dump, kept = tmp_path / "mlflow.dump", tmp_path / "lake"
    postgres(running.database, "pg_dump", "--format=custom", f"--file={dump}", "mlflow")
    with bucket(running.environment) as old:
        for one in old.objects.all():
            (kept / one.key).parent.mkdir(parents=True, exist_ok=True)
            old.download_file(one.key, str(kept / one.key))
    score(home, config)
    expected = {table: contents(home, config, table) for table in ("scores", "alerts", "nights")}

    (tmp_path / "servers").mkdir()
    with Children() as children, pytest.MonkeyPatch.context() as patch:
        database = start_postgres(children, ["mlflow"])
        postgres(database, "pg_restore", "--dbname=mlflow", str(dump))
        store = start_object_store(children, tmp_path / "servers")
        with bucket(store) as new:
            for path in filter(Path.is_file, kept.rglob("*")):
                new.upload_file(str(path), str(path.relative_to(kept)))
        mlflow = start_mlflow(children, tmp_path / "servers", {**database, **store})
        elsewhere = {"XDG_CACHE_HOME": str(tmp_path / "cache"), **store, **mlflow}
        for name, value in elsewhere.items():
            patch.setenv(name, value)
        succeed({**running.environment, **elsewhere}, "pipeline.cli", "score", str(config.path))
        for table, frame in expected.items():
            found = contents(Home.resolve(), config, table)
            pd.testing.assert_frame_equal(found, frame, check_exact=True)
    assert len(expected["scores"]) == 500 and len(expected["alerts"]) > 0


def postgres(access: dict[str, str], program: str, *arguments: str) -> None:
    """A command of PostgreSQL's own."""
    path = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))[-1]
    done = subprocess.run(
        [path, *arguments], env={**unpointed(), **access}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def bucket(access: dict[str, str]) -> Iterator[Any]:
    """The one that holds the tables."""
    import boto3

    store = boto3.resource(
        "s3", endpoint_url=access["AWS_ENDPOINT_URL"], region_name=access["AWS_REGION"],
        aws_access_key_id=access["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=access["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    yield store.Bucket(BUCKET)
    store.meta.client.close()


@pytest.fixture(scope="module")
def examined(running: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with tables and no rows."""
    config = data_set(tmp_path_factory.mktemp("examined"))
    succeed(running.environment, "pipeline.cli", "init", str(config))
    return config


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"MLFLOW_TRACKING_PASSWORD": "wrong"}, "refuses the user 'admin'"),
        ({"MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}, "asks for a user"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "no MLflow server answers"),
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "no Prefect server answers"),
        ({"PREFECT_API_AUTH_STRING": "admin:wrong"}, "refuses the user or the password"),
        ({"PREFECT_API_AUTH_STRING": ""}, "refuses without a user and a password"),
        ({"VAE_ANOMALY_HOME": "s3://nowhere/vae"}, "bucket does not exist"),
        ({"VAE_ANOMALY_HOME": f"s3://{BUCKET}/elsewhere"}, "there is no table `ingested`"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot write to s3://"),
    ],
)
def test_doctor_names_what_is_wrong(
    servers: dict[str, str], examined: Path, change: dict[str, str], said: str
) -> None:
    done = run({**servers, **change}, "pipeline.cli", "doctor", str(examined))
    assert done.returncode == 1, done.stdout
    assert said in done.stdout, done.stdout
    assert PASSWORD not in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_doctor_sees_databases_and_their_passwords(running: Cluster) -> None:
    access = running.database
    place = f"{access['PGUSER']}@{access['PGHOST']}:{access['PGPORT']}"
    environment = {
        **running.environment,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{place}/prefect",
        "MLFLOW_TRACKING_URI": f"postgresql+psycopg2://{place}/mlflow",
    }
    good = run({**environment, "PGPASSWORD": PASSWORD}, "pipeline.cli", "doctor")
    assert good.stdout.count("the newest") == 2, good.stdout
    bad = run({**environment, "PGPASSWORD": "wrong"}, "pipeline.cli", "doctor")
    assert bad.returncode == 1
    assert bad.stdout.count("password authentication failed") == 2, bad.stdout
    down = {name: value.replace(access["PGPORT"], "9") for name, value in environment.items()}
    gone = run({**down, "PGPASSWORD": PASSWORD}, "pipeline.cli", "doctor")
    assert gone.returncode == 1
    assert gone.stdout.count("onnection refused") == 2, gone.stdout


def test_doctor_sees_databases_without_tables(running: Cluster) -> None:
    """As they are before a server of the installed version has been started on them."""
    access = running.database
    create_databases(access, ["empty-prefect", "empty-mlflow"])
    place = f"{access['PGUSER']}@{access['PGHOST']}:{access['PGPORT']}"
    environment = {
        **running.environment,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{place}/empty-prefect",
        "MLFLOW_TRACKING_URI": f"postgresql+psycopg2://{place}/empty-mlflow",
        "PGPASSWORD": PASSWORD,
    }
    found = run(environment, "pipeline.cli", "doctor")
    assert found.returncode == 1, found.stdout
    assert "prefect server database upgrade" in found.stdout, found.stdout
    assert "/empty-prefect: without tables" in found.stdout
    assert "/empty-mlflow: a database without tables" in found.stdout, found.stdout
    secret = {"password": PASSWORD}
    engine = sqlalchemy.create_engine(environment["MLFLOW_TRACKING_URI"], connect_args=secret)
    assert sqlalchemy.inspect(engine).get_table_names() == [], "it was looked at, not filled"
    engine.dispose()
    assert PASSWORD not in found.stdout + found.stderr and "Traceback" not in found.stderr
