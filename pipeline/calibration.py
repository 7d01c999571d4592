"""Fit thresholds on rows nobody has seen, register the version, and let it pass its gates."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline import admission, registry, tracking
from pipeline.errors import NotEnoughRows, UserError
from pipeline.gates import Gate
from pipeline.labels import LabelCounts, known_anomalies
from pipeline.lake import Lake
from pipeline.progress import Progress, report
from pipeline.provenance import content_hash
from pipeline.sampling import Rows, read_rows
from pipeline.split import Range, Split

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home
    from vae_core import Scorer, Threshold

__all__ = ["CalibrateResult", "CalibrationError", "calibrate"]


class CalibrationError(UserError):
    """There is nothing to calibrate, or the rows asked for will not do."""


@dataclass(frozen=True)
class CalibrateResult:
    """A registered version.

    Attributes:
        version: its number.
        thresholds: by score.
        gates: what was checked, in order.
        promoted: whether it is champion now.
        run_id: MLflow run.
        notes: what to know about the thresholds, a line each.
    """

    version: int
    thresholds: dict[str, Threshold]
    gates: list[Gate]
    promoted: bool
    run_id: str
    notes: tuple[str, ...] = ()


def calibrate(
    home: Home,
    config: Config,
    run_id: str | None = None,
    recalibrate_champion: bool = False,
    progress: Progress | None = None,
) -> CalibrateResult:
    """Calibrate a trained scorer, register one version, run its gates, promote it if they hold.

    Args:
        home: tables, tracking store and registry.
        config: of the data set.
        run_id: training run whose scorer to take; the newest finished one if left out.
        recalibrate_champion: take the present champion's scorer, on ``calibration_rows``.
        progress: told what is being done.

    Raises:
        CalibrationError: no trained scorer, or calibration rows that took part in training.
        NotEnoughCalibrationRows: too few to keep the promise; says how many are needed.
        ThresholdError: scores or labels that the threshold's method cannot work with.
        SchemaError: there are labels, and none of them is the config's normal value.
        RegistryError: there is no champion to recalibrate.
        TrackingError: the MLflow store cannot be used.
    """
    lake = Lake(config, home)
    report(progress, 0, None, "loading the scorer")
    with _source(home, config, run_id, recalibrate_champion) as scorer:
        rows = _calibration_rows(lake, config, scorer, recalibrate_champion)
        origin = str(scorer.metadata["training_run"])
        with tracking.start(home, config, "calibrate", {"training_run": origin}) as run:
            labels = LabelCounts(config)
            data = read_rows(
                lake, config, rows, labels=True, seed=config.seed, progress=progress,
                each=labels.add,
            )  # fmt: skip
            labels.check_normal()
            report(progress, 0, None, "calibrating")
            calibrated = _fit(config, scorer, data, rows, run.run_id)
            _log(run, lake, config, calibrated, data, rows)
            report(progress, 0, None, "registering")
            tags = {"training_run": origin, "training_data_hash": scorer.metadata["data_hash"]}
            version = registry.register(run, config.name, calibrated, data.columns, rows, tags)
            report(progress, 0, None, "running the gates")
            gates = admission.hold(lake, calibrated, version, data, run)
            promoted = all(gate.passed for gate in gates if gate.blocking)
            _log_gates(run, config.name, version, gates)
            notes = tuple(calibrated.metadata["calibration_notes"])
            run.set_tags({"model_version": version, "promoted": promoted})
            run.set_tags({"notes": " ".join(notes)} if notes else {})
            if promoted:
                registry.promote(home, config.name, version)
    thresholds = dict(calibrated.thresholds)
    return CalibrateResult(version, thresholds, gates, promoted, run.run_id, notes)


@contextmanager
def _source(home: Home, config: Config, run_id: str | None, champion: bool) -> Iterator[Scorer]:
    """The scorer to calibrate, with its files in reach."""
    if champion:
        if run_id is not None:
            raise CalibrationError("give a training run or recalibrate the champion, not both")
        yield registry.load_scorer(home, config.name, registry.CHAMPION, device=config.device)
        return
    chosen = run_id or tracking.newest_run(home, config.name, "train")
    if chosen is None:
        raise CalibrationError(
            f"no finished training of {config.name!r} in {home.place}",
            hint="Run `vae-anomaly train` first.",
        )
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    from vae_core import Scorer

    tracking.connect(home)
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = download_artifacts(
                run_id=chosen,
                artifact_path="scorer",
                dst_path=folder,
                tracking_uri=home.mlflow_uri,
            )
        except (MlflowException, OSError) as error:
            raise CalibrationError(
                f"MLflow run {chosen} holds no trained scorer",
                hint="Give the id of a finished training run, or none to take the newest.",
            ) from error
        yield Scorer.load(files, device=config.device)


def _calibration_rows(lake: Lake, config: Config, scorer: Scorer, champion: bool) -> Range:
    split = Split.from_dict(scorer.metadata["split"])
    rows = split.calibration
    if champion:
        if config.calibration_rows is None:
            raise CalibrationError(
                "recalibrating the champion needs rows later than those that calibrated it",
                hint=f"Set `calibration_rows: {{first: …, last: …}}` in {config.path}.",
            )
        rows = Range(config.calibration_rows.first, config.calibration_rows.last)
    for used in (split.train, split.validation):
        if rows.first <= used.last and used.first <= rows.last:
            raise CalibrationError(
                f"calibration rows {rows.first:,} to {rows.last:,} overlap rows {used.first:,} to "
                f"{used.last:,}, which took part in training: their scores are too good",
                hint=f"Set `calibration_rows` to rows after {split.validation.last:,}.",
            )
    present = lake.last_row_id()
    if rows.last > present:
        raise NotEnoughRows(
            f"calibration rows reach {rows.last:,}, but only {present:,} rows are ingested",
            hint="Ingest more files, or lower `calibration_rows.last`.",
        )
    return rows


def _fit(config: Config, scorer: Scorer, data: Rows, rows: Range, run_id: str) -> Scorer:
    from pipeline.fitting import calibrate_scorer

    settings = config.threshold.model_dump(exclude={"score"})
    calibrated = calibrate_scorer(
        _with_score(config, scorer),
        data.columns,
        labels=data.labels,
        labelled=data.labelled,
        **settings,
    )
    note = known_anomalies(data.labels, calibrated.thresholds["anomaly_score"])
    facts = {
        "calibration_notes": [] if note is None else [note],
        "calibration": rows.to_dict(),
        "calibration_run": run_id,
        "calibration_data_hash": content_hash(data.columns),
        "calibrated_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return replace(calibrated, metadata={**scorer.metadata, **facts})


def _with_score(config: Config, scorer: Scorer) -> Scorer:
    """The scorer with the config's primary score; training fits the parts of every kind."""
    try:
        return replace(scorer, score_kind=config.threshold.score)
    except ValueError as error:
        raise CalibrationError(
            str(error), hint=f"Set `threshold.score` in {config.path}, or train again."
        ) from error


