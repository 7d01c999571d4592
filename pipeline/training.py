"""Train a scorer on the data set's training rows and log it, not registered and not calibrated."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import tracking
from pipeline.errors import UserError
from pipeline.lake import Lake
from pipeline.progress import Progress, report
from pipeline.provenance import code_version, content_hash
from pipeline.sampling import Rows, read_rows
from pipeline.split import Split, make_split

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.fitting import FitResult
    from pipeline.home import Home
    from vae_core import Scorer

__all__ = ["TrainResult", "TrainingError", "fit_model", "read_parts", "train"]

QUALITY_ROWS = 5000


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

    Labels are not read. Of more than two million training rows a uniform sample is used.

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
    split = make_split(lake, config)
    with tracking.start(home, config, "train") as run:
        rows, held_out, data_hash = read_parts(run, lake, split, progress)
        fitted = fit_model(config, rows, held_out, progress)
        scorer = fitted.scorer
        scorer.metadata |= {
            "name": config.name,
            "split": split.to_dict(),
            "training_run": run.run_id,
            "data_hash": data_hash,
            "code_version": code_version(),
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "training_rows": len(rows),
            "dropped_columns": list(fitted.dropped),
        }
        report(progress, 0, None, "measuring quality")
        metrics = _measure(run, fitted, rows, held_out)
        run.log_history(fitted.training.history)
        run.log_metrics(metrics)
        run.log_json(scorer.diagnostics, "diagnostics.json")
        run.set_tags({"dropped_columns": ", ".join(fitted.dropped)[:4000]})
        with tempfile.TemporaryDirectory() as folder:
            scorer.save(Path(folder) / "scorer")
            run.log_file(Path(folder) / "scorer", "scorer")
    return TrainResult(run.run_id, split, metrics, fitted.dropped)


def fit_model(
    config: Config, rows: Rows, held_out: Rows, progress: Progress | None = None
) -> FitResult:
    """Fit a scorer with the config's settings.

    Args:
        config: its columns, model, training, score, device and seed are used.
        rows: that train.
        held_out: that stop the training and give the means that scores refer to.
        progress: told as steps are taken.

    Raises:
        TrainingError: the rows, the settings or the device do not allow it.
    """
    from pipeline.fitting import fit_scorer
    from vae_core import ModelConfig, TrainConfig

    training = TrainConfig(**config.training.model_dump())
    epoch = len(rows) / min(training.batch_size, len(rows))
    steps = max(1, min(training.max_steps, math.ceil(training.max_epochs * epoch)))

    def told(entry: dict[str, float]) -> None:
        elbo = entry.get("validation_elbo", float("nan"))
        report(progress, int(entry["step"]), steps, f"training, validation ELBO {elbo:.2f}")

    try:
        return fit_scorer(
            rows.columns,
            held_out.columns,
            config.feature_columns,
            model=ModelConfig(**config.model.model_dump()),
            training=training,
            score=config.threshold.score,
            device=config.device,
            seed=config.seed,
            report=told,
        )
    except (ValueError, FloatingPointError) as error:
        if isinstance(error, UserError):
            raise
        raise TrainingError(
            f"{config.name!r} cannot be trained: {error}",
            hint=f"Check columns and settings in {config.path}.",
        ) from error


def read_parts(
    run: tracking.Run, lake: Lake, split: Split, progress: Progress | None = None
) -> tuple[Rows, Rows, str]:
    """Read the rows that train and those that stop the training, and record which they are.

    Args:
        run: the MLflow run that is told.
        lake: of the data set.
        split: of its rows; those of the calibration are only named.
        progress: told as rows are read.

    Returns:
        Training rows, validation rows, and the hash of the training rows' content.
    """
    config, uri = lake.config, lake.uri("ingested")
    rows = read_rows(lake, config, split.train, seed=config.seed, progress=progress)
    held_out = read_rows(lake, config, split.validation, seed=config.seed)
    data_hash = content_hash(rows.columns)
    for context, part, digest, used in (
        ("training", split.train, data_hash, rows),
        ("validation", split.validation, content_hash(held_out.columns), held_out),
    ):
        profile = {**part.to_dict(), "rows": part.rows, "rows_used": len(used)}
        run.log_rows(context, config.name, uri, digest, profile)
    tags: dict[str, Any] = {"data_hash": data_hash}
    for name, ids in split.to_dict().items():
        tags[f"{name}_rows"] = f"{ids['first']}-{ids['last']}"
    run.set_tags(tags)
    return rows, held_out, data_hash


def _measure(run: tracking.Run, fitted: FitResult, rows: Rows, held_out: Rows) -> dict[str, float]:
    """Quality on held-out rows, logged with its figures; returns the final metrics."""
    from pipeline import figures
    from pipeline.quality import generation_quality, reconstruction_quality

    scorer = fitted.scorer
    some = held_out.sample(QUALITY_ROWS)
    real = readable(scorer, some)
    raw = scorer.raw_scores(some.columns)
    metrics = {
        "elbo": float(np.mean(raw.elbo)),
        "kl": float(np.mean(raw.kl)),
        "reconstruction_error": float(np.mean(raw.reconstruction_error)),
        "training_seconds": fitted.seconds,
        "training_rows": float(fitted.training.rows),
        "skipped_steps": float(fitted.training.skipped_steps),
        "best_epoch": float(np.mean(fitted.training.best_epoch)),
    }
    for name in ("active_units", "mutual_information", "decoder_variance_at_bound"):
        if name in scorer.diagnostics:
            metrics[name] = float(scorer.diagnostics[name])
    reconstructed = scorer.reconstruct(some.columns)
    quality = reconstruction_quality(real, reconstructed, scorer.expected_probability(some.columns))
    run.log_json(quality, "quality/reconstruction.json")
    for measure in ("explained", "accuracy", "mean_log_probability"):
        values = [q[measure] for q in quality.values() if math.isfinite(q.get(measure, math.nan))]
        if values:
            metrics[f"reconstruction_{measure}"] = float(np.mean(values))
    run.log_figure(figures.loss_curves(fitted.training.history), "loss")
    run.log_figure(figures.reconstruction_scatter(real, reconstructed, quality), "reconstructions")
    run.log_figure(figures.latent_scatter(scorer.embed(some.columns), raw.anomaly_score), "latents")
    if scorer.model.has_elbo:
        other = readable(scorer, rows.sample(len(some)))
        generation = generation_quality(scorer.generate(len(some)), real, other)
        run.log_json(generation, "quality/generation.json")
        run.log_figure(figures.generation_chart(generation), "generation")
        for name, value in generation["metrics"].items():
            metrics[f"generation_{name}"] = value["generated"]
            metrics[f"generation_{name}_ceiling"] = value["ceiling"]
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def readable(scorer: Scorer, rows: Rows) -> dict[str, np.ndarray]:
    """The modelled columns as the model spells them: unseen categories in one bucket."""
    spelled = scorer.encoding.decode(scorer.encoding.encode(rows.columns)[0])
    numeric = {column.name for column in scorer.encoding.numeric}
    modelled = scorer.encoding.required
    return {name: rows.columns[name] if name in numeric else spelled[name] for name in modelled}
