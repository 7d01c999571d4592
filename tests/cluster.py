"""Real servers for tests: PostgreSQL, an S3 store, MLflow with passwords, Prefect on PostgreSQL."""

from __future__ import annotations

import atexit
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from flows.servers import Children, clean_environment, free_port, tool

ROOT = Path(__file__).resolve().parents[1]
USER, PASSWORD, BUCKET = "analyst", "rosebud-0n-a-sledge", "lake"
HOST = "127.0.0.1"


def unpointed() -> dict[str, str]:
    """This process's environment without what names servers, stores and keys."""
    return {k: v for k, v in clean_environment().items() if not k.startswith(("AWS_", "PG"))}


def start_postgres(children: Children, databases: list[str]) -> dict[str, str]:
    """A PostgreSQL that asks for a password, with empty databases.

    Returns:
        Variables by which PostgreSQL's own clients find it: PGHOST, PGPORT, PGUSER, PGPASSWORD.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    # not below pytest's folders: those are closed to other users, and the server runs as one
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "secret").write_text(PASSWORD, encoding="utf-8")
    as_account = []
    if os.geteuid() == 0:  # which the server refuses
        account = next(p for p in pwd.getpwall() if p.pw_name in ("postgres", "nobody"))
        for path in (folder, folder / "secret"):
            os.chown(path, account.pw_uid, account.pw_gid)
        as_account = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
        as_account += ["--clear-groups", "--"]
    initialise = [*as_account, str(programs[-1] / "initdb"), "--pgdata", str(folder / "data")]
    initialise += ["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--no-sync"]
    initialise += ["--pwfile", str(folder / "secret")]
    subprocess.run(initialise, check=True, capture_output=True, cwd=folder)
    port = free_port()
    serve = [*as_account, str(programs[-1] / "postgres"), "-D", str(folder / "data")]
    for setting in (f"port={port}", f"unix_socket_directories={folder}", "fsync=off"):
        serve += ["-c", setting]
    children.start("PostgreSQL", serve, unpointed(), folder / "log", signal.SIGINT)
    access = {"PGHOST": HOST, "PGPORT": str(port), "PGUSER": USER, "PGPASSWORD": PASSWORD}
    _wait(children, access)
    create_databases(access, databases)
    return access


def _wait(children: Children, access: dict[str, str]) -> None:
    import psycopg2

    deadline = time.monotonic() + 60
    while True:
        try:
            _connect(access).close()
            return
        except psycopg2.OperationalError:
            children.check()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def create_databases(access: dict[str, str], names: list[str]) -> None:
    """Make empty databases on a server."""
    connection = _connect(access)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()


def _connect(access: dict[str, str]) -> Any:
    import psycopg2

    return psycopg2.connect(
        host=HOST, port=access["PGPORT"], user=USER, password=PASSWORD, dbname="postgres"
    )


def start_object_store(
    children: Children, folder: Path, program: str | None = None
) -> dict[str, str]:
    """An S3 store with an empty bucket; `program`: Python that serves another one at a port.

    Returns:
        Variables by which Delta, boto3 and MLflow find it.
    """
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", HOST, "-p", str(port)]
    if program is not None:
        command = [sys.executable, "-c", program, str(port)]
    children.start("the object store", command, unpointed(), folder / "store.log")
    url = f"http://{HOST}:{port}"
    children.wait_until_healthy(f"{url}/moto-api/")
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret-key"}
    import boto3

    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1",
        aws_access_key_id="key", aws_secret_access_key="secret-key",
    )  # fmt: skip
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return {**keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}


def start_service(children: Children, folder: Path, name: str, access: dict[str, str]) -> int:
    """A service of compose.yaml by its own command and environment, but on a free port of HOST.

    Args:
        access: where its database and its store are, instead of those of compose.yaml.

    Returns:
        The port.
    """
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"][name]
    inside = service["ports"][0].rpartition(":")[2]
    port = free_port()

    def here(text: str) -> str:
        text = re.sub(r"\$\{\w+:\?[^}]*\}", PASSWORD, text)
        return text.replace("0.0.0.0", HOST).replace(inside, str(port))

    program, *arguments = [here(argument) for argument in service["command"]]
    environment = {
        **unpointed(),
        **{key: here(value) for key, value in service["environment"].items()},
        **access,
        "MLFLOW_AUTH_CONFIG_PATH": str(ROOT / "deploy" / "mlflow-auth.ini"),
        "PREFECT_HOME": str(folder / f"{name}-home"),
    }
    children.start(name, [*tool(program), *arguments], environment, folder / f"{name}.log")
    children.wait_until_healthy(environment["HEALTH"])
    return port


def start_mlflow(children: Children, folder: Path, access: dict[str, str]) -> dict[str, str]:
    """compose.yaml's MLflow server; returns the variables by which its clients find it."""
    port = start_service(children, folder, "mlflow", access)
    return {
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{port}",
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }


def start_prefect(children: Children, folder: Path, access: dict[str, str]) -> dict[str, str]:
    """compose.yaml's Prefect server; returns the variables by which its clients find it."""
    port = start_service(children, folder, "prefect", access)
    return {
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_API_AUTH_STRING": f"admin:{PASSWORD}",
    }


class Cluster(NamedTuple):
    """Running servers.

    Attributes:
        environment: what a user sets to point the product at them, and nothing else.
        database: PGHOST, PGPORT, PGUSER and PGPASSWORD of what the servers keep their state in.
    """

    environment: dict[str, str]
    database: dict[str, str]


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """All of them, gone afterwards."""
    with Children() as children:
        database = start_postgres(children, ["prefect", "mlflow"])
        store = start_object_store(children, folder)
        tracking = start_mlflow(children, folder, {**database, **store})
        prefect = start_prefect(children, folder, database)
        home = {"VAE_ANOMALY_HOME": f"s3://{BUCKET}/vae-anomaly"}
        yield Cluster({**store, **tracking, **prefect, **home}, database)
