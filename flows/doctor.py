"""What is reachable, in which version, and what is wrong: `python -m flows.doctor [CONFIG...]`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import checks
from pipeline.checks import OK, WARNING, WRONG, Finding
from pipeline.errors import UserError
from pipeline.home import Home

if TYPE_CHECKING:
    from prefect.client.schemas.responses import DeploymentResponse

MARKS = {OK: "ok", WARNING: "warning", WRONG: "WRONG"}


def examine(configs: list[Path]) -> Iterator[Finding]:
    """Everything that this installation needs, one finding after the other.

    Args:
        configs: the data sets to look at, none for the servers alone.
    """
    yield from checks.guarded("packages", checks.packages)
    try:
        home = Home.resolve()
    except UserError as error:
        yield Finding("home", WRONG, error.message, error.hint)
        return
    yield from checks.guarded("home", partial(checks.home, home))
    tracking = list(checks.guarded("mlflow", partial(checks.tracking, home)))
    yield from tracking
    yield from checks.guarded("prefect", partial(prefect, home))
    for path in configs:
        if any(finding.state == WRONG for finding in tracking):
            yield Finding(path.name, WARNING, "not looked at: MLflow comes first")
            continue
        yield from checks.guarded(path.name, partial(checks.data_set, home, path))


def prefect(home: Home) -> Iterator[Finding]:
    """The Prefect server, its database's migration where it can be seen, and what it runs."""
    import prefect
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    database = settings.server.database.connection_url
    url = os.environ.get("PREFECT_API_URL") or settings.api.url
    if not url:
        where = home.prefect_db
        if where.exists():
            yield from _migration(f"sqlite:///{where}")
        yield Finding(
            "prefect", OK, "PREFECT_API_URL is not set: `vae-anomaly serve` starts a server"
        )
        return
    if os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL") and database is not None:
        yield from _migration(str(database.get_secret_value()))
    version = _answer(url, settings.api.auth_string)
    same = version.split(".")[:2] == prefect.__version__.split(".")[:2]
    yield Finding(
        "prefect",
        OK if same else WARNING,
        f"{url}: Prefect {version} answers"
        + ("" if same else f"; this machine has {prefect.__version__}"),
        None if same else "Install the same minor version on both sides.",
    )
    yield from _deployments(home)


def _answer(url: str, secret: object) -> str:
    """Version of the server, asked once and not for minutes as Prefect's own client does."""
    import httpx
    from pydantic import SecretStr

    login = secret.get_secret_value() if isinstance(secret, SecretStr) else None
    user, _, password = (login or "").partition(":")
    try:
        answer = httpx.get(
            f"{url.rstrip('/')}/admin/version",
            auth=(user, password) if login else None,
            timeout=5,
            follow_redirects=True,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            f"no Prefect server answers at {url}: {error}",
            hint="Start it (`prefect server start`) or correct PREFECT_API_URL.",
        ) from error
    if answer.status_code in (401, 403):
        raise UserError(
            f"the Prefect server at {url} refuses "
            + ("the user or the password" if login else "without a user and a password"),
            hint="Set PREFECT_API_AUTH_STRING=USER:PASSWORD as the server's "
            "PREFECT_SERVER_API_AUTH_STRING says.",
        )
    if answer.status_code != 200 or "json" not in answer.headers.get("content-type", ""):
        raise UserError(
            f"what answers at {url} is no Prefect server ({answer.status_code})",
            hint="PREFECT_API_URL ends in /api, such as http://127.0.0.1:4200/api.",
        )
    return str(answer.json())


def _migration(database: str) -> Iterator[Finding]:
    """Whether Prefect's database is at the newest migration that the installed Prefect knows."""
    import prefect.server.database
    import sqlalchemy
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    url = sqlalchemy.make_url(database)
    kind = url.get_backend_name()
    scripts = Path(prefect.server.database.__file__).parent / "_migrations"
    newest = ScriptDirectory(
        str(scripts), version_locations=[str(scripts / "versions" / kind)]
    ).get_heads()
    shown = url.render_as_string(hide_password=True)
    try:
        engine = sqlalchemy.create_engine(
            url.set(drivername="postgresql+psycopg2" if kind == "postgresql" else kind)
        )
        with engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise UserError(
            f"Prefect's database {shown} does not answer: {why}",
            hint="Start it, correct PREFECT_SERVER_DATABASE_CONNECTION_URL, or give its password "
            "in PGPASSWORD.",
        ) from error
    if present in newest:
        yield Finding("prefect", OK, f"{shown}: at migration {present}, the newest")
    else:
        yield Finding(
            "prefect",
            WRONG,
            f"{shown}: "
            + (f"at migration {present}" if present else "without tables")
            + f", this Prefect's is {', '.join(newest)}",
            "Start the server of this version, which migrates by itself, or run `prefect server "
            "database upgrade -y`; a database of a newer version needs that version.",
        )


def _deployments(home: Home) -> Iterator[Finding]:
    from prefect.client.orchestration import get_client

    from flows.deployments import TAG

    with get_client(sync_client=True) as client:
        ours = [found for found in client.read_deployments() if TAG in found.tags]
    if not ours:
        yield Finding(
            "deployments",
            WARNING,
            "none: nothing runs by itself",
            "Run `vae-anomaly deploy CONFIG` or `vae-anomaly serve CONFIG`.",
        )
        return
    yield from _look_at(ours, home)


def _look_at(ours: Iterable[DeploymentResponse], home: Home) -> Iterator[Finding]:
    idle, number, elsewhere = set(), 0, set()
    for found in ours:
        number += 1
        place = str(found.parameters.get("home"))
        environment = (found.job_variables or {}).get("env", {})
        tracking = environment.get("MLFLOW_TRACKING_URI", home.mlflow_uri)
        if place != home.place:
            elsewhere.add(("VAE_ANOMALY_HOME", place))
        if tracking != home.mlflow_uri:
            elsewhere.add(("MLFLOW_TRACKING_URI", tracking))
        if str(getattr(found.status, "value", found.status)) != "READY":
            idle.add(found.work_pool_name)
    for variable, value in sorted(elsewhere):
        yield Finding(
            "deployments",
            WRONG,
            f"deployed with another {variable} than this shell's: {value}",
            f"Set {variable}={value}, or deploy again with the one that counts.",
        )
    if idle:
        pools = sorted(pool for pool in idle if pool)
        yield Finding(
            "deployments",
            WARNING,
            f"nothing runs them: {number} deployments wait for a worker",
            f"Run `prefect worker start --pool {pools[0]}`." if pools else
            "Run `vae-anomaly serve` with their configs.",
        )  # fmt: skip
    else:
        yield Finding("deployments", OK, f"{number}, and a worker looks after them")


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0 where nothing is wrong, 1 otherwise. Warnings do not count."""
    from rich.console import Console

    parser = argparse.ArgumentParser(
        prog="vae-anomaly doctor",
        description="What is reachable, in which version, and what to do about what is wrong.",
    )
    parser.add_argument("configs", nargs="*", type=Path, metavar="CONFIG")
    given = parser.parse_args(arguments)
    console = Console()
    wrong = 0
    for finding in examine(given.configs):
        wrong += finding.state == WRONG
        line = f"{MARKS[finding.state]:<8} {finding.about}: {finding.detail}"
        if finding.hint:
            line += f"\n         {finding.hint}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(
        "Nothing is wrong." if not wrong else f"Wrong: {wrong}.", markup=False, highlight=False
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