def _log(
    run: tracking.Run, lake: Lake, config: Config, scorer: Scorer, data: Rows, rows: Range
) -> None:
    from pipeline import figures
    from pipeline.evaluate import evaluate

    digest = scorer.metadata["calibration_data_hash"]
    profile = {**rows.to_dict(), "rows": rows.rows, "rows_used": len(data)}
    run.log_rows("calibration", config.name, lake.uri("ingested"), digest, profile)
    run.set_tags({"data_hash": digest, "calibration_rows": f"{rows.first}-{rows.last}"})
    run.log_json({name: t.to_dict() for name, t in scorer.thresholds.items()}, "thresholds.json")
    for name, threshold in scorer.thresholds.items():
        run.log_metrics(
            {
                f"threshold/{name}": threshold.value,
                f"threshold/{name}/rate_lower": threshold.interval[0],
                f"threshold/{name}/rate_upper": threshold.interval[1],
                **{
                    f"threshold/{name}/{key}": float(value)
                    for key, value in threshold.parameters.items()
                    if isinstance(value, int | float)
                },
            }
        )
        run.log_figure(
            figures.score_histogram(scorer.calibration[name], threshold, name), f"scores_{name}"
        )
    known = data.with_labels()
    if known is not None and known.labels is not None and 0 < known.labels.sum() < len(known):
        scores = scorer.raw_scores(known.columns).anomaly_score
        cut = scorer.thresholds["anomaly_score"]
        found = evaluate(known.labels, scores, cut.value, cut.alpha)
        for name, estimate in found.items():
            values = {"": estimate.value, "_lower": estimate.lower, "_upper": estimate.upper}
            run.log_metrics({f"labelled/{name}{end}": value for end, value in values.items()})
        run.log_figure(figures.roc_and_precision(known.labels, scores, cut.value), "roc")


def _log_gates(run: tracking.Run, name: str, version: int, found: list[Gate]) -> None:
    texts: list[dict[str, Any]] = [gate.to_dict() for gate in found]
    run.log_json(texts, "gates.json")
    run.log_metrics({f"gate/{gate.name}": float(gate.passed) for gate in found})
    summary = {gate.name: "passed" if gate.passed else "failed" for gate in found}
    run.client.set_model_version_tag(name, str(version), "gates", json.dumps(summary))
