"""How close reconstructed rows come to the rows themselves, column by column."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.quality.tables import Columns, bend

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
        Numeric column → ``mean_absolute_error`` (its unit, lower is better) and ``explained`` = R²
        of t = asinh((x − median) / spread of the bulk), so that a few extreme values do not decide
        alone (higher is better, 1 is exact, 0 no better than the mean; NaN without spread).
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
    truth = np.asarray(values, dtype=np.float64)[seen]
    answer = np.asarray(reconstructed, dtype=np.float64)[seen]
    bent, guess = bend(truth, truth), bend(truth, answer)
    total = float(np.sum((bent - bent.mean()) ** 2))
    return {
        "mean_absolute_error": float(np.mean(np.abs(truth - answer))),
        "explained": 1.0 - float(np.sum((bent - guess) ** 2)) / total if total else float("nan"),
    }


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
