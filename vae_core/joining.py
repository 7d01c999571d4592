"""Two scores joined into the one that is calibrated.

Joining p-values, or fitting the join on calibration rows, would break the guarantee; so scores are
standardised by numbers of validation rows, fixed before calibration: the mean to 0, a robust scale
to 1. With the mean at 0, a joined score is the sum of its columns' excess over validation rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SCORE_KINDS = ("elbo", "reconstruction_error", "either", "both", "combined")


def robust_scale(scores: np.ndarray) -> float:
    """1.4826 × the median absolute deviation of validation scores: σ for a Gaussian, > 0."""
    spread = 1.4826 * float(np.median(np.abs(scores - np.median(scores))))
    return spread if spread > 0 else float(np.std(scores)) or 1.0


Weights = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _attained_by_larger(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = (a >= b).astype(np.float64)
    return first, 1.0 - first


def _attained_by_smaller(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = (a <= b).astype(np.float64)
    return first, 1.0 - first


def _sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ones_like(a), np.ones_like(b)


# weights of the two standardised scores in the joined one, row by row
JOINS: dict[str, Weights] = {
    "either": _attained_by_larger,
    "both": _attained_by_smaller,
    "combined": _sum,
}
