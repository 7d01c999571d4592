"""What thresholds promise, held against scores whose law is known: simulations with fixed seeds.

Every function draws calibration and test scores again and again, runs the product's own code on
them, and says what came out. A rate that can be computed from the law is computed, not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from pipeline import fdr
from pipeline.covariate_shift import density_ratio, largest_weight, weighted_cut
from pipeline.drift import watch
from pipeline.guarantee import beta_binomial_interval
from pipeline.thresholds import fit_threshold
from pipeline.thresholds.pot import number_of_peaks, tail_cut
from vae_core import conformal_cut, conformal_rank, p_values

Draw = Callable[[np.random.Generator, int], np.ndarray]


def _exchangeable(rng: np.random.Generator, n: int) -> np.ndarray:
    """Not independent: all scores of one draw share their location and their spread."""
    return rng.normal() + rng.exponential() * rng.normal(size=n)


SCORES: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "Student-t, 3": lambda rng, n: rng.standard_t(3, size=n),
    "exchangeable, dependent": _exchangeable,
}
TIED: dict[str, Draw] = {
    "rounded to 0.1": lambda rng, n: np.round(rng.normal(size=n), 1),
    "ten values": lambda rng, n: rng.integers(0, 10, n).astype(float),
}
TAILS = {
    "Student-t, 3": stats.t(3),
    "Student-t, 5": stats.t(5),
    "lognormal": stats.lognorm(1),
    "Student-t, 2": stats.t(2),
    "Student-t, 10": stats.t(10),
    "lognormal, σ = 0.5": stats.lognorm(0.5),
    "lognormal, σ = 1.5": stats.lognorm(1.5),
    "normal": stats.norm(),
    "exponential": stats.expon(),
    "gamma, 2": stats.gamma(2),
    "Weibull, 0.7": stats.weibull_min(0.7),
    "Burr, 2, 1.5": stats.burr12(2, 1.5),
}


class Rate(NamedTuple):
    """A measured rate against the one that was promised.

    Attributes:
        measured, expected: rates; `expected` is what theory says of scores without ties.
        error: standard error of `measured` if theory is right.
        inside: share of repetitions within the night's central 90 % beta-binomial interval.
    """

    measured: float
    expected: float
    error: float
    inside: float


def marginal(draw: Draw, alpha: float, n: int = 999, rows: int = 1000, runs: int = 2000) -> Rate:
    """False-positive rate of split-conformal thresholds on rows like the calibration rows."""
    rng = np.random.default_rng(0)
    rank = conformal_rank(n, alpha)
    flagged = np.empty(runs)
    for run in range(runs):
        scores = draw(rng, n + rows)
        threshold = fit_threshold("conformal", scores[:n], alpha)
        flagged[run] = np.sum(scores[n:] > threshold.value)
    law = stats.betabinom(rows, rank, n + 1 - rank)
    low, high = beta_binomial_interval(rank, n, rows, 0.9)
    return Rate(
        measured=float(flagged.mean() / rows),
        expected=rank / (n + 1),
        error=float(law.std() / rows / math.sqrt(runs)),
        inside=float(np.mean((low <= flagged) & (flagged <= high))),
    )


def conditional(alpha: float, n: int, delta: float = 0.1, runs: int = 2000) -> Rate:
    """Share of calibration draws whose true rate exceeds alpha, with the bound for all but delta.

    `inside` is the same share for the marginal threshold.
    """
    rng = np.random.default_rng(1)
    bounded, plain = np.empty(runs), np.empty(runs)
    for run in range(runs):
        scores = rng.random(n)
        cut = fit_threshold("conformal", scores, alpha, conditional_delta=delta).value
        bounded[run], plain[run] = 1 - cut, 1 - conformal_cut(np.sort(scores), alpha)
    error = math.sqrt(delta * (1 - delta) / runs)
    return Rate(float(np.mean(bounded > alpha)), delta, error, float(np.mean(plain > alpha)))


class Discoveries(NamedTuple):
    """FDR control over nights.

    Attributes:
        rate: mean share of false ones among the selected rows (0 where none is).
        error: its standard error.
        power: mean share of the anomalies that is selected.
        oracle: the same for the cut-off that somebody would choose who knows both laws.
    """

    rate: float
    error: float
    power: float
    oracle: float


def false_discoveries(
    share: float,
    distance: float,
    q: float = 0.1,
    n: int = 10_000,
    rows: int = 10_000,
    runs: int = 200,
) -> Discoveries:
    """Benjamini-Hochberg over nights with a share of anomalies N(distance, 1) among N(0, 1)."""
    rng = np.random.default_rng(2)
    odd = round(share * rows)
    false, power, oracle = np.empty(runs), np.empty(runs), np.empty(runs)
    best = _oracle_cut(share, distance, q)
    for run in range(runs):
        calibration = np.sort(rng.normal(size=n))
        scores = rng.normal(size=rows)
        scores[:odd] += distance
        p = p_values(calibration, scores)
        chosen = fdr.ranks(p, n) <= fdr.cut_off_rank(fdr.count_p_values(p, n), q)
        false[run] = chosen[odd:].sum() / max(1, chosen.sum())
        power[run], oracle[run] = chosen[:odd].mean(), np.mean(scores[:odd] > best)
    error = float(false.std() / math.sqrt(runs))
    return Discoveries(float(false.mean()), error, float(power.mean()), float(oracle.mean()))


def _oracle_cut(share: float, distance: float, q: float) -> float:
    """The lowest cut-off above which the share of normal rows is q."""
    from scipy.optimize import brentq

    def excess(cut: float) -> float:
        normal = (1 - share) * stats.norm.sf(cut)
        return float(normal - q * (normal + share * stats.norm.sf(cut, distance)))

    return float(brentq(excess, 0.0, 30.0))


class Extrapolation(NamedTuple):
    """Realised over asked rate of `pot`, over repetitions.

    Attributes:
        median, low, high: and the 10th and 90th percentile.
        settled: median over ten times as many repetitions, of the cut-off alone.
        largest: median of the same ratio for the largest calibration score.
        covered: share of the 90 % intervals that hold the true cut-off.
    """

    median: float
    low: float
    high: float
    settled: float
    largest: float
    covered: float


def extrapolation(tail: Any, alpha: float = 1e-4, n: int = 2000, runs: int = 100) -> Extrapolation:
    """How far off the rates of peaks-over-threshold fits are, from the law's survival function."""
    rng = np.random.default_rng(3)
    true, ratios, largest, covered = tail.isf(alpha), [], [], []
    for _ in range(runs):
        scores = tail.rvs(size=n, random_state=rng)
        threshold = fit_threshold("pot", scores, alpha)
        low, high = threshold.parameters["value_interval"]
        ratios.append(tail.sf(threshold.value) / alpha)
        largest.append(tail.sf(scores.max()) / alpha)
        covered.append(low <= true <= high)
    peaks, more = number_of_peaks(n, alpha), []
    for _ in range(10 * runs):
        scores = np.sort(tail.rvs(size=n, random_state=rng))
        more.append(tail.sf(tail_cut(scores, alpha, peaks)["value"]) / alpha)
    median, low, high = (float(v) for v in np.percentile(ratios, [50, 10, 90]))
    settled = float(np.median(more))
    return Extrapolation(
        median, low, high, settled, float(np.median(largest)), float(np.mean(covered))
    )


