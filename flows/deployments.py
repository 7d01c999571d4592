"""The seven deployments of a data set: what they are called, what they carry, when they run."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from pipeline.config import Config, load_config
from pipeline.errors import UserError
from pipeline.home import Home

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment

POOL = "vae-anomaly"
TAG = "vae-anomaly"


@dataclass(frozen=True)
class Kind:
    """One of a data set's deployments.

    Args:
        flow: the flow's name, which is also the name of its module and function
        label: the deployment's name
        schedule: key of the config's `schedule` that holds its cron, None where it has none
        parameters: what it passes besides config and home
    """

    flow: str
    label: str
    schedule: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def entrypoint(self) -> str:
        """Module path of the flow: found by any worker that has the package installed."""
        return f"flows.{self.flow}.{self.flow}"


KINDS = (
    Kind("ingest", "nightly", schedule="ingest"),
    Kind("score", "nightly", schedule="score"),
    Kind("retrain", "weekly", schedule="retrain"),
    Kind("train", "manual"),
    Kind("calibrate", "manual", parameters={"recalibrate_champion": True}),
    Kind("tune", "manual"),
    Kind("rescore", "manual"),
)


@dataclass(frozen=True)
class Target:
    """A data set to deploy: its config and home, both absolute since a worker runs anywhere.

    Args:
        suffix: "" for the data set that deploy was given first, else "-NAME"
    """

    config: Config
    config_path: Path
    home: Home
    suffix: str = ""

    @property
    def tags(self) -> list[str]:
        """Tags that say whose deployment it is; deploy reads them back."""
        return [TAG, self.config.name]

    @property
    def environment(self) -> dict[str, str]:
        """What a worker's own shell must not change: where MLflow's store is."""
        return {"MLFLOW_TRACKING_URI": self.home.mlflow_uri}

    def parameters(self, kind: Kind) -> dict[str, Any]:
        """The parameters that the deployment of this kind stores."""
        return {"config": str(self.config_path), "home": self.home.place, **kind.parameters}

    def cron(self, kind: Kind) -> str | None:
        """When the deployment of this kind runs, None for never by itself."""
        return getattr(self.config.schedule, kind.schedule) if kind.schedule else None


def runner_deployment(goal: Target, kind: Kind, *, active: bool = True) -> RunnerDeployment:
    """Prefect's description of one deployment, without a work pool."""
    flow = getattr(importlib.import_module(f"flows.{kind.flow}"), kind.flow)
    cron = goal.cron(kind)
    return flow.to_deployment(
        name=kind.label + goal.suffix,
        schedules=[Cron(cron, timezone=goal.config.schedule.timezone, active=active)]
        if cron
        else None,
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
        parameters=goal.parameters(kind),
        tags=goal.tags,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def targets(configs: Iterable[str | Path], client: SyncPrefectClient) -> list[Target]:
    """Load every config, decide its suffix, and make its tables, so that writers find them.

    The data set whose deployments exist without a suffix keeps them; where none does, the first
    config given gets them. Every further data set is deployed as `…-NAME`.

    Raises:
        UserError: two configs of one name, a data set already deployed with another home, or a
            password where everybody would see it
    """
    from pipeline.lake import Lake

    home = Home.resolve()
    if urlsplit(home.mlflow_uri).password:
        raise UserError(
            "MLFLOW_TRACKING_URI holds a password, and deployments would show it to everybody who "
            "can open Prefect's pages",
            hint="Leave it out. Give an MLflow server's in MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, a PostgreSQL database's in PGPASSWORD, to the worker too.",
        )
    paths = [Path(config).expanduser().resolve() for config in configs]
    goals = [Target(load_config(path), path, home) for path in paths]
    names = [goal.config.name for goal in goals]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"two of the configs given are named {name!r}",
                hint="Each data set needs a name of its own; change `name:` in one of them.",
            )
    present = deployed(client)
    for other in present:
        if other.name in names and other.home != home.place:
            raise UserError(
                f"{other.name!r} is already deployed with its store in {other.home}; deploying "
                f"it with {home.place} would start a second one",
                hint=f"Set VAE_ANOMALY_HOME={other.home}, or delete the old deployments first "
                f"(`prefect deployment delete {other.full_name}` and its siblings).",
            )
    first = next((other.name for other in present if not other.suffix), names[0])
    for goal in goals:
        Lake(goal.config, goal.home).create()
    return [
        replace(goal, suffix="" if goal.config.name == first else f"-{goal.config.name}")
        for goal in goals
    ]


@dataclass(frozen=True)
class Deployed:
    """What the server says about one deployment of ours."""

    full_name: str
    name: str
    suffix: str
    home: str


def deployed(client: SyncPrefectClient) -> list[Deployed]:
    """Every deployment of this product that the server knows."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter

    found = []
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    for kind in KINDS:
        flows = FlowFilter.model_validate({"name": {"any_": [kind.flow]}})
        for item in client.read_deployments(flow_filter=flows, deployment_filter=ours):
            name = next((tag for tag in item.tags if tag != TAG), "")
            found.append(
                Deployed(
                    full_name=f"{kind.flow}/{item.name}",
                    name=name,
                    suffix=item.name.removeprefix(kind.label),
                    home=str(item.parameters.get("home", "")),
                )
            )
    return found
