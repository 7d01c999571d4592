"""Detection quality on labelled rows, with bootstrap intervals.

``N`` rows, ``B`` bootstrap draws. Scores are anomaly scores: higher is more anomalous. Labels are
true for anomalies. All shares lie in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

__all__ = [
    "METRICS",
    "Estimate",
    "auroc",
    "average_precision",
    "evaluate",
]


@dataclass(frozen=True)
class Estimate:
    """A measured share and its bootstrap interval."""

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.lower:.4f}, {self.upper:.4f}]"


def evaluate(
    labels: Any,
    scores: Any,
    threshold: float,
    alpha: float,
    *,
    draws: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Measure a detector on labelled rows.

    Every bootstrap draw resamples anomalies and normal rows apart, so that each has both classes.

    Args:
        labels: (N,) true for anomalies.
        scores: (N,) finite anomaly scores, higher is more anomalous.
        threshold: a row is flagged iff its score is above it.
        alpha: false-positive rate at which ``recall_at_alpha`` is read, in (0, 1).
        draws: bootstrap draws B.
        confidence: of the intervals, in (0, 1).
        seed: of the bootstrap.

    Returns:
        One estimate per name of ``METRICS``; for all but ``false_positive_rate`` higher is better.

    Raises:
        ValueError: both classes are needed, and scores must be finite.
    """
    truth, values = _checked(labels, scores)
    order = np.argsort(-values, kind="stable")
    truth, values = truth[order], values[order]
    ones = np.ones(len(values))
    result = {name: metric(truth, values, ones, threshold, alpha) for name, metric in _ITEMS}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(draws):
        weights = np.empty(len(values))
        for part in (truth, ~truth):
            count = int(part.sum())
            weights[part] = rng.multinomial(count, np.full(count, 1.0 / count))
        for name, metric in _ITEMS:
            drawn[name].append(metric(truth, values, weights, threshold, alpha))
    tail = 50.0 * (1.0 - confidence)
    intervals = {
        name: np.percentile(drawn[name], [tail, 100.0 - tail]) if draws else (math.nan, math.nan)
        for name in METRICS
    }
    return {
        name: Estimate(value, float(intervals[name][0]), float(intervals[name][1]))
        for name, value in result.items()
    }


def auroc(labels: Any, scores: Any) -> float:
    """Area under the ROC curve; ties count one half. 0.5 is chance, 1 is perfect."""
    return _measure("auroc", labels, scores)


def average_precision(labels: Any, scores: Any) -> float:
    """Mean precision over the recall steps; tied scores enter together. Chance is the share."""
    return _measure("average_precision", labels, scores)


def _checked(labels: Any, scores: Any) -> tuple[NDArray[np.bool_], Floats]:
    truth = np.asarray(labels, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must be equal, (N,)")
    if not truth.any() or truth.all():
        raise ValueError("both classes are needed: normal rows and anomalies")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    return truth, values


def _measure(name: str, labels: Any, scores: Any) -> float:
    """A metric that needs neither threshold nor alpha."""
    truth, values = _checked(labels, scores)
    order = np.argsort(-values, kind="stable")
    return METRICS[name](truth[order], values[order], np.ones(len(values)), math.inf, math.nan)


# The metrics below take rows in descending order of score, with weights, so that a bootstrap draw
# is a vector of counts and costs no sorting.


def _steps(truth: NDArray[np.bool_], values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Anomalies and normal rows found down to the last row of each group of equal scores."""
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    return np.cumsum(weights * truth)[ends], np.cumsum(weights * ~truth)[ends]


def _auroc(
    truth: NDArray[np.bool_], values: Floats, weights: Floats, threshold: float, alpha: float
) -> float:
    found, wrong = _steps(truth, values, weights)
    heights = found - 0.5 * np.diff(found, prepend=0.0)
    return float(np.sum(heights * np.diff(wrong, prepend=0.0)) / (found[-1] * wrong[-1]))


def _average_precision(
    truth: NDArray[np.bool_], values: Floats, weights: Floats, threshold: float, alpha: float
) -> float:
    found, wrong = _steps(truth, values, weights)
    precision = found / np.maximum(found + wrong, 1.0)
    return float(np.sum(precision * np.diff(found, prepend=0.0)) / found[-1])


def _false_positive_rate(
    truth: NDArray[np.bool_], values: Floats, weights: Floats, threshold: float, alpha: float
) -> float:
    normal = weights * ~truth
    return float(normal[values > threshold].sum() / normal.sum())


def _recall(
    truth: NDArray[np.bool_], values: Floats, weights: Floats, threshold: float, alpha: float
) -> float:
    anomalies = weights * truth
    return float(anomalies[values > threshold].sum() / anomalies.sum())


def _recall_at_alpha(
    truth: NDArray[np.bool_], values: Floats, weights: Floats, threshold: float, alpha: float
) -> float:
    found, wrong = _steps(truth, values, weights)
    inside = int(np.searchsorted(wrong, alpha * wrong[-1] + 1e-9, side="right"))
    return float(found[inside - 1] / found[-1]) if inside else 0.0


METRICS = {
    "auroc": _auroc,
    "average_precision": _average_precision,
    "false_positive_rate": _false_positive_rate,
    "recall": _recall,
    "recall_at_alpha": _recall_at_alpha,
}
_ITEMS = tuple(METRICS.items())
