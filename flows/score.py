"""The `score` flow: score the night, close it and write its report."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact
from prefect.runtime import flow_run

from flows.artifacts import key, publish
from flows.engines import ENGINES
from flows.runs import RETRIED, progress_artifact, readable_failure
from pipeline.config import load_config
from pipeline.home import Home

if TYPE_CHECKING:
    from pipeline.finishing import NightResult


@task(name="score night", **RETRIED)
def score_night(config: str, home: str, run_id: str | None) -> NightResult | None:
    """Score the open night, or open one; safe to retry, since every row is written once."""
    from pipeline.scoring import score as run

    loaded, place = load_config(config), Home.resolve(home)
    engine = ENGINES[loaded.engine.kind](place, loaded, run_id)
    with progress_artifact("Scoring") as progress, engine as workers:
        return run(place, loaded, run_id=run_id, progress=progress, stage=workers.stage)


@flow(name="score", description="Score what arrived since the last night, exactly once.")
@readable_failure
def score(config: str, home: str) -> int | None:
    """Score one night; returns its id, or None where nothing was new.

    Args:
        config: absolute path of the data set's YAML
        home: absolute path of the folder that holds tables, runs and reports
    """
    night = score_night(config, home, flow_run.id)
    name = load_config(config).name
    logger = get_run_logger()
    if night is None:
        logger.info("nothing new to score for %s", name)
        return None
    logger.log(
        logging.WARNING if night.guarantee in ("broken", "suspended") else logging.INFO,
        "night %d: %d rows scored, %d flagged, %d alerts; promise: %s",
        night.night_id,
        night.rows_scored,
        night.flagged,
        night.alerts,
        night.guarantee,
    )
    facts = {
        "rows": f"{night.first_row_id} to {night.last_row_id}",
        "ingested": night.ingested,
        "quarantined": night.quarantined,
        "scored": night.rows_scored,
        "flagged": night.flagged,
        "alerts": night.alerts,
        "alerts chosen by": night.alerts_by,
        "at level": night.alerts_level,
        "alert rate": night.alert_rate,
        "chance allows": f"{night.interval[0]:.4f} to {night.interval[1]:.4f}",
        "promise": night.guarantee,
        "promise broken beyond": night.limit,
        "drift from row": night.drift_row_id,
        "cut-off": night.cut_off,
        "model version": night.model_version,
        "trouble": "; ".join(night.trouble) or "none",
        "report": night.report_path,
        "MLflow run": night.mlflow_run_id,
    }
    publish(
        "score",
        name,
        [{"night": night.night_id, **facts}],
        f"Night {night.night_id} of {name}",
        facts,
    )
    create_link_artifact(
        link=Path(night.report_path).as_uri(),
        link_text=f"Report of night {night.night_id}",
        key=key("score", name, "report"),
        description=f"Night {night.night_id} of {name}: one self-contained HTML file",
    )
    return night.night_id
