"""The `rescore` flow: past rows with another version, beside the nights."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task
from prefect.runtime import flow_run

from flows.artifacts import publish
from flows.runs import RETRIED, progress_artifact, readable_failure
from pipeline.config import load_config
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.rescoring import RescoreResult


@task(name="rescore rows", **RETRIED)
def rescore_rows(
    config: str, home: str, version: int | str, first: int, last: int | None, run_id: str | None
) -> RescoreResult:
    """Score what the version has not rescored yet; safe to retry, each row is written once."""
    from pipeline.rescoring import rescore as run

    with progress_artifact("Rescoring") as progress:
        return run(Home.resolve(home), load_config(config), version, first, last, run_id, progress)


@flow(name="rescore", description="Score past rows with another version, beside the nights.")
@readable_failure
def rescore(
    config: str,
    home: str,
    version: int | str = "challenger",
    first: int = 1,
    last: int | None = None,
) -> int:
    """Rescore rows; returns how many this version flags.

    Args:
        config: absolute path of the data set's YAML
        home: absolute path or URI of the place that holds tables, runs and reports
        version: number, "champion" or "challenger"
        first: first `_row_id`
        last: last `_row_id`, included; the newest row when left out
    """
    result = rescore_rows(config, home, version, first, last, flow_run.id)
    name = load_config(config).name
    get_run_logger().info(
        "rows %d to %d of %s: version %d flags %d; of %d rows that nights have scored they "
        "flagged %d, both flag %d",
        result.first_row_id,
        result.last_row_id,
        name,
        result.version,
        result.flagged,
        result.compared,
        result.flagged_then,
        result.flagged_both,
    )
    facts = asdict(result)
    publish("rescore", name, [facts], f"Rows of {name} by version {result.version}", facts)
    return result.flagged
