"""Everything on one machine, without a work pool: `python -m flows.serve CONFIG...`.

A Prefect server (SQLite in the home folder), the MLflow pages and the deployments, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flows.servers import (
    QUIET,
    Children,
    claim_port,
    interruptible,
    mlflow_server,
    prefect_server,
    stop_descendants,
    tool,
)
from pipeline.errors import UserError, describe
from pipeline.home import Home

if TYPE_CHECKING:
    from flows.deployments import Target


def serve(configs: list[Path], host: str, port: int, mlflow_port: int) -> None:
    """Serve until interrupted, then stop everything that was started.

    Where PREFECT_API_URL or an http(s) MLFLOW_TRACKING_URI is set, that server is used and none
    of that kind is started.

    Raises:
        UserError: a bad config, a taken port, or a server that does not come up
    """
    home = Home.resolve()
    home.path.mkdir(parents=True, exist_ok=True)
    logs = home.path / "logs"
    with Children() as children, interruptible():
        api = _prefect(children, home, host, port, logs)
        tracking = _mlflow(children, home, host, mlflow_port, logs)
        children.wait_until_healthy(f"{api}/health")
        if tracking.startswith("http") and "MLFLOW_TRACKING_URI" not in os.environ:
            children.wait_until_healthy(f"{tracking}/health")
        goals = _goals(configs)
        command = [*tool("flows.serve"), "--deployments-only", *map(str, configs)]
        children.start("the runner", command, os.environ, None, stop_signal=signal.SIGINT)
        _introduce(api, tracking, home, goals)
        while True:
            children.check()
            time.sleep(0.5)


def _prefect(children: Children, home: Home, host: str, port: int, logs: Path) -> str:
    if given := os.environ.get("PREFECT_API_URL"):
        return given.rstrip("/")
    port = claim_port(port, host, "--port")
    # Prefect reads these when it is first imported, which is after this.
    os.environ |= QUIET | {
        "PREFECT_HOME": str(home.path / "prefect"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home.prefect_db}",
        "PREFECT_API_URL": f"http://{host}:{port}/api",
    }
    return prefect_server(children, os.environ, host, port, logs / "prefect-server.log")


def _mlflow(children: Children, home: Home, host: str, port: int, logs: Path) -> str:
    if "MLFLOW_TRACKING_URI" in os.environ:
        return home.mlflow_uri
    port = claim_port(port, host, "--mlflow-port")
    return mlflow_server(
        children,
        os.environ,
        host,
        port,
        home.mlflow_uri,
        str(home.mlflow_artifacts),
        logs / "mlflow-server.log",
    )


def _goals(configs: list[Path]) -> list[Target]:
    from prefect.client.orchestration import get_client

    from flows.deployments import targets

    with get_client(sync_client=True) as client:
        return targets(configs, client)


def _introduce(api: str, tracking: str, home: Home, goals: list[Target]) -> None:
    from flows.deployments import KINDS

    lines = [
        f"Prefect  {api.removesuffix('/api')}",
        f"MLflow   {tracking}",
        f"Home     {home.place}",
    ]
    for goal in goals:
        zone = goal.config.schedule.timezone
        for kind in KINDS:
            cron = goal.cron(kind)
            lines.append(
                f"Serving  {kind.flow}/{kind.label}{goal.suffix}  "
                + (f"{cron}  {zone}" if cron else "by hand")
            )
    lines += [
        "Run one now:",
        f"  PREFECT_API_URL={api} prefect deployment run score/nightly{goals[0].suffix}",
        "Stop with Ctrl-C.",
    ]
    print("\n".join(lines), flush=True)


def run_deployments(configs: list[Path]) -> None:
    """Register the deployments and run what they schedule, until SIGINT; a child process's job."""
    import prefect

    from flows.deployments import KINDS, runner_deployment

    # A child of a background shell job inherits SIGINT ignored, and Prefect stops cleanly by it
    # alone: after SIGTERM it warns of a coroutine that it never awaited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        goals = _goals(configs)
        deployments = [runner_deployment(goal, kind) for goal in goals for kind in KINDS]
        prefect.serve(*deployments, print_starting_message=False)


def main(arguments: list[str] | None = None) -> int:
    """Command line; ends with 0 on Ctrl-C and SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="vae-anomaly serve",
        description="Prefect server, MLflow pages and scheduled runs on this machine.",
    )
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4200, help="Prefect's port; 0: any free one")
    parser.add_argument(
        "--mlflow-port", type=int, default=5000, help="MLflow's port; 0: any free one"
    )
    parser.add_argument("--deployments-only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.deployments_only:
        run_deployments(given.configs)
        return 0
    try:
        serve(given.configs, given.host, given.port, given.mlflow_port)
    except KeyboardInterrupt:
        return 0
    except UserError as error:
        print(describe(error), file=sys.stderr)
        return error.exit_code
    finally:
        stop_descendants()  # a run that was under way
    return 0


if __name__ == "__main__":
    sys.exit(main())
