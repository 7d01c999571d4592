"""The plain empirical quantile: what most tools do; no promise for small samples."""

from __future__ import annotations

import numpy as np

from pipeline.errors import NotEnoughCalibrationRows, ThresholdError
from vae_core import Threshold

from .conformal import rate_interval


def fit_quantile(scores: np.ndarray, alpha: float) -> Threshold:
    """The (1 − alpha) quantile of the calibration scores, interpolated linearly.

    Args:
        scores: (n,) calibration scores, higher is more anomalous.
        alpha: target false-positive rate in (0, 1).

    Raises:
        NotEnoughCalibrationRows: fewer than 1/alpha rows: less than one is to be flagged.
        ThresholdError: the largest scores are equal, so that none exceeds the quantile.
    """
    n = len(scores)
    if n * alpha < 1 - 1e-9:
        raise NotEnoughCalibrationRows(n, int(np.ceil(1 / alpha - 1e-9)), alpha)
    value = float(np.quantile(scores, 1 - alpha))
    exceeding = int(np.sum(scores > value))
    if not exceeding:
        raise ThresholdError(
            f"threshold method quantile: the largest of {n:,} calibration scores are equal, none "
            f"exceeds the {1 - alpha:g} quantile, and nothing would ever be flagged",
            hint="Set a larger `threshold.alpha`, or `threshold.method: conformal`, which counts "
            "ties on the safe side.",
        )
    # `exceeding` calibration scores lie above: the (exceeding + 1)-th largest does not
    return Threshold(
        value=value,
        method="quantile",
        alpha=alpha,
        n=n,
        rank=exceeding + 1,
        interval=rate_interval(n, min(exceeding + 1, n)),
        guarantee=False,
    )
