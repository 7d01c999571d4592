"""Thresholds that promise nothing: what the calibration rows alone say about their rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainccinv, betaincinv

from vae_core import Threshold

CONFIDENCE = 0.9


def counted(
    value: float, scores: np.ndarray, method: str, alpha: float, **parameters: Any
) -> Threshold:
    """A threshold at `value`, with the rate that counting calibration rows above it supports.

    Args:
        value: the cut-off, however it was found.
        scores: (n,) calibration scores that its false-positive rate is counted on, n ≥ 1.
        method: name of the method.
        alpha: rate that was asked for.
        parameters: stored with the threshold.
    """
    n = len(scores)
    exceeding = int(np.sum(scores > value))
    return Threshold(
        value=float(value),
        method=method,
        alpha=alpha,
        n=n,
        rank=min(exceeding + 1, n),
        interval=exceedance_interval(exceeding, n),
        guarantee=False,
        parameters=parameters,
    )


def exceedance_interval(exceeding: int, n: int) -> tuple[float, float]:
    """90 % interval of a share of which `exceeding` of n rows were seen; (0, …) where none was.

    Reference: Clopper and Pearson (1934).
    """
    tail = (1 - CONFIDENCE) / 2
    low = betaincinv(exceeding, n + 1 - exceeding, tail) if exceeding else 0.0
    high = betainccinv(exceeding + 1, n - exceeding, tail) if exceeding < n else 1.0
    return float(low), float(high)
