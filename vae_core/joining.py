"""Scores joined into the one that is calibrated.

Joining p-values, or fitting the join on calibration rows, would break the guarantee; so scores are
standardised by numbers of validation rows, fixed before calibration: their typical value to 0, a
robust scale to 1. The reconstruction error joins by its square root, a distance as the others
are: one absurd cell then does not outshout everything else.

Legend: A additive scores (ELBO score, reconstruction error, distances to codes and to rows),
N rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

JOINED = ("elbo", "reconstruction_error", "latent_distance", "row_distance")
SINGLE_SCORES = (*JOINED, "likelihood_ratio", "importance_weighted")


def robust_scale(scores: np.ndarray) -> float:
    """1.4826 × the median absolute deviation of validation scores: σ for a Gaussian, > 0."""
    spread = 1.4826 * float(np.median(np.abs(scores - np.median(scores))))
    return spread if spread > 0 else float(np.std(scores)) or 1.0


# (A, N) standardised scores to their (A, N) weights in the joined one
Weights = Callable[[np.ndarray], np.ndarray]


def _attained_by_larger(scores: np.ndarray) -> np.ndarray:
    return _attained_by(scores, scores[0] >= scores[1])


def _attained_by_smaller(scores: np.ndarray) -> np.ndarray:
    return _attained_by(scores, scores[0] <= scores[1])


def _attained_by(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """By the first score where `first`, by the second elsewhere."""
    weights = np.zeros_like(scores)
    weights[0], weights[1] = first, ~first
    return weights


def _sum(scores: np.ndarray) -> np.ndarray:
    return np.ones_like(scores)


JOINS: dict[str, Weights] = {
    "either": _attained_by_larger,  # the larger of ELBO score and reconstruction error
    "both": _attained_by_smaller,  # the smaller of the two
    "combined": _sum,  # the sum of all four
}
SCORE_KINDS = (*SINGLE_SCORES, *JOINS)
# the kinds that cannot do without the distance to training rows
OF_ROWS = ("row_distance", "combined")
