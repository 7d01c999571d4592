"""Weighted conformal prediction: calibration rows count as much as tonight's mix of rows asks for.

Under covariate shift the kinds of normal rows come in other proportions than in calibration (more
weekend traffic, another product mix), while a row of one kind scores as it always did. Then a
calibration row gets the weight w = (its density tonight) / (its density in calibration), and
weighted p-values keep the promise that plain ones lose.

The density ratio is estimated by a classifier that tells tonight's rows from calibration rows. It
sees latents, not scores and not whole rows: the latent says which kind of row it is, and what
makes a row abnormal is what the latent leaves unexplained. A classifier that saw scores would call
every anomaly a shift, and weigh it away.

What this does not promise: the weights are estimated, so the guarantee is approximate; it is void
where rows of one kind score otherwise than before, and where tonight's kinds of rows are missing
from calibration: no weight makes up for rows that are not there.

Reference:
    Tibshirani, Foygel Barber, Candès, Ramdas (2019), Conformal prediction under covariate shift.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLIP = 20.0
"""Largest weight at all; the mean over calibration rows is 1."""

OWN_SHARE = 0.25
"""Largest part of alpha that a row's own weight may take up: it bounds the weights further."""

_FAR = 4.0


class Weights(NamedTuple):
    """Weights of calibration rows.

    Attributes:
        calibration: (n,) ≥ 0, mean 1 before clipping.
        largest: bound of the weight of any row, ≤ `CLIP`.
        effective: rows that n weighted ones are worth: (Σ w)² / Σ w², or n over the weight of the
            night's median row where that is less, since rows of a kind that calibration hardly
            has are far outside and their weight is all that tells.
    """

    calibration: np.ndarray
    largest: float
    effective: float


def largest_weight(n: int, alpha: float) -> float:
    """Where weights of n calibration rows are clipped for this alpha.

    A row's own weight counts for it, so with few calibration rows large weights would leave no
    row that could ever be selected. Clipping harder corrects a strong shift only in part instead.
    """
    return max(1.0, min(CLIP, OWN_SHARE * alpha * n))


def density_ratio(calibration: np.ndarray, night: np.ndarray, clip: float = CLIP) -> Weights:
    """Estimate how much more common each calibration row's kind is tonight.

    By logistic regression on the latents and their squares: exact for Gaussians with diagonal
    covariances, which the latents of a VAE are not far from.

    Args:
        calibration: (n, L) latents of calibration rows.
        night: (M, L) latents of tonight's rows.
        clip: largest weight, ≥ 1.

    Raises:
        ValueError: no rows, or latents of different width.

    Reference: Bickel, Brückner, Scheffer (2009), Discriminative learning under covariate shift.
    """
    from sklearn.linear_model import LogisticRegression

    if not len(calibration) or not len(night) or calibration.shape[1] != night.shape[1]:
        raise ValueError(f"no density ratio between {calibration.shape} and {night.shape} latents")
    mean, spread = calibration.mean(0), calibration.std(0)
    spread[spread < 1e-9] = 1.0

    def features(latents: np.ndarray) -> np.ndarray:
        # a few absurd rows must not steer the regression
        z = np.clip((latents - mean) / spread, -_FAR, _FAR)
        return np.hstack([z, z * z])

    x = np.vstack([features(calibration), features(night)])
    tonight = np.repeat([0, 1], [len(calibration), len(night)])
    model = LogisticRegression(max_iter=2000).fit(x, tonight)
    ratio = np.exp(np.clip(model.decision_function(x), -50.0, 50.0))
    n = len(calibration)
    ratio /= ratio[:n].mean()
    weights = np.minimum(ratio, clip)
    worth = weights[:n].sum() ** 2 / np.square(weights[:n]).sum()
    of_its_kind = n / max(1.0, float(np.median(ratio[n:])))
    return Weights(weights[:n], float(weights.max()), float(min(worth, of_its_kind)))


def weighted_p_values(
    calibration: np.ndarray, weights: np.ndarray, scores: np.ndarray, own: np.ndarray | float
) -> np.ndarray:
    """(Σ {w_i : calibration score i ≥ score} + own) / (Σ w_i + own).

    What `weighted_cut` cuts at alpha, row by row: its definition, and what it is tested against.

    Args:
        calibration: (n,) scores, in any order.
        weights: (n,) of the calibration rows.
        scores: (N,) higher is more anomalous.
        own: weight of each scored row, (N,) or one number; a larger one only raises the p-value.

    Returns:
        (N,) in (0, 1]; with all weights equal the plain conformal p-values.

    Reference: Tibshirani et al. (2019), lemma 3 and corollary 1.
    """
    order = np.argsort(calibration)
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    at_least = above[np.searchsorted(calibration[order], scores)]
    return (at_least + own) / (above[0] + own)


def weighted_cut(calibration: np.ndarray, weights: Weights, alpha: float) -> float | None:
    """The smallest calibration score above which every weighted p-value is at most alpha.

    A row's own weight counts as the largest there is, so one cut-off serves the whole night
    without looking at its latents again; p-values are a little too large for it, never too small.

    Args:
        calibration: (n,) scores, in any order.
        weights: of these rows.
        alpha: in (0, 1).

    Returns:
        a row is selected iff its score is greater; with equal weights the conformal cut-off. None
        where too few effective rows are left for this alpha, or a row's own weight exceeds it.
    """
    if weights.effective < 1 / alpha - 1:
        return None
    order = np.argsort(-calibration)
    total = weights.calibration.sum() + weights.largest
    # weight of the rows above each candidate, and of the selected row itself
    above = np.append(0.0, np.cumsum(weights.calibration[order])[:-1]) + weights.largest
    kept = np.flatnonzero(above <= alpha * total * (1 + 1e-12))
    return float(calibration[order][kept[-1]]) if len(kept) else None
