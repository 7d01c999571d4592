"""From columns of rows to a trained, then calibrated scorer; the estimator and flows share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch

from pipeline.preprocess import FeatureColumn, FittedEncoding, fit_encoding
from pipeline.thresholds import fit_threshold
from vae_core import (
    Codes,
    ModelConfig,
    Scorer,
    TrainConfig,
    TrainResult,
    build_model,
    check_score_kind,
    choose_device,
    column_statistics,
    diagnose,
    train,
)
from vae_core.models import MODELS
from vae_core.scores import latent_means

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
) -> FitResult:
    """Fit encodings, train the model, take the validation means that scores refer to.

    Args:
        rows: training rows, (N,) per column.
        validation: rows for early stopping, means and the joins' units; neither trained on nor
            calibrated on.
        columns: role and nullability by name.
        model, training: defaults are the tuned ones.
        score: primary score, one of `vae_core.SCORE_KINDS`.
        device: auto, cpu or cuda.
        seed: of weights, batches, noise and draws.
        report: called with every evaluation of the training.
        fitted: encodings made elsewhere; default: fitted on `rows`.

    Raises:
        ValueError: unknown variant or score, nothing varies, or the device is not to be had.
    """
    model, training = model or ModelConfig(), training or TrainConfig()
    if model.variant in MODELS:
        check_score_kind(score, MODELS[model.variant].has_elbo, model.variant)
    place = choose_device(device)
    encoding, dropped = fitted or fit_encoding(rows, columns)
    network = build_model(encoding.layout, model, seed).to(place)
    x = torch.from_numpy(encoding.encode(rows)[0]).to(place)
    held_out = torch.from_numpy(encoding.encode(validation)[0]).to(place)
    started = perf_counter()
    result = train(network, x, held_out, training, seed=seed, report=report)
    seconds = perf_counter() - started
    network.eval()
    codes = Codes.of(latent_means(network, x.cpu()).to(place), seed)
    scorer = Scorer(
        encoding=encoding,
        model=network,
        codes=codes,
        config=model,
        statistics=column_statistics(encoding, network, codes, validation),
        score_kind=score,
        diagnostics=diagnose(network, held_out),
    )
    scorer.fit_scales(validation)
    if training.trim:
        _forget_worst_codes(scorer, rows, x.cpu(), validation, training.trim, seed)
    return FitResult(scorer, result, dropped, seconds)


def _forget_worst_codes(
    scorer: Scorer, rows: Data, x: torch.Tensor, validation: Data, share: float, seed: int
) -> None:
    """Codes of the training rows without those that the scorer itself finds most abnormal.

    An anomaly among them would otherwise vouch for its like.
    """
    kind = "combined" if scorer.model.has_elbo else "reconstruction_error"
    scores = replace(scorer, score_kind=kind).raw_scores(rows).anomaly_score
    kept = np.flatnonzero(scores <= np.quantile(scores, 1 - share))
    scorer.codes = Codes.of(latent_means(scorer.model, x[kept]).to(scorer.device), seed)
    scorer.statistics = column_statistics(scorer.encoding, scorer.model, scorer.codes, validation)
    scorer.fit_scales(validation)


def calibrate_scorer(
    scorer: Scorer,
    rows: Data,
    *,
    method: str = "conformal",
    alpha: float = 0.05,
    labels: np.ndarray | None = None,
    **parameters: Any,
) -> Scorer:
    """A copy of the scorer with calibration tables and thresholds for each of its scores.

    Args:
        scorer: trained; its model is shared, not copied.
        rows: calibration rows that neither training nor early stopping has seen.
        method: key of `pipeline.thresholds.THRESHOLDS`.
        alpha: target false-positive rate in (0, 1).
        labels: (N,) true for anomalies; only seen by methods that choose by labels.
        parameters: of the method, such as `conditional_delta`; None stands for its default.

    Raises:
        NotEnoughCalibrationRows: the method cannot keep its promise with so few rows.
        ThresholdError: the method cannot work with these scores or labels.
    """
    scores = calibration_scores(scorer, rows)
    thresholds = {
        name: fit_threshold(method, values, alpha, labels, **parameters)
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
