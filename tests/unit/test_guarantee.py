"""Intervals of a calibrated threshold against scipy's distributions and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.guarantee import beta_binomial_interval, beta_interval, effective_rank, judge_night


@pytest.mark.parametrize(("rank", "n"), [(1, 99), (10, 999), (60, 6000), (999, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_beta_interval_is_the_central_one(rank: int, n: int, confidence: float) -> None:
    low, high = beta_interval(rank, n, confidence)
    law = stats.beta(rank, n + 1 - rank)
    assert low == pytest.approx(law.ppf((1 - confidence) / 2), rel=1e-9)
    assert high == pytest.approx(law.ppf((1 + confidence) / 2), rel=1e-9)


@pytest.mark.parametrize("rank,n,rows", [(1, 99, 50), (10, 999, 700), (61, 6100, 6000), (5, 9, 3)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_beta_binomial_interval_is_scipys(rank: int, n: int, rows: int, confidence: float) -> None:
    law = stats.betabinom(rows, rank, n + 1 - rank)
    tail = (1 - confidence) / 2
    expected = int(law.ppf(tail)), int(law.ppf(1 - tail))
    assert beta_binomial_interval(rank, n, rows, confidence) == expected


def test_a_threshold_above_every_calibration_score_promises_zero() -> None:
    assert beta_interval(0, 50) == (0.0, 0.0)
    assert beta_binomial_interval(0, 50, 1000) == (0, 0)
    assert beta_binomial_interval(5, 50, 0) == (0, 0)


def test_a_huge_night_costs_its_plausible_counts_only() -> None:
    low, high = beta_binomial_interval(1000, 99_999, 30_000_000, 0.999)
    rate_low, rate_high = beta_interval(1000, 99_999, 0.999)
    # With this many rows the night adds almost no noise of its own.
    assert low / 3e7 == pytest.approx(rate_low, rel=2e-3)
    assert high / 3e7 == pytest.approx(rate_high, rel=2e-3)


def test_nights_of_calibration_like_rows_stay_inside() -> None:
    rng = np.random.default_rng(3)
    n, rows, alpha = 999, 400, 0.05
    rank = int(alpha * (n + 1))
    low, high = beta_binomial_interval(rank, n, rows, 0.9)
    inside = 0
    for _ in range(2000):
        threshold = np.partition(rng.random(n), n - rank)[n - rank]
        inside += low <= int((rng.random(rows) > threshold).sum()) <= high
    assert 0.87 <= inside / 2000 <= 0.96


def test_verdicts() -> None:
    usual = {"rows": 6000, "rank": 60, "n": 6000, "alpha": 0.01, "expected_share": 0.01}
    _, high = beta_binomial_interval(60, 6000, 6000)
    at_the_limit = judge_night(flagged=high + 60, **usual)
    assert at_the_limit.state == "in force"
    assert judge_night(flagged=high + 61, **usual).state == "broken"
    assert judge_night(flagged=0, **usual).state == "in force"
    assert judge_night(flagged=6000, promised=False, **usual).state == "none"
    assert judge_night(flagged=60, drifted=True, **usual).state == "suspended"
    assert judge_night(flagged=high + 61, drifted=True, **usual).state == "broken"
    assert judge_night(flagged=0, drifted=True, promised=False, **usual).state == "none"
    for drifted in (False, True):
        weighted = {**usual, "weighted": True, "drifted": drifted}
        assert judge_night(flagged=high + 60, **weighted).state == "approximate"
        assert judge_night(flagged=high + 61, **weighted).state == "broken"
    assert at_the_limit.limit == pytest.approx(high / 6000 + 0.01)
    empty = judge_night(flagged=0, rows=0, rank=1, n=99, alpha=0.01)
    assert (empty.state, empty.rate) == ("in force", 0.0)


@pytest.mark.parametrize(
    ("effective", "alpha", "rank", "n"),
    [(1000.0, 0.05, 50, 1000), (19.0, 0.05, 1, 19), (32.6, 0.03, 1, 32), (0.4, 0.5, 1, 1)],
)
def test_rank_among_weighted_rows(effective: float, alpha: float, rank: int, n: int) -> None:
    assert effective_rank(effective, alpha) == (rank, n)


@pytest.mark.parametrize("arguments", [(-1, 10), (11, 10), (0, 0)])
def test_arguments_out_of_range(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="rank"):
        beta_interval(*arguments)
    with pytest.raises(ValueError, match="rank"):
        beta_binomial_interval(*arguments, rows=5)


def test_confidence_and_rows_out_of_range() -> None:
    with pytest.raises(ValueError, match="confidence"):
        beta_interval(1, 10, 1.0)
    with pytest.raises(ValueError, match="rows"):
        beta_binomial_interval(1, 10, -1)
