"""What thresholds promise, on scores of known law: the benchmark's simulations, with its floors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import laws
from benchmarks.laws import SCORES, TAILS, TIED
from pipeline.thresholds.pot import number_of_peaks, tail_cut


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("scores", SCORES)
def test_marginal_rates_are_those_of_the_law(scores: str, alpha: float) -> None:
    rate = laws.marginal(SCORES[scores], alpha)
    assert rate.expected == pytest.approx(alpha)
    assert abs(rate.measured - rate.expected) <= 3 * rate.error
    assert rate.inside >= 0.9 - 3 * math.sqrt(0.09 / 2000)


def test_the_law_with_an_alpha_that_no_rank_meets() -> None:
    rate = laws.marginal(SCORES["normal"], 0.03, n=150)
    assert rate.expected == 4 / 151
    assert abs(rate.measured - rate.expected) <= 3 * rate.error


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("scores", TIED)
def test_ties_are_bounded_from_above(scores: str, alpha: float) -> None:
    rate = laws.marginal(TIED[scores], alpha)
    assert rate.measured <= rate.expected + 3 * rate.error


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 200), (0.05, 1000), (0.01, 10_000)])
def test_the_conditional_bound_holds_for_all_but_delta_of_calibrations(
    alpha: float, n: int
) -> None:
    rate = laws.conditional(alpha, n, delta=0.1)
    assert rate.measured <= 0.1 + 3 * rate.error
    assert rate.inside > 0.4  # what the marginal threshold does, which is right on average only


@pytest.mark.parametrize(("share", "distance"), [(0.01, 4.0), (0.01, 5.0), (0.05, 3.0)])
def test_false_discoveries_and_power(share: float, distance: float) -> None:
    found = laws.false_discoveries(share, distance)
    assert found.rate <= 0.1 + 2 * found.error
    assert found.power >= 0.95 * found.oracle
    assert found.oracle > 0.5


def test_weak_and_rare_anomalies_need_many_calibration_rows() -> None:
    few, many = (laws.false_discoveries(0.002, 4.0, n=n, runs=50) for n in (10_000, 100_000))
    for found in (few, many):
        assert found.rate <= 0.1 + 2 * found.error
    assert few.power < 0.9 * many.power
    assert many.power > 0.95 * many.oracle


@pytest.mark.parametrize(
    "tail", ["Student-t, 3", "Student-t, 5", "Student-t, 10", "lognormal", "normal", "Burr, 2, 1.5"]
)
def test_extrapolated_rates_are_right_in_the_middle(tail: str) -> None:
    law, rng = TAILS[tail], np.random.default_rng(7)
    peaks, ratios = number_of_peaks(2000, 1e-4), []
    for _ in range(1000):
        scores = np.sort(law.rvs(size=2000, random_state=rng))
        ratios.append(law.sf(tail_cut(scores, 1e-4, peaks)["value"]) / 1e-4)
    assert 0.8 <= np.median(ratios) <= 1.25


@pytest.mark.slow
@pytest.mark.parametrize("tail", ["Student-t, 3", "Student-t, 5", "lognormal"])
def test_peaks_over_threshold_whole(tail: str) -> None:
    found = laws.extrapolation(TAILS[tail], alpha=1e-4, n=2000, runs=100)
    assert 0.5 <= found.median <= 2
    assert found.largest > 2  # what the highest score, the best that counting can do, gives
    assert found.covered >= 0.8
    assert found.low > 0.03 and found.high < 15


@pytest.mark.slow
@pytest.mark.parametrize("change", ["0.2 sd higher", "0.5 sd lower", "0.7 times as wide"])
def test_changes_are_found(change: str) -> None:
    delay = laws.drift_delay(laws.CHANGES[change])
    assert delay.found >= 0.95
    assert delay.rows < 2000
