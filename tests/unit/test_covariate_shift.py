"""Weighted conformal prediction: the law with true weights, and what estimated ones restore."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.covariate_shift import (
    Weights,
    density_ratio,
    largest_weight,
    weighted_cut,
    weighted_p_values,
)
from vae_core import conformal_cut, p_values


def rows(rng: np.random.Generator, n: int, shift: float, latents: int) -> np.ndarray:
    z = rng.normal(size=(n, latents))
    z[:, 0] += shift
    return z


def scores_of(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """A score that is larger for some kinds of rows: what makes a shift of kinds matter."""
    return np.abs(rng.normal(size=len(z))) * (1 + z[:, 0] ** 2)


@given(st.integers(1, 80), st.integers(0, 2**32 - 1), st.floats(0.01, 0.6))
def test_equal_weights_are_plain_conformal(n: int, seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    calibration, new = rng.integers(0, 30, n).astype(float), rng.integers(-2, 33, 40).astype(float)
    np.testing.assert_allclose(
        weighted_p_values(calibration, np.full(n, 0.5), new, 0.5),
        p_values(np.sort(calibration), new),
    )
    cut = weighted_cut(calibration, Weights(np.ones(n), 1.0, float(n)), alpha)
    if int(alpha * (n + 1) + 1e-9) >= 1:
        assert cut == conformal_cut(np.sort(calibration), alpha)
    else:
        assert cut is None


@given(st.integers(5, 80), st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))
def test_the_cut_is_where_p_values_pass_alpha(n: int, seed: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    calibration, new = np.round(rng.normal(size=n), 1), np.round(rng.normal(size=60) * 2, 1)
    weights = Weights(rng.gamma(2.0, size=n), 4.0, float(n))
    cut = weighted_cut(calibration, weights, alpha)
    p = weighted_p_values(calibration, weights.calibration, new, weights.largest)
    if cut is not None:
        np.testing.assert_array_equal(new > cut, p <= alpha * (1 + 1e-12))
    assert (weighted_p_values(calibration, weights.calibration, new, 1.0) <= p).all()


def test_true_weights_keep_the_promise_exactly() -> None:
    rng = np.random.default_rng(0)
    n, shift, alpha, runs = 200, 1.0, 0.1, 4000
    hits = np.empty(runs)
    for run in range(runs):
        z, new = rows(rng, n, 0.0, 1), rows(rng, 1, shift, 1)
        ratio = stats.norm.pdf(z[:, 0], shift) / stats.norm.pdf(z[:, 0])
        own = stats.norm.pdf(new[:, 0], shift) / stats.norm.pdf(new[:, 0])
        p = weighted_p_values(scores_of(rng, z), ratio, scores_of(rng, new), own)
        hits[run] = p[0] <= alpha
    assert hits.mean() <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)
    assert hits.mean() > 0.05  # and it is no empty promise


@pytest.mark.parametrize(("shift", "plain"), [(0.5, 0.065), (1.0, 0.11)])
def test_estimated_weights_restore_the_rate(shift: float, plain: float) -> None:
    rng = np.random.default_rng(1)
    alpha, unweighted, weighted = 0.05, [], []
    for _ in range(12):
        z, new = rows(rng, 4000, 0.0, 4), rows(rng, 4000, shift, 4)
        calibration, tonight = scores_of(rng, z), scores_of(rng, new)
        weights = density_ratio(z, new)
        cut = weighted_cut(calibration, weights, alpha)
        assert cut is not None and 1 <= weights.effective < 4000
        weighted.append((tonight > cut).mean())
        unweighted.append((tonight > conformal_cut(np.sort(calibration), alpha)).mean())
    assert np.mean(unweighted) > plain
    assert 0.03 < np.mean(weighted) < 0.058


def test_without_a_shift_weights_cost_little() -> None:
    rng = np.random.default_rng(2)
    z, new = rows(rng, 3000, 0.0, 16), rows(rng, 3000, 0.0, 16)
    weights = density_ratio(z, new)
    assert weights.effective > 0.95 * 3000
    assert weights.largest < 4
    calibration = scores_of(rng, z)
    cut = weighted_cut(calibration, weights, 0.05)
    assert cut == pytest.approx(conformal_cut(np.sort(calibration), 0.05), rel=0.1)


def test_rows_unlike_any_calibration_row_leave_no_cut() -> None:
    rng = np.random.default_rng(3)
    z, new = rows(rng, 500, 0.0, 2), rows(rng, 500, 30.0, 2)
    weights = density_ratio(z, new)
    assert weights.effective < 10
    assert weights.largest <= 20
    assert weighted_cut(scores_of(rng, z), weights, 0.05) is None


def test_too_heavy_a_row_of_its_own_leaves_no_cut() -> None:
    weights = Weights(np.full(60, 1.0), largest=2.0, effective=55.0)
    assert weighted_cut(np.arange(60.0), weights, 0.02) is None
    assert weights.calibration.sum() / weights.largest < 1 / 0.02 - 1  # what `decide` reports


def test_few_calibration_rows_are_weighted_less() -> None:
    assert largest_weight(100_000, 0.05) == 20
    assert largest_weight(400, 0.05) == 5
    assert largest_weight(100, 0.01) == 1
    rng = np.random.default_rng(5)
    z, new = rows(rng, 400, 0.0, 3), rows(rng, 400, 1.0, 3)
    weights = density_ratio(z, new, largest_weight(400, 0.05))
    assert weights.largest == 5
    calibration, tonight = scores_of(rng, z), scores_of(rng, new)
    cut = weighted_cut(calibration, weights, 0.05)
    assert cut is not None
    assert (tonight > cut).mean() < 0.7 * (
        tonight > conformal_cut(np.sort(calibration), 0.05)
    ).mean()


def test_absurd_and_constant_latents() -> None:
    rng = np.random.default_rng(4)
    z, new = rows(rng, 500, 0.0, 3), rows(rng, 500, 0.0, 3)
    z[:, 2] = new[:, 2] = 7.0
    new[0, 0] = 1e12
    assert density_ratio(z, new).effective > 450


def test_latents_must_fit() -> None:
    with pytest.raises(ValueError, match=r"between \(3, 2\) and \(3, 1\)"):
        density_ratio(np.ones((3, 2)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="no density ratio"):
        density_ratio(np.ones((0, 2)), np.ones((3, 2)))
