"""Calibration tables and thresholds as plain data, and the code that applies them.

`pipeline.thresholds` fits them; here they only answer for a score: how rare, and flagged or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


class NotCalibratedError(ValueError):
    """The scorer has no calibration table yet."""


@dataclass(frozen=True)
class Threshold:
    """A cut-off: a row is flagged iff its score is greater than `value`.

    Attributes:
        value: in the units of the score.
        method: name of the method that fitted it.
        alpha: target false-positive rate in (0, 1).
        n: calibration rows.
        rank: l, where the value is the l-th largest calibration score, so that at most l − 1 of
            them exceed it; under exchangeability the true false-positive rate follows
            Beta(l, n + 1 − l). Where the value is no calibration score: one more than exceed it.
        interval: central 90 % interval of that rate; of `best_f1` too low on average, since the
            rows that it is counted on chose the value.
        guarantee: whether the method keeps P(flag) ≤ alpha for exchangeable rows.
        parameters: whatever else the method was given.
    """

    value: float
    method: str
    alpha: float
    n: int
    rank: int
    interval: tuple[float, float]
    guarantee: bool
    parameters: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Threshold:
        low, high = fields["interval"]
        return Threshold(**{**fields, "interval": (float(low), float(high))})


def p_values(calibration: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Conformal p-values: (1 + #{calibration ≥ score}) / (n + 1).

    Args:
        calibration: (n,) sorted ascending.
        scores: (N,) higher is more anomalous.

    Returns:
        (N,) in [1/(n + 1), 1]; small is anomalous. NaN scores give NaN.

    Reference: Bates, Candès, Lei, Romano, Sesia (2023), Testing for outliers with conformal
        p-values, eq. 2.
    """
    n = len(calibration)
    at_least = n - np.searchsorted(calibration, scores, side="left")
    return np.where(np.isnan(scores), np.nan, (1 + at_least) / (n + 1))


def conformal_rank(n: int, alpha: float) -> int:
    """l = ⌊alpha (n + 1)⌋, safe against the rounding of alpha (0.07 · 100 is 7, not 6.99…)."""
    return int(np.floor(alpha * (n + 1) + 1e-9))


def conformal_cut(calibration: np.ndarray, alpha: float) -> float:
    """The k-th smallest calibration score, k = ⌈(n + 1)(1 − alpha)⌉.

    Args:
        calibration: (n,) sorted ascending.
        alpha: in (0, 1).

    Returns:
        the cut-off: a score exceeds it iff its p-value is at most alpha. ∞ where k > n: of so few
            calibration rows none can say that a row is that rare.
    """
    n = len(calibration)
    rank = conformal_rank(n, alpha)
    return float(calibration[n - rank]) if rank else float("inf")
