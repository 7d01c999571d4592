"""Two scores joined into the one that is calibrated.

Joining p-values, or fitting the join on calibration rows, would break the guarantee; so the maps
are affine, fitted on validation rows, and fixed before calibration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SCORE_KINDS = ("elbo", "reconstruction_error", "either", "both", "combined")


@dataclass(frozen=True)
class Affine:
    """score ↦ (score − center) / scale."""

    center: float = 0.0
    scale: float = 1.0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        return (scores - self.center) / self.scale

    @staticmethod
    def standardising(scores: np.ndarray) -> Affine:
        """Median to 0 and 1.4826 × the median absolute deviation to 1, on validation rows."""
        center = float(np.median(scores))
        spread = 1.4826 * float(np.median(np.abs(scores - center)))
        return Affine(center, spread if spread > 0 else float(np.std(scores)) or 1.0)


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
