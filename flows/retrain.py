"""The `retrain` flow: parent of `train` and `calibrate`."""

from __future__ import annotations

from prefect import flow

from flows.calibrate import calibrate
from flows.runs import readable_failure
from flows.train import train


@flow(name="retrain", description="Train, then calibrate what was trained and run its gates.")
@readable_failure
def retrain(config: str, home: str) -> int:
    """Train and calibrate as subflows; returns the registered version.

    Args:
        config: absolute path of the data set's YAML
        home: absolute path of the folder that holds tables, runs and reports
    """
    return calibrate(config, home, run_id=train(config, home))
