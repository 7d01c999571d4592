"""Laws of thresholds and p-values."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from pipeline.thresholds import fit_conformal
from vae_core import conformal_cut, p_values

scores = st.lists(
    st.floats(-1e6, 1e6, allow_nan=False), min_size=30, max_size=200
).map(lambda v: np.sort(np.array(v)))  # fmt: skip
alphas = st.floats(0.04, 0.9)


@given(scores, alphas, alphas)
def test_threshold_falls_as_alpha_rises(calibration: np.ndarray, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert fit_conformal(calibration, low).value >= fit_conformal(calibration, high).value


@given(scores, alphas)
def test_at_most_the_promised_share_of_calibration_rows_exceeds(
    calibration: np.ndarray, alpha: float
) -> None:
    threshold = fit_conformal(calibration, alpha)
    exceeding = int((calibration > threshold.value).sum())
    assert exceeding <= threshold.rank - 1
    assert exceeding + 1 <= alpha * (len(calibration) + 1) + 1e-9


@given(scores, st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_p_values_fall_as_scores_rise(calibration: np.ndarray, new: list[float]) -> None:
    p = p_values(calibration, np.sort(np.array(new)))
    assert (np.diff(p) <= 0).all()
    assert (p >= 1 / (len(calibration) + 1)).all()
    assert (p <= 1).all()


@given(st.integers(30, 200), st.integers(0, 2**32 - 1), alphas)
def test_flags_do_not_change_under_increasing_maps(n: int, seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    calibration, new = np.sort(rng.normal(size=n)), rng.normal(size=50)
    plain = new > conformal_cut(calibration, alpha)
    mapped = np.sinh(new) > conformal_cut(np.sinh(calibration), alpha)
    np.testing.assert_array_equal(plain, mapped)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.05, 0.1]))
def test_false_positives_follow_the_beta_binomial(seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    n, rows, rounds = 199, 500, 200
    flagged = [
        int((rng.normal(size=rows) > fit_conformal(rng.normal(size=n), alpha).value).sum())
        for _ in range(rounds)
    ]
    law = betabinom(rows, int(alpha * (n + 1)), n + 1 - int(alpha * (n + 1)))
    # the mean of 200 independent nights lies within 6 standard errors
    assert abs(np.mean(flagged) - law.mean()) < 6 * law.std() / np.sqrt(rounds)
