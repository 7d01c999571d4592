"""The `tune` flow: search settings without labels; the config stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact

from flows.artifacts import key, publish
from flows.runs import progress_artifact, readable_failure
from pipeline.config import load_config
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.tuning import TuneResult


@task(name="tune settings")
def tune_settings(config: str, home: str, trials: int, timeout: float | None) -> TuneResult:
    """Run the study; not retried, but the same run again goes on where this one stopped."""
    from pipeline.tuning import tune as run

    with progress_artifact("Tuning") as progress:
        return run(Home.resolve(home), load_config(config), trials, timeout, progress)


@flow(name="tune", description="Search latent size, width and beta; nothing is changed by it.")
@readable_failure
def tune(config: str, home: str, trials: int = 30, timeout: float | None = None) -> str:
    """Tune; returns the MLflow run id of the study, whose artifact `best.yaml` has the settings.

    Args:
        config: absolute path of the data set's YAML
        home: absolute path of the folder that holds tables, runs and reports
        trials: in all, ≥ 1; the first one has the config's own settings
        timeout: seconds after which no further trial begins, null for no limit
    """
    result = tune_settings(config, home, trials, timeout)
    name = load_config(config).name
    get_run_logger().info(
        "tuned %s: %d trials, %d failed, best is %d; MLflow run %s",
        name,
        len(result.trials),
        len(result.failed),
        result.best.number,
        result.run_id,
    )
    publish(
        "tune",
        name,
        [
            {"trial": trial.number, **trial.settings}
            | {metric: trial.metrics.get(metric) for metric in result.best.metrics}
            | {"failure": trial.failure or ""}
            for trial in result.trials
        ],
        f"Tuning of {name}",
        {
            "MLflow run": result.run_id,
            "trials": len(result.trials),
            "failed": len(result.failed),
            "best": result.best.number,
            **{f"best {metric}": value for metric, value in result.best.metrics.items()},
            **{f"own {metric}": value for metric, value in result.own.metrics.items()},
        },
    )
    if result.snippet is not None:
        create_markdown_artifact(
            f"```yaml\n{result.snippet}```",
            key=key("tune", name, "settings"),
            description=f"Best settings of {name}, to be put into its config by hand",
        )
    return result.run_id
