"""Everything on one machine, without a work pool: `python -m flows.serve CONFIG...`.

A Prefect server (SQLite in the home folder), the MLflow pages and the deployments, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from flows.servers import (
    QUIET,
    Children,
    claim_port,
    interruptible,
    mlflow_server,
    prefect_server,
    stop_descendants,
)
from pipeline.errors import UserError, describe
from pipeline.home import Home


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
        _serve_deployments(configs, api, tracking, home)


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


def _serve_deployments(configs: list[Path], api: str, tracking: str, home: Home) -> None:
    import prefect
    from prefect.client.orchestration import get_client
    from rich.console import Console

    from flows.deployments import KINDS, runner_deployment, targets

    with get_client(sync_client=True) as client:
        goals = targets(configs, client)
    deployments = [runner_deployment(goal, kind) for goal in goals for kind in KINDS]
    console = Console()
    lines = [
        f"Prefect  {api.removesuffix('/api')}",
        f"MLflow   {tracking}",
        f"home     {home.path}",
        *(
            f"serving  {kind.flow}/{kind.label}{goal.suffix}  {goal.cron(kind) or 'by hand'}"
            for goal in goals
            for kind in KINDS
        ),
        f"Run one now: PREFECT_API_URL={api} prefect deployment run {KINDS[1].flow}/"
        f"{KINDS[1].label}{goals[0].suffix}",
        "Stop with Ctrl-C.",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
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
    given = parser.parse_args(arguments)
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
