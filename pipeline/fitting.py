"""From columns of rows to a trained, then calibrated scorer; the estimator and flows share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.preprocess import FeatureColumn, FittedEncoding, fit_encoding
from pipeline.thresholds import fit_threshold
from vae_core import (
    ALONE,
    Encoding,
    ModelConfig,
    References,
    Scorer,
    Stream,
    Team,
    TrainConfig,
    TrainResult,
    build_model,
    check_score_kind,
    check_score_of,
    choose_device,
    column_statistics,
    diagnose,
    fit_weighted,
    train,
)
from vae_core.batches import binarised
from vae_core.models import MODELS, Model

CANDIDATES = 8192  # training rows that may be kept, and their codes

Data = Mapping[str, np.ndarray]
Reporter = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class FitResult:
    """A trained scorer without calibration.

    Attributes:
        scorer: ready for `calibrate_scorer`.
        training: history, best epochs, skipped steps.
        dropped: constant columns that were left out.
        seconds: wall time of the training loop.
    """

    scorer: Scorer
    training: TrainResult
    dropped: tuple[str, ...]
    seconds: float


class FitNetwork(NamedTuple):
    """A trained model, and what it was trained with.

    Attributes:
        encoding: of the rows.
        dropped: constant columns.
        model: trained.
        rows, validation: encoded, on the model's device.
        training: history, best epochs, skipped steps.
        seconds: wall time of the training loop.
    """

    encoding: Encoding
    dropped: tuple[str, ...]
    model: Model
    rows: torch.Tensor
    validation: torch.Tensor
    training: TrainResult
    seconds: float


def fit_network(
    rows: Data,
    validation: Data,
    columns: Mapping[str, FeatureColumn],
    *,
    model: ModelConfig,
    training: TrainConfig,
    device: str = "auto",
    seed: int = 0,
    report: Reporter | None = None,
    fitted: FittedEncoding | None = None,
    stream: Callable[[Encoding], Stream] | None = None,
    checkpoint: Path | None = None,
    team: Team = ALONE,
) -> FitNetwork:
    """Fit encodings and train: the part of `fit_scorer` that all processes of a team share.

    Arguments as there.
    """
    place = choose_device(device)
    encoding, dropped = fitted or fit_encoding(rows, columns)
    network = build_model(encoding.layout, model, seed).to(place)
    x = torch.from_numpy(encoding.encode(rows)[0]).to(place)
    held_out = torch.from_numpy(encoding.encode(validation)[0]).to(place)
    started = perf_counter()
    result = train(
        network, x, held_out, training,
        seed=seed, report=report, checkpoint=checkpoint, team=team,
        stream=None if stream is None else stream(encoding),
    )  # fmt: skip
    seconds = perf_counter() - started
    return FitNetwork(encoding, dropped, network, x, held_out, result, seconds)


def fit_scorer(
    rows: Data,
    validation: Data,
    columns: Mapping[str, FeatureColumn],
    *,
    model: ModelConfig | None = None,
    training: TrainConfig | None = None,
    score: str = "combined",
    device: str = "auto",
    seed: int = 0,
    report: Reporter | None = None,
    fitted: FittedEncoding | None = None,
    stream: Callable[[Encoding], Stream] | None = None,
    checkpoint: Path | None = None,
    team: Team = ALONE,
) -> FitResult:
    """Fit encodings, train the model, take the validation means that scores refer to.

    Args:
        rows: training rows, (N,) per column; with a stream, a uniform sample of its rows, which
            encodings, references and the latent's fit are content with.
        validation: rows for early stopping, means and the joins' units; neither trained on nor
            calibrated on.
        columns: role and nullability by name.
        model, training: defaults are the tuned ones.
        score: primary score, one of `vae_core.SCORE_KINDS`.
        device: auto, cpu or cuda.
        seed: of weights, batches, noise and draws.
        report: called with every evaluation of the training.
        fitted: encodings made elsewhere; default: fitted on `rows`.
        stream: makes the stream of rows that train, by their encoding.
        checkpoint: file that keeps the training's state; see `vae_core.train`.
        team: processes that train together; the others call `fit_network`.

    Raises:
        ValueError: unknown variant or score, nothing varies, or the device is not to be had.
    """
    model, training = model or ModelConfig(), training or TrainConfig()
    if model.variant in MODELS:
        check_score_kind(score, MODELS[model.variant].has_elbo, model.variant)
    fitted = fitted or fit_encoding(rows, columns)
    check_score_of(score, fitted.encoding.layout)
    encoding, dropped, network, x, held_out, result, seconds = fit_network(
        rows, validation, columns,
        model=model, training=training, device=device, seed=seed, report=report, fitted=fitted,
        stream=stream, checkpoint=checkpoint, team=team,
    )  # fmt: skip
    place = network.draws.device
    # its codes are to be those of rows as training saw them
    generator = torch.Generator(device=place).manual_seed(seed)
    seen = binarised(x, encoding.layout, generator) if training.binarise else x
    network.fit_prior(seen, seed)
    vouching = np.random.default_rng(seed).permutation(len(x))[:CANDIDATES]
    references = References.of(network, x[vouching], seed)
    weighted = None
    if score == "importance_weighted":
        weighted = fit_weighted(encoding, network, validation, model.weighted_draws, seed)
    scorer = Scorer(
        encoding=encoding,
        model=network,
        weighted=weighted,
        references=references,
        config=model,
        statistics=column_statistics(encoding, network, references, validation),
        score_kind=score,
        diagnostics=diagnose(network, held_out),
    )
    scorer.fit_scales(validation)
    forgotten = max(training.forget, training.trim)
    if forgotten:
        scores = _scores_of(scorer, {name: values[vouching] for name, values in rows.items()})
        kept = vouching[scores <= np.quantile(scores, 1 - forgotten)]
        scorer.references = References.of(network, x[kept], seed)
        scorer.statistics = column_statistics(encoding, network, scorer.references, validation)
        scorer.fit_scales(validation)
    return FitResult(scorer, result, dropped, seconds)


def _scores_of(scorer: Scorer, rows: Data) -> np.ndarray:
    """How abnormal the scorer finds rows, whatever its primary score."""
    kind = "combined" if scorer.model.has_elbo else "reconstruction_error"
    return replace(scorer, score_kind=kind).raw_scores(rows).anomaly_score


def calibrate_scorer(
    scorer: Scorer,
    rows: Data,
    *,
    method: str = "conformal",
    alpha: float = 0.05,
    labels: np.ndarray | None = None,
    labelled: np.ndarray | None = None,
    **parameters: Any,
) -> Scorer:
    """A copy of the scorer with calibration tables and thresholds for each of its scores.

    Args:
        scorer: trained; its model is shared, not copied.
        rows: calibration rows that neither training nor early stopping has seen.
        method: key of `pipeline.thresholds.THRESHOLDS`.
        alpha: target false-positive rate in (0, 1).
        labels: (N,) true for anomalies; only seen by methods that choose by labels.
        labelled: (N,) false where the label is missing: such rows are not chosen by.
        parameters: of the method, such as `conditional_delta`; None stands for its default.

    Raises:
        NotEnoughCalibrationRows: the method cannot keep its promise with so few rows.
        ThresholdError: the method cannot work with these scores or labels.
    """
    scores = calibration_scores(scorer, rows)
    thresholds = {
        name: fit_threshold(method, values, alpha, labels, labelled, **parameters)
        for name, values in scores.items()
    }
    tables = {name: np.sort(values) for name, values in scores.items()}
    return replace(scorer, calibration=tables, thresholds=thresholds)


def calibration_tables(scorer: Scorer, rows: Data) -> dict[str, np.ndarray]:
    """Sorted scores of calibration rows, by score name."""
    return {name: np.sort(v) for name, v in calibration_scores(scorer, rows).items()}


def calibration_scores(scorer: Scorer, rows: Data) -> dict[str, np.ndarray]:
    """Scores of calibration rows in their order, by score name; higher is more anomalous."""
    raw = scorer.raw_scores(rows)
    scores = {
        "anomaly_score": raw.anomaly_score,
        "reconstruction_error": raw.reconstruction_error,
    }
    if scorer.model.has_elbo:
        scores["elbo"] = raw.elbo_score
    return scores
