"""What a calibrated threshold promises, and whether a night kept it.

A split-conformal threshold lies at the `rank`-th largest of `n` calibration scores
(rank l = ⌊alpha (n + 1)⌋, l = 0 when it lies above all of them). For rows exchangeable
with the calibration rows:

- its *true* false-alarm rate, over the draw of the calibration rows, is
  Beta(l, n + 1 − l) distributed: `beta_interval`;
- the *number* of false alarms among `rows` further rows is beta-binomial
  BB(rows, l, n + 1 − l): `beta_binomial_interval`, which adds the sampling noise of the
  night itself, so a night is held against this one.

Reference:
    Vovk (2012), "Conditional validity of inductive conformal predictors", Prop. 2;
    Angelopoulos and Bates (2021), "A gentle introduction to conformal prediction",
    section 3.2 (coverage is beta) and appendix C (a finite validation set is beta-binomial).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

NIGHT_CONFIDENCE = 0.999
"""Central probability of the interval a night's alert count is held against."""

_PIECE = 1 << 20
_WINDOW = 60.0

Promise = Literal["in force", "approximate", "broken", "suspended", "none"]


@dataclass(frozen=True)
class Guarantee:
    """How one night's alert rate stands to what its threshold promises.

    All rates are shares of the rows scored, in [0, 1].

    Attributes:
        state: "in force"; "broken" when the alert rate exceeds `limit`; "suspended" when it does
            not, but the rows are no longer exchangeable with the calibration rows; "approximate"
            when it does not, and weights that are estimated chose the alerts; "none" when
            the threshold makes no promise (its method has none, or too few calibration rows).
        rate: rows judged / rows: those flagged, or the alerts where weights chose them.
        low, high: interval of the false-alarm rate that `confidence` allows by chance alone.
        expected_share: share of true anomalies that the config expects each night.
        limit: high + expected_share, the largest alert rate that the promise explains.
        alpha: the promised false-alarm rate.
        confidence: central probability of (low, high).
    """

    state: Promise
    rate: float
    low: float
    high: float
    expected_share: float
    limit: float
    alpha: float
    confidence: float


def beta_interval(rank: int, n: int, confidence: float = NIGHT_CONFIDENCE) -> tuple[float, float]:
    """Central interval of a conformal threshold's true false-alarm rate.

    Args:
        rank: l, the threshold being the l-th largest calibration score, 0 … n.
        n: number of calibration rows, ≥ 1.
        confidence: central probability, in (0, 1).

    Returns:
        (low, high), rates in [0, 1]; (0, 0) for rank 0, a threshold that nothing exceeds
        almost surely.

    Raises:
        ValueError: for arguments out of range.

    Reference:
        Vovk (2012), Prop. 2.
    """
    _check(rank, n, confidence)
    if rank == 0:
        return 0.0, 0.0
    tail = (1.0 - confidence) / 2.0
    low = special.betaincinv(rank, n + 1 - rank, tail)
    high = special.betainccinv(rank, n + 1 - rank, tail)
    return float(low), float(high)


def beta_binomial_interval(
    rank: int, n: int, rows: int, confidence: float = NIGHT_CONFIDENCE
) -> tuple[int, int]:
    """Central interval of the number of false alarms among `rows` rows.

    The smallest counts whose cumulative probabilities reach (1 − confidence)/2 and
    1 − (1 − confidence)/2 under BB(rows, rank, n + 1 − rank): a count below `low`, or one
    above `high`, has a probability of at most (1 − confidence)/2 each.

    Args:
        rank: l, the threshold being the l-th largest calibration score, 0 … n.
        n: number of calibration rows, ≥ 1.
        rows: number of rows scored, ≥ 0.
        confidence: central probability, in (0, 1).

    Returns:
        (low, high), counts in 0 … rows.

    Raises:
        ValueError: for arguments out of range.

    Reference:
        Angelopoulos and Bates (2021), appendix C.
    """
    _check(rank, n, confidence)
    if rows < 0:
        raise ValueError(f"rows must not be negative, got {rows}")
    if rank == 0 or rows == 0:
        return 0, 0
    a, b = float(rank), float(n + 1 - rank)
    tail = (1.0 - confidence) / 2.0
    # Beyond 60 standard deviations nothing of 1e-12 is left even for rank 1, whose rate is
    # almost exponential: a night of 10⁹ rows then costs no more than its plausible counts.
    mean = rows * a / (a + b)
    sd = np.sqrt(mean * (b / (a + b)) * (a + b + rows) / (a + b + 1.0))
    first = max(0, int(mean - _WINDOW * sd) - 1)
    last = min(rows, int(mean + _WINDOW * sd) + 1)
    low: int | None = None
    reached = 0.0
    for start in range(first, last + 1, _PIECE):
        counts = np.arange(start, min(start + _PIECE, last + 1), dtype=np.float64)
        cumulative = reached + np.cumsum(np.exp(_log_probability(counts, rows, a, b)))
        if low is None and cumulative[-1] >= tail:
            low = start + int(np.searchsorted(cumulative, tail))
        if cumulative[-1] >= 1.0 - tail:
            high = start + int(np.searchsorted(cumulative, 1.0 - tail))
            return (high if low is None else low), high
        reached = float(cumulative[-1])
    return (last if low is None else low), last


