"""The plain empirical quantile: what most tools do; no promise for small samples."""

from __future__ import annotations

import numpy as np

from pipeline.errors import NotEnoughCalibrationRows
from vae_core import Threshold

from .conformal import rate_interval


def fit_quantile(scores: np.ndarray, alpha: float) -> Threshold:
    """The (1 − alpha) quantile of the calibration scores, interpolated linearly.

    Args:
        scores: (n,) calibration scores, higher is more anomalous.
        alpha: target false-positive rate in (0, 1).

    Raises:
        NotEnoughCalibrationRows: fewer than 1/alpha − 1 rows: the quantile would be the maximum.
    """
    n = len(scores)
    exceeding = int(np.sum(scores > (value := float(np.quantile(scores, 1 - alpha))))) if n else 0
    if exceeding < 1 or n * alpha < 1:
        raise NotEnoughCalibrationRows(n, int(np.ceil(1 / alpha)), alpha)
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
