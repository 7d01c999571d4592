"""Deploy data sets to a Prefect server, for process workers: `python -m flows.deploy CONFIG...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

    from flows.deployments import Target


def deploy(configs: list[Path], *, pool: str | None = None, active: bool = True) -> list[str]:
    """Make the tables, the work pool and the seven deployments of each config.

    Args:
        configs: one YAML per data set; the first is deployed without a suffix
        pool: process work pool, made where it does not exist; `vae-anomaly` when left out
        active: False leaves the schedules in place but switched off

    Returns:
        Names of the deployments, e.g. `score/nightly`.

    Raises:
        UserError: a bad config, an unreachable server, or a second store in the making
    """
    from prefect.client.orchestration import get_client

    from flows.deployments import KINDS, POOL, targets

    with unreachable_is_a_user_error(), get_client(sync_client=True) as client:
        goals = targets(configs, client)
        _make_pool(client, pool or POOL)
        return [
            _register(client, goal, kind.flow, pool or POOL, active)
            for goal in goals
            for kind in KINDS
        ]


class unreachable_is_a_user_error:  # noqa: N801 - read as a phrase in `with`
    """Turn a refused connection into a message that names the server and what to start."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import httpx
        from prefect.settings import PREFECT_API_URL

        from pipeline.errors import UserError

        causes, cause = [], error
        while cause is not None:
            causes.append(cause)
            cause = cause.__cause__ or cause.__context__
        if any(isinstance(cause, httpx.TransportError) for cause in causes):
            raise UserError(
                f"no Prefect server answers at {PREFECT_API_URL.value()}",
                hint="Start one with `prefect server start`, or set PREFECT_API_URL; "
                "`vae-anomaly serve` starts everything on one machine.",
            ) from error


def _make_pool(client: SyncPrefectClient, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    from pipeline.errors import UserError

    try:
        existing = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type="process",
                base_job_template=ProcessWorker.get_default_base_job_template(),
            )
        )
        return
    if existing.type != "process":
        raise UserError(
            f"work pool {name!r} is of type {existing.type!r}, and these deployments need a "
            "process pool",
            hint="Name another one with --pool; it is made where it does not exist.",
        )


def _register(client: SyncPrefectClient, goal: Target, flow: str, pool: str, active: bool) -> str:
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    from flows.deployments import KINDS, runner_deployment

    kind = next(kind for kind in KINDS if kind.flow == flow)
    described = runner_deployment(goal, kind, active=active)
    # described anew each time: none of them updates one that is there
    new = [s for s in described.schedules or [] if isinstance(s, DeploymentScheduleCreate)]
    assert len(new) == len(described.schedules or [])
    client.create_deployment(
        flow_id=client.create_flow_from_name(kind.flow),
        name=described.name,
        entrypoint=kind.entrypoint,
        pull_steps=[],  # the package is installed where the worker runs: there is nothing to pull
        path=None,
        work_pool_name=pool,
        job_variables={"env": goal.environment},
        parameters=described.parameters,
        parameter_openapi_schema=described._parameter_openapi_schema.model_dump(exclude_unset=True),
        enforce_parameter_schema=True,
        schedules=None if described.schedules is None else new,
        concurrency_limit=described.concurrency_limit,
        concurrency_options=described.concurrency_options,
        description=described.description,
        tags=described.tags,
        paused=False,
    )
    return f"{kind.flow}/{described.name}"


def prepare(config: str) -> dict[str, Any]:
    """Build step of `prefect.yaml`: make the tables, resolve every path, read the schedule.

    Args:
        config: the data set's YAML, relative to the folder of `prefect.yaml`

    Returns:
        What `prefect.yaml` fills its placeholders with.
    """
    from prefect.client.orchestration import get_client

    from flows.deployments import KINDS, targets
    from pipeline.errors import UserError

    with unreachable_is_a_user_error(), get_client(sync_client=True) as client:
        goal = targets([config], client)[0]
    if goal.suffix:
        raise UserError(
            f"this server's deployments without a suffix belong to another data set than "
            f"{goal.config.name!r}, and `prefect deploy` would take them over",
            hint=f"Use `vae-anomaly deploy {goal.config_path}`: it adds `…{goal.suffix}`.",
        )
    times = {kind.schedule: goal.cron(kind) for kind in KINDS if kind.schedule}
    return {
        "tags": goal.tags,
        "config": str(goal.config_path),
        "home": goal.home.place,
        "mlflow_uri": goal.environment["MLFLOW_TRACKING_URI"],
        "timezone": goal.config.schedule.timezone,
        # prefect.yaml cannot leave a schedule out: one that is off stands in for none
        **{f"{key}_cron": cron or "0 0 1 1 *" for key, cron in times.items()},
        **{f"{key}_active": cron is not None for key, cron in times.items()},
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line; prints what was deployed and what to start next."""
    from rich.console import Console

    from pipeline.errors import UserError, describe

    parser = argparse.ArgumentParser(
        prog="vae-anomaly deploy",
        description="Deploy data sets to the Prefect server at PREFECT_API_URL.",
    )
    parser.add_argument("configs", nargs="+", type=Path, metavar="CONFIG")
    parser.add_argument("--pool", help="process work pool (default: vae-anomaly)")
    parser.add_argument(
        "--paused", action="store_true", help="leave the schedules switched off for now"
    )
    given = parser.parse_args(arguments)
    console = Console()
    try:
        names = deploy(given.configs, pool=given.pool, active=not given.paused)
    except UserError as error:
        Console(stderr=True).print(describe(error), markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    for name in names:
        console.print(f"deployed {name}", highlight=False)
    console.print(
        "Start a worker on this machine: "
        f"prefect worker start --pool {given.pool or 'vae-anomaly'}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
