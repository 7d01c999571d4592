"""What `doctor` finds on one machine; on real servers: `tests/e2e/test_servers.py`."""

from __future__ import annotations

import http.server
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import start_object_store, unpointed
from lakes import make_desk
from registered import register

from flows.servers import Children, free_port
from pipeline import checks, registry
from pipeline.checks import OK, WARNING, WRONG, Finding
from pipeline.errors import StoreError
from pipeline.home import Home
from pipeline.probe import one_writer_commits

# An S3 store that takes a conditional write for a plain one, as some did until lately.
FORGETFUL = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
app = DomainDispatcherApplication(create_backend_app)
def forgetful(environ, start):
    environ.pop("HTTP_IF_NONE_MATCH", None)
    return app(environ, start)
run_simple("127.0.0.1", int(sys.argv[1]), forgetful, threaded=True)
"""


def states(findings: Iterator[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def doctor(*configs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "flows.doctor", *map(str, configs)],
        env={**unpointed(), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_packages_of_this_environment_fit() -> None:
    assert states(checks.packages()) == [OK]


def test_packages_that_do_not_fit_are_named() -> None:
    found = checks.unmet(["numpy<1", "no-such-package>=3", "pandas>=1", "nor-this; extra == 'x'"])
    assert len(found) == 2
    assert found[0].startswith("numpy is ") and found[0].endswith("needed is <1")
    assert found[1] == "no-such-package is not installed, >=3 is needed"


def test_a_folder_keeps_writers_apart_and_stays_as_it_was(home: Home) -> None:
    before = sorted(home.path.rglob("*"))
    one_writer_commits(home)
    assert sorted(home.path.rglob("*")) == before


@pytest.mark.parametrize("honest", [True, False])
def test_a_store_that_forgets_conditions_is_found_out(
    honest: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Children() as children:
        found = start_object_store(children, tmp_path, None if honest else FORGETFUL)
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        home = Home.resolve("s3://lake/vae")
        if honest:
            one_writer_commits(home)
            from deltalake.fs import DeltaStorageHandler
            from pyarrow.fs import FileSelector

            left = DeltaStorageHandler("s3://lake").get_file_info_selector(
                FileSelector("vae", allow_not_found=True, recursive=True)
            )
            assert left == []
        else:
            with pytest.raises(StoreError, match="writers commit at once"):
                one_writer_commits(home)


def test_a_data_set_from_nothing_to_a_champion(home: Home, tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "desk", create=False)
    path = desk.config.path

    def look() -> list[Finding]:
        return list(checks.guarded("desk", lambda: checks.data_set(home, path)))

    assert [f.state for f in look()] == [WRONG]
    assert "vae-anomaly init" in str(look()[0].hint)
    from pipeline.lake import Lake

    Lake(desk.config, home).create()
    assert [f.state for f in look()] == [OK, WARNING]
    register(home, name="desk")
    registry.promote(home, "desk")
    mixed = look()
    assert [f.state for f in mixed] == [OK, WRONG], "calibrated on rows that are not here"
    assert "different installations" in mixed[1].detail


def test_an_old_tracking_database_is_named(home: Home) -> None:
    assert states(checks.guarded("mlflow", lambda: checks.tracking(home))) == [OK]
    with sqlite3.connect(home.path / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = '451aebb31d03'")
    database.close()
    done = doctor(VAE_ANOMALY_HOME=str(home.path), PREFECT_HOME=str(home.path / "prefect"))
    assert done.returncode == 1
    assert "451aebb31d03" in done.stdout and "mlflow db upgrade" in done.stdout


def test_a_healthy_home(home: Home, tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "desk", create=False)
    from pipeline.lake import Lake

    Lake(desk.config, home).create()
    done = doctor(desk.config.path, VAE_ANOMALY_HOME=str(home.path), PREFECT_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is wrong." in done.stdout and not done.stderr
    for said in ("mlflow 3.", "of several writers one commits", "migration", "0 rows ingested"):
        assert said in done.stdout


def test_everything_at_once_is_wrong(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    done = doctor(
        tmp_path / "no.yaml",
        VAE_ANOMALY_HOME=str(tmp_path / "nowhere"),
        MLFLOW_TRACKING_URI=nobody,
        PREFECT_API_URL=f"{nobody}/api",
        PREFECT_HOME=str(tmp_path),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for said in (
        f"there is no folder {tmp_path / 'nowhere'}",
        f"no MLflow server answers at {nobody}",
        f"no Prefect server answers at {nobody}/api",
        "Wrong: 3.",
    ):
        assert said in done.stdout, done.stdout
    assert not (tmp_path / "nowhere").exists()


def test_what_is_no_prefect_server(home: Home, tmp_path: Path) -> None:
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = doctor(
            VAE_ANOMALY_HOME=str(home.path),
            PREFECT_API_URL=f"http://127.0.0.1:{server.server_port}",
            PREFECT_HOME=str(tmp_path),
        )
        server.shutdown()
    assert done.returncode == 1
    assert "is no Prefect server (404)" in done.stdout and "ends in /api" in done.stdout


@pytest.mark.slow
def test_a_prefect_database_of_another_version(home: Home, tmp_path: Path) -> None:
    home.prefect_db.parent.mkdir()
    with sqlite3.connect(home.prefect_db) as database:
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('bd6efa529f03')")
    database.close()
    done = doctor(VAE_ANOMALY_HOME=str(home.path), PREFECT_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "at migration bd6efa529f03" in done.stdout
    assert "prefect server database upgrade" in done.stdout


def test_a_home_that_cannot_be_written(home: Home, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        file = tmp_path / "file"
        shutil.copy(home.path / "mlflow.db", file)
        place = Home(file / "below")  # root writes everywhere else
        with pytest.raises(StoreError, match="cannot write to"):
            one_writer_commits(place)
        return
    home.path.chmod(0o500)
    assert states(checks.guarded("home", lambda: checks.home(home))) == [WRONG]
    home.path.chmod(0o700)
