"""Train a scorer on the data set's training rows and log it, not registered and not calibrated."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import tracking
from pipeline.checkpoints import checkpoint, training_key
from pipeline.errors import UserError
from pipeline.lake import Lake
from pipeline.material import Material, StreamOf, read_material
from pipeline.progress import Progress, report
from pipeline.provenance import code_version
from pipeline.sampling import Rows
from pipeline.settings import READING
from pipeline.split import Split, make_split
from pipeline.team import agreed_split, check_alike, meet

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.fitting import FitResult
    from pipeline.home import Home
    from vae_core import Team

__all__ = ["TrainResult", "TrainingError", "fit_model", "fit_share", "log_rows", "train"]

PLOTTED_ROWS = 5000
KEY = "training_key"


class TrainingError(UserError):
    """The rows, the settings or the device do not allow training."""


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        run_id: MLflow run; its artifact ``scorer/`` is what ``calibrate`` takes.
        split: the rows that trained, stopped early, and are left to calibrate.
        metrics: final ones, as logged.
        dropped: constant columns that were left out.
    """

    run_id: str
    split: Split
    metrics: dict[str, float]
    dropped: tuple[str, ...]


def train(home: Home, config: Config, progress: Progress | None = None) -> TrainResult:
    """Fix the split, read its training and validation rows, fit, measure, log.

    Labels are not read. Of more training rows than `training.rows` a uniform sample is used, or,
    with `training.stream`, all of them, a part at a time. A training of the same rows, settings and
    code that was interrupted on this machine goes on where it was. Where torchrun has started
    several processes they train together, and this is the first of them; see `team`.

    Args:
        home: tables and tracking store.
        config: of the data set.
        progress: told as rows are read and steps are taken.

    Raises:
        TableMissingError: the tables have not been created.
        NotEnoughRows: nothing is ingested, or a part of the split would be empty.
        TrainingError: every column is constant, the device is not to be had, …
        TrackingError: the MLflow store cannot be used.
    """
    lake = Lake(config, home)
    with meet(config) as team, tracking.start(home, config, "train") as run:
        split = agreed_split(team, make_split(lake, config))
        material = read_material(lake, split, progress)
        log_rows(run, lake, split, material)
        key = training_key(config, split, material.both)
        check_alike(team, key)
        run.set_tags({KEY: key})
        with checkpoint(home, config.name, key) as file:
            fitted = fit_model(
                config, material.rows, material.held_out, progress,
                stream=material.stream, checkpoint=file, team=team,
            )  # fmt: skip
            _say_resumed(run, home, config, key, fitted.training.resumed)
            metrics = _log_model(run, config, split, material, fitted, progress)
    return TrainResult(run.run_id, split, metrics, fitted.dropped)


def fit_model(
    config: Config,
    rows: Rows,
    held_out: Rows,
    progress: Progress | None = None,
    *,
    stream: StreamOf | None = None,
    checkpoint: Path | None = None,
    team: Team | None = None,
) -> FitResult:
    """Fit a scorer with the config's settings.

    Args:
        config: its columns, model, training, score, device and seed are used.
        rows: that train; with a stream, a sample of its rows.
        held_out: that stop the training and give the means that scores refer to.
        progress: told as steps are taken.
        stream, checkpoint, team: as `fitting.fit_scorer` takes them.

    Raises:
        TrainingError: the rows, the settings or the device do not allow it.
    """
    from pipeline.fitting import fit_scorer
    from vae_core import ALONE

    training = config.training
    epoch = len(rows) / min(training.batch_size, len(rows))
    steps = max(1, min(training.max_steps, math.ceil(training.max_epochs * epoch)))

    def told(entry: dict[str, float]) -> None:
        elbo = entry.get("validation_elbo", float("nan"))
        report(progress, int(entry["step"]), steps, f"training, validation ELBO {elbo:.2f}")

    with _plainly(config):
        return fit_scorer(
            rows.columns,
            held_out.columns,
            config.feature_columns,
            **_settings(config),
            score=config.threshold.score,
            report=told,
            stream=stream,
            checkpoint=checkpoint,
            team=team or ALONE,
        )


def fit_share(config: Config, material: Material, team: Team) -> None:
    """Train beside the first process of a team, and keep nothing of it.

    Raises:
        TrainingError: as `fit_model`.
    """
    from pipeline.fitting import fit_network

    with _plainly(config):
        fit_network(
            material.rows.columns,
            material.held_out.columns,
            config.feature_columns,
            **_settings(config),
            stream=material.stream,
            team=team,
        )


