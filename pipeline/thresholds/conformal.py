"""Split-conformal thresholds: at most alpha false alarms for rows like the calibration rows."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import beta

from pipeline.errors import NotEnoughCalibrationRows
from pipeline.guarantee import beta_interval
from vae_core import Threshold, conformal_rank


def fit_conformal(
    scores: np.ndarray,
    alpha: float,
    conditional_delta: float | None = None,
    *,
    exact: bool = True,
) -> Threshold:
    """The l-th largest calibration score.

    Marginal (default): l = ⌊alpha (n + 1)⌋, so that P(flag) ≤ alpha over calibration draws and
    new rows together. With `conditional_delta`, l is the largest count with
    P(Beta(l, n + 1 − l) > alpha) ≤ delta: for all but a share delta of calibration draws the true
    rate is at most alpha.

    Args:
        scores: (n,) calibration scores, higher is more anomalous.
        alpha: target false-positive rate in (0, 1).
        conditional_delta: in (0, 1), or None.
        exact: False for scores that are not exchangeable with new ones (cross-fitted): the same
            cut-off without a promise; l is 1, not 0, where there are few of them.

    Raises:
        NotEnoughCalibrationRows: `exact` and no l ≥ 1 keeps the promise; says how many rows would.

    Reference: Vovk, Gammerman, Shafer (2005), chapter 2; Bates et al. (2023), Testing for
        outliers with conformal p-values, section 3.
    """
    ordered = np.sort(scores)
    n = len(ordered)
    rank = _rank(n, alpha, conditional_delta)
    if rank < 1 and exact:
        raise NotEnoughCalibrationRows(n, rows_needed(alpha, conditional_delta), alpha)
    rank = max(rank, 1)
    return Threshold(
        value=float(ordered[n - rank]),
        method="conformal",
        alpha=alpha,
        n=n,
        rank=rank,
        interval=rate_interval(n, rank),
        guarantee=exact,
        parameters={"conditional_delta": conditional_delta},
    )


def rate_interval(n: int, rank: int) -> tuple[float, float]:
    """Central 90 % interval of the true false-positive rate, Beta(l, n + 1 − l)."""
    return beta_interval(rank, n, confidence=0.9)


def rows_needed(alpha: float, conditional_delta: float | None = None) -> int:
    """Fewest calibration rows for which the promise can be kept."""
    fewest = math.ceil(1 / alpha - 1e-9) - 1
    if conditional_delta is None:
        return fewest
    # l = 1: P(Beta(1, n) > alpha) = (1 − alpha)^n
    return max(fewest, math.ceil(math.log(conditional_delta) / math.log1p(-alpha)))


def _rank(n: int, alpha: float, delta: float | None) -> int:
    if delta is None:
        return conformal_rank(n, alpha)
    ranks = np.arange(1, conformal_rank(n, alpha) + 1)
    kept = ranks[beta.sf(alpha, ranks, n + 1 - ranks) <= delta]
    return int(kept.max()) if len(kept) else 0
