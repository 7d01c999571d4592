"""How close reconstructed rows come to the rows themselves, column by column."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.quality.tables import Columns

__all__ = ["reconstruction_quality"]


def reconstruction_quality(
    real: Columns, reconstructed: Columns, probability: Columns
) -> dict[str, dict[str, float]]:
    """Measure reconstructions of held-out rows; missing cells are left out.

    Args:
        real: (N,) per column, original units.
        reconstructed: same columns: expected value, or most probable category.
        probability: for categories, (N,): the model's probability of the observed value, in [0, 1].

    Returns:
        Numeric column → ``mean_absolute_error`` (its unit, lower is better) and
        ``explained`` = 1 − MAE / MAE of always answering the median (higher is better, 1 is exact,
        0 no better than the median; NaN for a column without spread).
        Category → ``accuracy`` and ``mean_log_probability`` (nats, higher is better).
    """
    result: dict[str, dict[str, float]] = {}
    for name, values in real.items():
        if np.asarray(values).dtype.kind in "fiu":
            result[name] = _numeric(values, reconstructed[name])
        else:
            result[name] = _category(values, reconstructed[name], probability[name])
    return result


def _numeric(values: Any, reconstructed: Any) -> dict[str, float]:
    seen = ~np.isnan(values)
    if not seen.any():
        return {"mean_absolute_error": float("nan"), "explained": float("nan")}
    truth = values[seen]
    error = float(np.mean(np.abs(truth - np.asarray(reconstructed, dtype=np.float64)[seen])))
    spread = float(np.mean(np.abs(truth - np.median(truth))))
    explained = 1.0 - error / spread if spread > 0.0 else float("nan")
    return {"mean_absolute_error": error, "explained": explained}


def _category(values: Any, reconstructed: Any, probability: Any) -> dict[str, float]:
    seen = np.array([value is not None and value == value for value in values.tolist()], bool)
    if not seen.any():
        return {"accuracy": float("nan"), "mean_log_probability": float("nan")}
    hits = [a == b for a, b in zip(values[seen], reconstructed[seen], strict=True)]
    floor = np.finfo(np.float64).tiny
    log_probability = np.log(np.maximum(np.asarray(probability, dtype=np.float64)[seen], floor))
    return {
        "accuracy": float(np.mean(hits)),
        "mean_log_probability": float(np.mean(log_probability)),
    }