def drift_false_alarms(
    draw: Draw, level: float = 0.05, n: int = 200, rows: int = 500, runs: int = 2000
) -> Rate:
    """Share of exchangeable nights on which the drift test suspends the promise."""
    rng = np.random.default_rng(4)
    alarms = 0
    for run in range(runs):
        ids = np.arange(run * rows, (run + 1) * rows)
        scores = draw(rng, n + rows)
        verdict = watch(scores[:n], [(ids, scores[n:])], level=level, alpha=0.05)
        alarms += verdict.row_id is not None
    return Rate(alarms / runs, level, math.sqrt(level * (1 - level) / runs), math.nan)


class Delay(NamedTuple):
    """How soon a change is found.

    Attributes:
        found: share of the nights on which it is, at all and not before it begins.
        rows: median number of rows from the change to the alarm, where there was one.
    """

    found: float
    rows: float


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "0.1 sd higher": lambda s: s + 0.1,
    "0.2 sd higher": lambda s: s + 0.2,
    "0.5 sd higher": lambda s: s + 0.5,
    "0.5 sd lower": lambda s: s - 0.5,
    "1.5 times as wide": lambda s: 1.5 * s,
    "0.7 times as wide": lambda s: 0.7 * s,
}


def drift_delay(
    change: Callable[[np.ndarray], np.ndarray],
    n: int = 4000,
    before: int = 5000,
    after: int = 10_000,
    runs: int = 40,
) -> Delay:
    """A night of normal scores whose law changes half-way, at the default level of 0.001."""
    rng = np.random.default_rng(5)
    delays = []
    for _ in range(runs):
        scores = rng.normal(size=before + after)
        scores[before:] = change(scores[before:])
        ids = np.arange(len(scores))
        verdict = watch(rng.normal(size=n), [(ids, scores)], level=0.001, alpha=0.05)
        if verdict.row_id is not None and verdict.row_id >= before:
            delays.append(verdict.row_id - before)
    return Delay(len(delays) / runs, float(np.median(delays)) if delays else math.nan)


class Shifted(NamedTuple):
    """Rates on a night with another mix of rows.

    Attributes:
        plain, weighted: false-positive rates; the second NaN where no cut-off was left.
        effective: calibration rows that the weighted ones are worth.
    """

    plain: float
    weighted: float
    effective: float


def covariate_shift(
    shift: float, alpha: float = 0.05, n: int = 5000, latents: int = 8, runs: int = 20
) -> Shifted:
    """Rows whose score spreads with one latent, which is `shift` standard deviations higher."""
    rng = np.random.default_rng(6)
    plain, weighted, effective = np.empty(runs), np.empty(runs), np.empty(runs)
    for run in range(runs):
        calibration, night = rng.normal(size=(2, n, latents))
        night[:, 0] += shift
        known, new = (np.abs(rng.normal(size=n)) * (1 + z[:, 0] ** 2) for z in (calibration, night))
        weights = density_ratio(calibration, night, largest_weight(n, alpha))
        cut = weighted_cut(known, weights, alpha)
        plain[run] = np.mean(new > conformal_cut(np.sort(known), alpha))
        weighted[run] = np.nan if cut is None else np.mean(new > cut)
        effective[run] = weights.effective
    return Shifted(*(float(np.mean(v)) for v in (plain, weighted, effective)))
