"""What every threshold method owes, whichever it is: runs over the dict."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.guarantee import beta_binomial_interval
from pipeline.thresholds import THRESHOLDS, fit_threshold, needs_labels
from vae_core import Threshold

RNG = np.random.default_rng(0)
SCORES = RNG.gamma(3.0, size=1000)
LABELS = RNG.random(1000) < 0.1
SCORES[LABELS] += 4.0


def fit(method: str, scores: np.ndarray = SCORES, alpha: float = 0.02) -> Threshold:
    return fit_threshold(method, scores, alpha, labels=LABELS)


@pytest.mark.parametrize("method", THRESHOLDS)
def test_it_says_what_it_is(method: str) -> None:
    threshold = fit(method)
    assert (threshold.method, threshold.alpha) == (method, 0.02)
    assert np.isfinite(threshold.value)
    counted = SCORES[~LABELS] if needs_labels(method) else SCORES
    assert threshold.n == len(counted)
    assert np.sum(counted > threshold.value) < max(threshold.rank, 1) <= threshold.n
    low, high = threshold.interval
    assert 0 <= low < high <= 1
    observed = np.mean(counted > threshold.value)
    assert low <= observed + 1 / threshold.n and observed <= high
    # what nights and gates do with any threshold
    beta_binomial_interval(threshold.rank, threshold.n, 5000)


@pytest.mark.parametrize("method", THRESHOLDS)
def test_it_survives_json(method: str) -> None:
    threshold = fit(method)
    stored = json.loads(json.dumps(threshold.to_dict(), allow_nan=False))
    assert Threshold.from_dict(stored) == threshold


@pytest.mark.parametrize("method", THRESHOLDS)
def test_it_follows_units_and_leaves_its_input_alone(method: str) -> None:
    before = SCORES.copy()
    plain, moved = fit(method), fit(method, 100.0 + 7.0 * SCORES)
    assert moved.value == pytest.approx(100.0 + 7.0 * plain.value, rel=1e-9)
    np.testing.assert_array_equal(SCORES, before)


@pytest.mark.parametrize("method", [m for m in THRESHOLDS if not needs_labels(m)])
def test_it_rises_as_alpha_falls_and_needs_no_order(method: str) -> None:
    values = [fit(method, alpha=alpha).value for alpha in (0.1, 0.05, 0.02, 0.01)]
    assert values == sorted(values)
    assert fit_threshold(method, SCORES[::-1], 0.02) == fit_threshold(method, SCORES, 0.02)


@pytest.mark.parametrize("method", THRESHOLDS)
def test_scores_without_a_label_are_not_chosen_by(method: str) -> None:
    labelled = np.arange(1000) % 4 != 0
    found = fit_threshold(method, SCORES, 0.02, LABELS & labelled, labelled)
    seen = labelled if needs_labels(method) else np.ones(1000, bool)
    assert found == fit_threshold(method, SCORES[seen], 0.02, LABELS[seen])


def test_only_conformal_promises() -> None:
    assert [m for m in THRESHOLDS if fit(m).guarantee] == ["conformal"]
