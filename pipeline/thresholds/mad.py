"""Median and median absolute deviation: robust where anomalies are among the calibration rows."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from pipeline.errors import NotEnoughCalibrationRows, ThresholdError
from vae_core import Threshold

from .counted import counted

FEWEST_ROWS = 10
GAUSSIAN = 1.4826  # MAD of a Gaussian is σ / 1.4826


def fit_mad(scores: np.ndarray, alpha: float) -> Threshold:
    """median + k · 1.4826 · MAD, with k the (1 − alpha) quantile of the standard normal law.

    Half of the calibration rows may be anomalies without moving it far. Its rate is alpha only
    for scores with a Gaussian upper half; heavier tails are flagged more often.

    Args:
        scores: (n,) calibration scores, higher is more anomalous.
        alpha: false-positive rate aimed at, in (0, 1).

    Raises:
        NotEnoughCalibrationRows: fewer than 10 rows.
        ThresholdError: more than half of the scores are equal, so that they have no spread.

    Reference: Leys et al. (2013), Detecting outliers: do not use standard deviation around the
        mean, use absolute deviation around the median.
    """
    n = len(scores)
    if n < FEWEST_ROWS:
        raise NotEnoughCalibrationRows(n, FEWEST_ROWS, alpha)
    median = float(np.median(scores))
    spread = GAUSSIAN * float(np.median(np.abs(scores - median)))
    if not spread > 0:
        raise ThresholdError(
            f"threshold method mad: more than half of the {n:,} calibration scores are equal, "
            "their median absolute deviation is 0",
            hint="Set `threshold.method: conformal`, which needs no spread.",
        )
    k = float(norm.isf(alpha))
    return counted(median + k * spread, scores, "mad", alpha, median=median, spread=spread, k=k)
