"""The generalised Pareto law of excesses over a high level: fit, quantiles, goodness of fit.

Survival function of an excess y ≥ 0: S(y) = (1 + ξ y / σ)^(−1/ξ), exp(−y / σ) at ξ = 0, with
shape ξ (ξ > 0: a power-law tail; ξ < 0: a bounded one) and scale σ > 0. k excesses, sorted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Pareto(NamedTuple):
    """Shape ξ and scale σ, in units of the score."""

    shape: float
    scale: float

    def excess(self, probability: np.ndarray | float) -> np.ndarray:
        """The excess that is exceeded with this probability, in (0, 1]."""
        log = -np.log(probability)
        if abs(self.shape) < 1e-9:
            return np.asarray(self.scale * log)
        return np.asarray(self.scale * np.expm1(self.shape * log) / self.shape)

    def log_survival(self, excesses: np.ndarray) -> np.ndarray:
        """log S(y); −∞ beyond the end of a bounded tail."""
        if abs(self.shape) < 1e-9:
            return -excesses / self.scale
        with np.errstate(divide="ignore"):
            inside = np.log(np.maximum(1 + self.shape * excesses / self.scale, 0.0))
        return -inside / self.shape

    def mean_excess(self, level: float) -> float:
        """Mean of what an excess above `level` has beyond it, (σ + ξ level) / (1 − ξ)."""
        if self.shape >= 1:
            return float("inf")
        return (self.scale + self.shape * level) / (1 - self.shape)


def fit_pareto(excesses: np.ndarray) -> Pareto:
    """The quasi-Bayesian estimate of shape and scale.

    The profile likelihood of θ = −ξ/σ is averaged over a grid of its prior's quantiles: as
    efficient as maximum likelihood, without its failures on small samples and its bias towards
    short tails. It never leaves the support, and needs no iteration.

    Args:
        excesses: (k,) > 0, ascending, k ≥ 2.

    Reference: Zhang and Stephens (2009), A new and efficient estimation method for the
        generalized Pareto distribution, section 3; with the finer grid of Vehtari, Simpson,
        Gelman, Yao, Gabry (2024), Pareto smoothed importance sampling.
    """
    k = len(excesses)
    points = 30 + int(np.sqrt(k))
    quartile = excesses[int(k / 4 + 0.5) - 1]
    grid = np.arange(1, points + 1) - 0.5
    theta = 1 / excesses[-1] + (1 - np.sqrt(points / grid)) / (3 * quartile)
    shapes = np.log1p(-theta[:, None] * excesses).mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # both vanish together at θ = 0, the exponential law: log(mean excess) is their limit
        log_scale = np.where(shapes == 0, np.log(excesses.mean()), np.log(-shapes / theta))
    log_likelihood = k * (-log_scale - shapes - 1)
    weights = np.exp(log_likelihood - log_likelihood.max())
    mean = float(weights @ theta / weights.sum())
    shape = float(np.log1p(-mean * excesses).mean())
    return Pareto(shape, -shape / mean if mean else float(excesses.mean()))


def anderson_darling(excesses: np.ndarray, law: Pareto) -> float:
    """A², the distance between ascending excesses and a law; weighs both ends most.

    Reference: Anderson and Darling (1954); for this law Choulakian and Stephens (2001).
    """
    k = len(excesses)
    log_s = np.maximum(law.log_survival(excesses), -700.0)
    log_f = np.log(np.maximum(-np.expm1(log_s), 1e-300))
    odd = 2 * np.arange(1, k + 1) - 1
    return float(-k - (odd * (log_f + log_s[::-1])).mean())
