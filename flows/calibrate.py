"""The `calibrate` flow: fit thresholds, register the version, run its gates, maybe promote it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task

from flows.artifacts import publish
from flows.runs import progress_artifact, readable_failure
from pipeline.config import load_config
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.calibration import CalibrateResult


@task(name="calibrate scorer")
def calibrate_scorer(
    config: str, home: str, run_id: str | None, recalibrate_champion: bool
) -> CalibrateResult:
    """Fit the thresholds and register one version; not retried, a second try would register two."""
    from pipeline.calibration import calibrate as run

    with progress_artifact("Calibrating") as progress:
        return run(
            Home.resolve(home),
            load_config(config),
            run_id=run_id,
            recalibrate_champion=recalibrate_champion,
            progress=progress,
        )


@flow(
    name="calibrate",
    description="Fit thresholds on rows nobody has seen, register the version and run its gates.",
)
@readable_failure
def calibrate(
    config: str, home: str, run_id: str | None = None, recalibrate_champion: bool = False
) -> int:
    """Calibrate and register; returns the model version.

    Args:
        config: absolute path of the data set's YAML
        home: absolute path of the folder that holds tables, runs and reports
        run_id: MLflow run of the scorer to calibrate; the newest finished one when left out
        recalibrate_champion: take the present champion's scorer again, on the config's
            `calibration_rows`
    """
    result = calibrate_scorer(config, home, run_id, recalibrate_champion)
    name = load_config(config).name
    logger = get_run_logger()
    for note in result.notes:
        logger.warning("%s", note)
    for gate in result.gates:
        logger.log(
            logging.INFO if gate.passed else logging.WARNING, "gate %s: %s", gate.name, gate.detail
        )
    logger.info(
        "%s version %s is %s", name, result.version, "champion" if result.promoted else "challenger"
    )
    publish(
        "calibrate",
        name,
        [
            {
                "gate": gate.name,
                "passed": gate.passed,
                "blocks promotion": gate.blocking,
                "detail": gate.detail,
            }
            for gate in result.gates
        ],
        f"Calibration of {name}, version {result.version}",
        {
            "version": result.version,
            "now": "champion" if result.promoted else "challenger",
            **({"note": " ".join(result.notes)} if result.notes else {}),
            **{
                f"threshold on {kind}": (
                    f"{threshold.value:.6g} ({threshold.method}, alpha {threshold.alpha:g}, "
                    f"{threshold.n:,} calibration rows, true rate in "
                    f"[{threshold.interval[0]:.4f}, {threshold.interval[1]:.4f}])"
                )
                for kind, threshold in result.thresholds.items()
            },
        },
    )
    return result.version