def effective_rank(effective: float, alpha: float) -> tuple[int, int]:
    """Rank and number of rows of a conformal cut-off by rows that weigh unequally.

    The laws of this module are of equal rows; as many as the weighted ones are worth stand in for
    them, which is an approximation.

    Args:
        effective: rows that the weighted ones are worth, ≥ 1.
        alpha: in (0, 1).

    Returns:
        (rank, n), 1 ≤ rank ≤ n.
    """
    from vae_core import conformal_rank

    n = max(1, int(effective + 1e-9))
    return min(n, max(1, conformal_rank(n, alpha))), n


def judge_night(
    *,
    flagged: int,
    rows: int,
    rank: int,
    n: int,
    alpha: float,
    promised: bool = True,
    drifted: bool = False,
    weighted: bool = False,
    expected_share: float = 0.0,
    confidence: float = NIGHT_CONFIDENCE,
) -> Guarantee:
    """Decide from unlabelled data alone whether a night kept the promise of its threshold.

    True anomalies raise the alert rate too, so the config's expected share of them is added
    to what chance allows; an alert rate beyond both says that the rows no longer look like
    the calibration rows. A low alert rate never breaks the promise of *at most* alpha.

    Args:
        flagged: rows with a score above the per-row threshold, or above the weighted cut-off where
            there is one, 0 … rows.
        rows: rows scored, ≥ 0.
        rank, n: of the threshold, as in `beta_interval`.
        alpha: promised false-alarm rate.
        promised: whether the threshold's method makes the promise at all.
        drifted: whether `pipeline.drift` found that exchangeability broke.
        weighted: whether estimated weights made the cut-off. Another mix of rows, which they are
            for, breaks exchangeability, so that `drifted` says nothing against it.
        expected_share: share of true anomalies expected, in [0, 1].
        confidence: central probability of the interval.

    Returns:
        The verdict with the figures that led to it.
    """
    low, high = beta_binomial_interval(rank, n, rows, confidence) if rows else (0, 0)
    rate = flagged / rows if rows else 0.0
    limit = (high / rows if rows else 0.0) + expected_share
    state: Promise = "none"
    if weighted:
        state = "broken" if rate > limit else "approximate"
    elif promised:
        state = "broken" if rate > limit else "suspended" if drifted else "in force"
    return Guarantee(
        state=state,
        rate=rate,
        low=low / rows if rows else 0.0,
        high=high / rows if rows else 0.0,
        expected_share=expected_share,
        limit=limit,
        alpha=alpha,
        confidence=confidence,
    )


def _log_probability(counts: np.ndarray, rows: int, a: float, b: float) -> np.ndarray:
    """log P(K = counts) under BB(rows, a, b)."""
    choose = -np.log1p(rows) - special.betaln(rows - counts + 1.0, counts + 1.0)
    return choose + special.betaln(counts + a, rows - counts + b) - special.betaln(a, b)


def _check(rank: int, n: int, confidence: float) -> None:
    if n < 1 or not 0 <= rank <= n:
        raise ValueError(f"need n >= 1 and 0 <= rank <= n, got rank={rank}, n={n}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
