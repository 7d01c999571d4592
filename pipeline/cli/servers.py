"""The commands that serve, deploy and look after servers: each becomes a program of `flows`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import DEFAULT_CONFIG


def serve(
    configs: Annotated[
        list[Path] | None, typer.Argument(metavar="[CONFIG]...", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Prefect's port; 0: any free one.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="MLflow's port; 0: any free one.")] = 5000,
) -> None:
    """Run everything on this machine: Prefect server, MLflow pages, scheduled runs.

    Stays until Ctrl-C, which stops all of it. Times are the config's `schedule`. Servers named by
    `PREFECT_API_URL` and `MLFLOW_TRACKING_URI` are used instead of new ones.

    Examples:

        vae-anomaly serve

        vae-anomaly serve payments.yaml sensors.yaml --port 4300
    """
    _replace_by(
        "flows.serve",
        *[str(config) for config in configs or [DEFAULT_CONFIG]],
        *("--host", host, "--port", str(port), "--mlflow-port", str(mlflow_port)),
    )


def deploy(
    configs: Annotated[
        list[Path] | None, typer.Argument(metavar="[CONFIG]...", show_default=False)
    ] = None,
    pool: Annotated[str, typer.Option(help="Process work pool, made if missing.")] = "vae-anomaly",
    paused: Annotated[bool, typer.Option("--paused", help="Leave the schedules off.")] = False,
) -> None:
    """Deploy to the Prefect server at `PREFECT_API_URL`, for process workers.

    Makes the tables and the work pool, stores absolute paths, and sets the schedules of the
    config. The first data set's deployments are `ingest/nightly`, `score/nightly`,
    `retrain/weekly`, `train/manual`, `calibrate/manual`, `tune/manual` and `rescore/manual`; each
    further one's are `…-NAME`.

    Examples:

        vae-anomaly deploy configs/network.yaml configs/taxi.yaml

        prefect worker start --pool vae-anomaly
    """
    _replace_by(
        "flows.deploy",
        *[str(config) for config in configs or [DEFAULT_CONFIG]],
        *("--pool", pool, *(["--paused"] if paused else [])),
    )


def doctor(
    configs: Annotated[
        list[Path] | None, typer.Argument(metavar="[CONFIG]...", show_default=False)
    ] = None,
) -> None:
    """Say what is reachable, in which version, and how to mend what is wrong.

    Looks at the installed packages, the home, MLflow, Prefect and its deployments, and at the
    tables and the champion of each CONFIG. Changes nothing. Ends with exit code 1 where something
    is wrong; a warning is not.

    Examples:

        vae-anomaly doctor

        vae-anomaly doctor payments.yaml
    """
    _replace_by("flows.doctor", *map(str, configs or filter(Path.exists, [DEFAULT_CONFIG])))


def _replace_by(module: str, *arguments: str) -> None:
    """Become `python -m module`: this package does not import what serves and deploys."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
