"""Peaks over threshold: extreme-value theory for rates that too few rows can count."""

from __future__ import annotations

import math

import numpy as np

from pipeline.errors import EXTRAPOLATED, NotEnoughCalibrationRows, ThresholdError
from vae_core import Threshold

from .counted import CONFIDENCE, counted
from .pareto import Pareto, anderson_darling, fit_pareto

FEWEST_ROWS = EXTRAPOLATED
FEWEST_PEAKS = 30
FEWEST_DISTINCT = 20
LARGEST_ALPHA = 0.1
DRAWS = 400


def fit_pot(scores: np.ndarray, alpha: float, peaks: int | None = None) -> Threshold:
    """The score that a generalised Pareto tail exceeds with probability alpha.

    The k largest scores, less the level u that they exceed, follow that law for almost any
    distribution of scores as u rises: value = u + σ/ξ ((k / (n alpha))^ξ − 1). So alpha may lie far
    below 1/n, where no quantile exists. An extrapolation: nothing is promised, and at
    alpha = 1/(5 n) the realised rate of one fit is easily four times too high or too low.

    Stored with the threshold: `level` u, `peaks` k, `shape` ξ, `scale` σ; `value_interval`, 90 %,
    and `fit_p_value`, how often a true Pareto tail fits as badly by Anderson and Darling's
    `anderson_darling`, from 400 samples of the fitted law; `stability`, shape and value with
    half and twice the peaks, where those are smooth tails too; `mean_excess_ratio`, observed over
    fitted mean excess above the median peak: 1 where the tail is Pareto, None where its mean is
    infinite (ξ ≥ 1) or no peak lies above the median one.

    Args:
        scores: (n,) calibration scores, higher is more anomalous.
        alpha: false-positive rate aimed at, in (0, 0.1].
        peaks: how many scores make the tail; n^(2/3) / log log n if left out, and at least
            2 n alpha: few enough for the limit law, many enough for a fit.

    Raises:
        NotEnoughCalibrationRows: fewer than 400 rows without `peaks`.
        ThresholdError: alpha is no tail, `peaks` does not fit the rows, or the largest scores
            repeat so much that they have no smooth tail.

    Reference: Pickands (1975); Coles (2001), An Introduction to Statistical Modeling of Extreme
        Values, chapter 4; number of peaks: Loretan and Phillips (1994), in Scarrott and
        MacDonald (2012), A review of extreme value threshold estimation, section 3.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    n, k = len(ordered), number_of_peaks(len(ordered), alpha) if peaks is None else peaks
    _check(n, alpha, k)
    level, excesses = _tail(ordered, k)
    law = fit_pareto(excesses)
    value = _value(level, law, excesses, n, alpha)
    if not np.isfinite(value):
        raise ThresholdError(
            f"threshold method pot: a tail of shape {law.shape:.3g} has no finite cut-off for "
            f"alpha = {alpha:g}",
            hint="Set `threshold.method: conformal`, or a larger `threshold.alpha`.",
        )
    distance = anderson_darling(excesses, law)
    values, distances = _bootstrap(level, law, len(excesses), n, alpha)
    tail = 50 * (1 - CONFIDENCE)
    middle = float(np.median(excesses))
    above, expected = excesses[excesses > middle] - middle, law.mean_excess(middle)
    return counted(
        value,
        ordered,
        "pot",
        alpha,
        level=level,
        peaks=len(excesses),
        shape=law.shape,
        scale=law.scale,
        value_interval=[float(v) for v in np.percentile(values, [tail, 100 - tail])],
        anderson_darling=distance,
        fit_p_value=float((1 + np.sum(distances >= distance)) / (DRAWS + 1)),
        stability=[tail_cut(ordered, alpha, j) for j in (k // 2, 2 * k) if _can_be_cut(ordered, j)],
        mean_excess_ratio=(
            float(above.mean() / expected) if len(above) and np.isfinite(expected) else None
        ),
    )


def _can_be_cut(ordered: np.ndarray, peaks: int) -> bool:
    """Whether a tail of so many peaks is there, and no single tied value."""
    return peaks < len(ordered) and len(np.unique(ordered[-peaks:])) >= FEWEST_DISTINCT // 2


def tail_cut(ordered: np.ndarray, alpha: float, peaks: int) -> dict[str, float]:
    """The cut-off alone: peaks, shape and value for (n,) ascending scores."""
    level = float(ordered[len(ordered) - peaks - 1])
    excesses = ordered[ordered > level] - level
    law = fit_pareto(excesses)
    value = _value(level, law, excesses, len(ordered), alpha)
    return {"peaks": len(excesses), "shape": law.shape, "value": value}


def number_of_peaks(n: int, alpha: float) -> int:
    """How many of n scores make the tail, n ≥ 400.

    Raises:
        NotEnoughCalibrationRows: with fewer rows nothing can be fitted.

    Reference: Loretan and Phillips (1994).
    """
    if n < FEWEST_ROWS:
        raise NotEnoughCalibrationRows(n, FEWEST_ROWS, alpha)
    return max(int(n ** (2 / 3) / math.log(math.log(n))), math.ceil(2 * n * alpha))


def _check(n: int, alpha: float, k: int) -> None:
    if alpha > LARGEST_ALPHA:
        raise ThresholdError(
            f"threshold method pot is for tails: alpha = {alpha:g} is above {LARGEST_ALPHA:g}",
            hint="Set `threshold.method: conformal`, or a smaller `threshold.alpha`.",
        )
    if not max(FEWEST_PEAKS, n * alpha) <= k < n:
        raise ThresholdError(
            f"threshold method pot: {k:,} peaks of {n:,} calibration rows; there must be at least "
            f"{max(FEWEST_PEAKS, math.ceil(n * alpha)):,} and fewer than the rows",
            hint="Change `threshold.peaks`, or leave it out.",
        )


def _tail(ordered: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """The level that the k largest scores exceed, and by how much, ascending."""
    level = float(ordered[len(ordered) - k - 1])
    excesses = ordered[ordered > level] - level
    distinct = len(np.unique(ordered[-k:]))
    if distinct < FEWEST_DISTINCT:
        raise ThresholdError(
            f"threshold method pot: the {k:,} largest calibration scores have only {distinct} "
            "distinct values, no smooth tail that could be continued",
            hint="Set `threshold.method: conformal`, which needs no smooth tail.",
        )
    return level, excesses


def _value(level: float, law: Pareto, excesses: np.ndarray, n: int, alpha: float) -> float:
    """P(score > level) is k/n, so that alpha is n alpha / k of the tail."""
    return level + float(law.excess(min(1.0, n * alpha / len(excesses))))


def _bootstrap(
    level: float, law: Pareto, k: int, n: int, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """(B,) values and distances of refits to samples of the fitted law."""
    rng = np.random.default_rng(0)
    values, distances = np.empty(DRAWS), np.empty(DRAWS)
    for b in range(DRAWS):
        sample = np.sort(law.excess(1.0 - rng.random(k)))
        refit = fit_pareto(sample)
        values[b] = _value(level, refit, sample, n, alpha)
        distances[b] = anderson_darling(sample, refit)
    return values, distances
