"""The MLflow run of a scored night: one for each night, however often scoring was run."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from pipeline import tally, tracking
from pipeline.frames import inputs

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipeline.finishing import NightResult
    from pipeline.lake import Lake
    from pipeline.nights import Night
    from vae_core import Scorer

DRAWN_SCORES = 200_000


def record(lake: Lake, night: Night, scorer: Scorer, result: NightResult) -> str:
    """Record a night in MLflow, or find the run that does.

    Logs the resolved config, the rows scored with a hash of the files they came from, counts and
    rates as metrics, the threshold, a histogram of the scores, and the report.

    Args:
        lake: of the data set.
        night: closed.
        scorer: its model.
        result: what became of it.

    Returns:
        Id of the run.

    Raises:
        TrackingError: MLflow cannot be used; says that the night itself is safe.
    """
    try:
        return _record(lake, night, scorer, result)
    except (tracking.TrackingError, OSError, _mlflow_error()) as error:
        raise tracking.TrackingError(
            f"night {night.night_id} of {lake.config.name!r} is scored and closed, its report lies "
            f"at {result.report_path}; only its MLflow run is missing: {error}",
            hint="Scores and alerts are safe. Mend the MLflow store and run `vae-anomaly score` "
            "again: it adds what is missing.",
        ) from error


def _record(lake: Lake, night: Night, scorer: Scorer, result: NightResult) -> str:
    from pipeline import figures

    client = tracking.connect(lake.home)
    there = _find(client, lake.config.name, night.night_id)
    if there is not None:
        return there
    threshold = scorer.thresholds["anomaly_score"]
    tags = {
        "night_id": night.night_id,
        "model_version": night.model_version,
        "guarantee": result.guarantee,
    }
    with tracking.start(lake.home, lake.config, "score", tags) as run:
        run.log_rows(
            "scoring",
            lake.config.name,
            lake.uri("ingested"),
            _content_hash(lake, night, scorer),
            {"first_row_id": night.first, "last_row_id": night.last, "rows": night.rows},
        )
        run.log_metrics(_metrics(result))
        run.log_json(threshold.to_dict(), "threshold.json")
        weighted = result.alerts_by == "weights"
        run.log_figure(
            figures.score_histogram(
                _some_scores(lake, night), threshold, weighted=result.cut_off if weighted else None
            ),
            "scores",
        )
        labelled = tally.labelled_scores(lake, night)
        if labelled is not None:
            cut = result.cut_off if weighted else threshold.value
            run.log_figure(figures.roc_and_precision(*labelled, cut), "roc")
            run.log_metrics(_ranking(*labelled))
        run.log_file(result.report_path, "report")
        return run.run_id


def _find(client: MlflowClient, name: str, night_id: int) -> str | None:
    """The finished run of a night; runs that were killed while it was recorded are closed."""
    where = f"tags.stage = 'score' and tags.night_id = '{night_id}'"
    runs = tracking.find_runs(client, name, where)
    for run in runs:
        if run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    return next((run.info.run_id for run in runs if run.info.status == "FINISHED"), None)


def _metrics(result: NightResult) -> dict[str, float]:
    counts = ("rows_scored", "flagged", "alerts", "cut_off", "alert_rate", "limit")
    fields: dict[str, Any] = asdict(result)
    metrics = {name: float(fields[name]) for name in (*counts, "ingested", "quarantined")}
    metrics |= {
        "interval_low": result.interval[0],
        "interval_high": result.interval[1],
        "promise_broken": float(result.guarantee == "broken"),
        "promise_suspended": float(result.guarantee == "suspended"),
    }
    for name in ("drift_log10_capital", "effective_rows", "alerts_level"):
        if fields[name] is not None:
            metrics[name] = float(fields[name])
    if result.labels is not None:
        metrics |= {
            "anomalies": float(result.labels.anomalies),
            "anomalies_found": float(result.labels.found),
            "false_alarms": float(result.labels.false_alarms),
            "false_alarm_rate": result.labels.false_alarm_rate,
        }
        if result.labels.recall is not None:
            metrics["recall"] = result.labels.recall
    return metrics


def _ranking(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    from pipeline.evaluate import auroc, average_precision

    return {
        "auroc": auroc(labels, scores),
        "average_precision": average_precision(labels, scores),
    }


def _content_hash(lake: Lake, night: Night, scorer: Scorer) -> str:
    """Hash of what was scored: which rows, which columns, and all files that hold them."""
    hashes: set[str] = set()
    for batch in lake.scan("ingested", ["_source_hash"], night.selects):
        hashes.update(pc.unique(batch.column("_source_hash")).to_pylist())
    told = [str(night.first), str(night.last), *inputs(scorer.encoding), *sorted(hashes)]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:32]


def _some_scores(lake: Lake, night: Night) -> np.ndarray:
    step = -(-night.rows // DRAWN_SCORES)
    # copies: a view would hold the whole piece
    return np.concatenate([piece[::step].copy() for piece in tally.scores(lake, night)])


def _mlflow_error() -> type[Exception]:
    from mlflow.exceptions import MlflowException

    return MlflowException
