"""The `train` flow: fit a scorer on the data set's training rows and log it, unregistered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task

from flows.artifacts import publish
from flows.runs import progress_artifact, readable_failure
from pipeline.config import load_config
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.training import TrainResult


@task(name="train scorer")
def train_scorer(config: str, home: str) -> TrainResult:
    """Fit and log; never retried, since a training that failed once fails again, slowly."""
    from pipeline.training import train as run

    with progress_artifact("Training") as progress:
        return run(Home.resolve(home), load_config(config), progress=progress)


@flow(name="train", description="Fit a scorer on the training rows and log it with MLflow.")
@readable_failure
def train(config: str, home: str) -> str:
    """Train; returns the MLflow run id that `calibrate` takes.

    Args:
        config: absolute path of the data set's YAML
        home: absolute path of the folder that holds tables, runs and reports
    """
    result = train_scorer(config, home)
    name = load_config(config).name
    get_run_logger().info("trained %s, MLflow run %s", name, result.run_id)
    publish(
        "train",
        name,
        [{"metric": metric, "value": value} for metric, value in result.metrics.items()],
        f"Training of {name}",
        {
            "MLflow run": result.run_id,
            "training rows": f"{result.split.train.first} to {result.split.train.last}",
            "validation rows": f"{result.split.validation.first} to {result.split.validation.last}",
            "calibration rows (unseen)": (
                f"{result.split.calibration.first} to {result.split.calibration.last}"
            ),
        },
    )
    return result.run_id
