"""Thresholds: values by hand, refusals, and the dict that lists them."""

import numpy as np
import pytest

from pipeline.errors import NotEnoughCalibrationRows, ThresholdError
from pipeline.thresholds import THRESHOLDS, fit_conformal, fit_threshold
from pipeline.thresholds.conformal import rows_needed
from vae_core import Threshold, conformal_cut, p_values

SCORES = np.arange(1.0, 100.0)  # n = 99


def test_conformal_by_hand() -> None:
    # k = ⌈100 · 0.95⌉ = 95: the 95th smallest of 1 … 99; 4 scores lie above, l = 5
    threshold = fit_conformal(SCORES, 0.05)
    assert threshold.value == 95
    assert (threshold.rank, threshold.n, threshold.guarantee) == (5, 99, True)
    assert threshold.interval[0] < 0.05 < threshold.interval[1]


def test_alpha_times_rows_is_safe_against_rounding() -> None:
    # 0.07 · 100 is 7.000000000000001 and 0.29 · 100 is 28.999999999999996 in floating point
    assert fit_conformal(SCORES, 0.07).rank == 7
    assert fit_conformal(SCORES, 0.29).rank == 29


def test_p_values_and_flags_agree() -> None:
    scores = np.linspace(-3, 110, 500)
    for alpha in (0.01, 0.05, 0.2):
        cut = conformal_cut(SCORES, alpha)
        np.testing.assert_array_equal(scores > cut, p_values(SCORES, scores) <= alpha)
    assert np.isnan(p_values(SCORES, np.array([np.nan]))).all()


def test_no_score_is_rarer_than_the_calibration_rows_can_say() -> None:
    assert p_values(SCORES, np.array([1e9])) == [0.01]
    assert conformal_cut(SCORES, 0.01) == 99
    assert conformal_cut(SCORES, 0.0099) == np.inf


def test_a_threshold_of_few_scores_shows_the_interval_of_its_value() -> None:
    few = fit_conformal(np.arange(10.0), 0.05, exact=False)
    assert (few.value, few.rank, few.guarantee) == (9.0, 1, False)
    assert few.interval[0] < 1 / 11 < few.interval[1]


def test_conditional_bound_is_stricter() -> None:
    marginal = fit_conformal(SCORES, 0.05)
    conditional = fit_conformal(SCORES, 0.05, conditional_delta=0.1)
    assert conditional.value > marginal.value
    assert conditional.rank == 2
    assert conditional.parameters == {"conditional_delta": 0.1}


@pytest.mark.parametrize(
    ("alpha", "delta"), [(0.05, None), (0.01, None), (0.05, 0.1), (0.01, 0.05)]
)
def test_rows_needed_is_the_exact_border(alpha: float, delta: float | None) -> None:
    needed = rows_needed(alpha, delta)
    assert fit_conformal(np.arange(float(needed)), alpha, delta).rank >= 1
    with pytest.raises(NotEnoughCalibrationRows, match=f"{needed}"):
        fit_conformal(np.arange(float(needed - 1)), alpha, delta)


def test_too_few_rows_for_alpha_point_to_extrapolation_where_it_can_be_had() -> None:
    for rows, told in ((399, False), (400, True)):
        with pytest.raises(NotEnoughCalibrationRows) as error:
            fit_conformal(np.arange(float(rows)), 1e-4)
        assert ("`threshold.method: pot`" in str(error.value.hint)) is told


def test_quantile_makes_no_promise() -> None:
    threshold = fit_threshold("quantile", SCORES, 0.05)
    assert threshold.value == pytest.approx(np.quantile(SCORES, 0.95))
    assert not threshold.guarantee
    with pytest.raises(NotEnoughCalibrationRows):
        fit_threshold("quantile", SCORES[:10], 0.05)
    with pytest.raises(ThresholdError, match="the largest of 99 calibration scores are equal"):
        fit_threshold("quantile", np.minimum(SCORES, 50), 0.05)


def test_thresholds_survive_json() -> None:
    threshold = fit_conformal(SCORES, 0.05)
    assert Threshold.from_dict(threshold.to_dict()) == threshold


def test_unknown_methods_list_what_is_known() -> None:
    with pytest.raises(ValueError, match=f"known: {', '.join(THRESHOLDS)}"):
        fit_threshold("magic", SCORES, 0.05)