def _settings(config: Config) -> dict[str, Any]:
    from vae_core import ModelConfig, TrainConfig

    return {
        "model": ModelConfig(**config.model.model_dump()),
        "training": TrainConfig(**config.training.model_dump(exclude=READING)),
        "device": config.device,
        "seed": config.seed,
    }


@contextmanager
def _plainly(config: Config) -> Iterator[None]:
    """What training refuses is said to a person."""
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        if isinstance(error, UserError):
            raise
        raise TrainingError(
            f"{config.name!r} cannot be trained: {error}",
            hint=f"Check columns and settings in {config.path}.",
        ) from error


def log_rows(run: tracking.Run, lake: Lake, split: Split, material: Material) -> None:
    """Record in an MLflow run which rows train, and which stop the training."""
    uri = lake.uri("ingested")
    used = split.train.rows if material.stream else len(material.rows)
    for context, part, digest, rows in (
        ("training", split.train, material.train_hash, used),
        ("validation", split.validation, material.validation_hash, len(material.held_out)),
    ):
        profile = {**part.to_dict(), "rows": part.rows, "rows_used": rows}
        run.log_rows(context, lake.config.name, uri, digest, profile)
    tags: dict[str, Any] = {"data_hash": material.train_hash}
    for name, ids in split.to_dict().items():
        tags[f"{name}_rows"] = f"{ids['first']}-{ids['last']}"
    run.set_tags(tags)


def _say_resumed(run: tracking.Run, home: Home, config: Config, key: str, steps: int) -> None:
    """Which step it went on from; the runs that never came to an end of their own get one."""
    if not steps:
        return
    run.set_tags({"resumed_from_step": steps})
    where = f"tags.{KEY} = '{key}' and attributes.status = 'RUNNING'"
    for earlier in tracking.find_runs(run.client, config.name, where):
        if earlier.info.run_id != run.run_id:
            run.client.set_terminated(earlier.info.run_id, "KILLED")


def _log_model(
    run: tracking.Run,
    config: Config,
    split: Split,
    material: Material,
    fitted: FitResult,
    progress: Progress | None,
) -> dict[str, float]:
    """Log the scorer with its history and its quality; returns the final metrics."""
    scorer = fitted.scorer
    scorer.metadata |= {
        "name": config.name,
        "split": split.to_dict(),
        "training_run": run.run_id,
        "data_hash": material.train_hash,
        "code_version": code_version(),
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_rows": fitted.training.rows,
        "dropped_columns": list(fitted.dropped),
    }
    report(progress, 0, None, "measuring quality")
    metrics = _measure(run, fitted, material.rows, material.held_out)
    run.log_history(fitted.training.history)
    run.log_metrics(metrics)
    run.log_json(scorer.diagnostics, "diagnostics.json")
    run.set_tags({"dropped_columns": ", ".join(fitted.dropped)[:4000]})
    with tempfile.TemporaryDirectory() as folder:
        scorer.save(Path(folder) / "scorer")
        run.log_file(Path(folder) / "scorer", "scorer")
    return metrics


def _measure(run: tracking.Run, fitted: FitResult, rows: Rows, held_out: Rows) -> dict[str, float]:
    """Quality on held-out rows, logged with its figures; returns the final metrics."""
    from pipeline import figures, gallery
    from pipeline.quality import measure_quality

    scorer = fitted.scorer
    measured = measure_quality(scorer, rows, held_out, name=scorer.metadata["name"])
    run.log_json(measured.quality.to_dict(), "quality/quality.json")
    some = held_out.sample(PLOTTED_ROWS)
    raw = scorer.raw_scores(some.columns)
    run.log_figure(figures.loss_curves(fitted.training.history), "loss")
    run.log_figure(figures.latent_scatter(scorer.embed(some.columns), raw.anomaly_score), "latents")
    for name, figure in (measured.charts() | gallery.drawings(scorer, some.columns)).items():
        run.log_figure(figure, name)
    metrics = {
        **measured.quality.metrics(),
        "reconstruction_error": float(np.mean(raw.reconstruction_error)),
        "training_seconds": fitted.seconds,
        "training_rows": float(fitted.training.rows),
        "skipped_steps": float(fitted.training.skipped_steps),
        "best_epoch": float(np.mean(fitted.training.best_epoch)),
    }
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
