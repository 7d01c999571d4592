"""Detection metrics against scikit-learn, intervals against simulation."""

import numpy as np
import pytest
from sklearn import metrics

from pipeline import evaluate as ev


@pytest.fixture(params=["continuous", "tied"])
def labelled(request):
    rng = np.random.default_rng(3)
    labels = rng.random(4000) < 0.1
    scores = rng.normal(size=4000) + 1.5 * labels
    return labels, np.round(scores, 1) if request.param == "tied" else scores


def test_auroc_and_average_precision_agree_with_scikit_learn(labelled):
    labels, scores = labelled
    assert ev.auroc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert ev.average_precision(labels, scores) == pytest.approx(
        metrics.average_precision_score(labels, scores)
    )


def test_recall_at_alpha_never_spends_more_than_alpha(labelled):
    labels, scores = labelled
    for alpha in (0.001, 0.01, 0.2):
        threshold = ev.threshold_at_alpha(labels, scores, alpha)
        flags = scores > threshold
        assert ev.false_positive_rate(labels, flags) <= alpha
        assert ev.recall_at_alpha(labels, scores, alpha) == pytest.approx(ev.recall(labels, flags))


def test_evaluate_gives_every_metric_an_interval_around_it(labelled):
    labels, scores = labelled
    result = ev.evaluate(labels, scores, threshold=1.5, alpha=0.05, draws=50)
    assert list(result) == list(ev.METRICS)
    for estimate in result.values():
        assert estimate.lower <= estimate.value <= estimate.upper
    assert result["auroc"].value == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert result["false_positive_rate"].value == pytest.approx((scores > 1.5)[~labels].mean())
    assert result == ev.evaluate(labels, scores, threshold=1.5, alpha=0.05, draws=50)


def test_auroc_interval_has_the_width_of_the_known_error():
    rng = np.random.default_rng(0)
    labels = np.arange(2000) < 200
    scores = rng.normal(size=2000) + labels
    estimate = ev.evaluate(labels, scores, 0.0, 0.05, draws=400)["auroc"]
    area = estimate.value  # Hanley and McNeil 1982
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + 199 * (q1 - area**2) + 1799 * (q2 - area**2)
    known = np.sqrt(variance / (200 * 1800))
    assert (estimate.upper - estimate.lower) / 3.92 == pytest.approx(known, rel=0.15)


@pytest.mark.parametrize("labels", [np.zeros(5, bool), np.ones(5, bool)])
def test_one_class_alone_is_refused(labels):
    with pytest.raises(ValueError, match="both classes"):
        ev.evaluate(labels, np.arange(5.0), 0.0, 0.1)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        ev.auroc([True, False], [np.nan, 1.0])


def test_beta_interval_covers_the_true_rate():
    rng = np.random.default_rng(1)
    n, rank = 499, 25
    # The rank-th largest of n uniforms: its exceedance probability is the true rate.
    true_rate = 1.0 - np.sort(rng.random((4000, n)), axis=1)[:, -rank]
    lower, upper = ev.beta_interval(rank, n, 0.9)
    assert np.mean((true_rate >= lower) & (true_rate <= upper)) == pytest.approx(0.9, abs=0.015)


def test_beta_binomial_interval_covers_nights():
    rng = np.random.default_rng(2)
    n, rank, rows = 999, 10, 600
    rates = rng.beta(rank, n + 1 - rank, size=200_000)
    shares = rng.binomial(rows, rates) / rows
    lower, upper = ev.beta_binomial_interval(n, rank, rows, 0.99)
    assert np.mean(shares < lower) <= 0.0055
    assert np.mean(shares > upper) <= 0.0055
    assert np.mean(shares >= upper) > 0.0045  # no wider than the counts force it to be


def test_beta_binomial_interval_equals_the_library_on_small_cases():
    from scipy.stats import betabinom

    lower, upper = ev.beta_binomial_interval(99, 5, 40, 0.95)
    assert lower * 40 == betabinom.ppf(0.025, 40, 5, 95)
    assert upper * 40 == betabinom.ppf(0.975, 40, 5, 95)


def test_beta_binomial_interval_narrows_to_the_beta_interval():
    beta = ev.beta_interval(100, 9999, 0.99)
    wide = ev.beta_binomial_interval(9999, 100, 50_000_000, 0.99)
    assert wide == pytest.approx(beta, rel=0.01)


def test_intervals_without_rows_or_rank():
    assert ev.beta_interval(0, 10) == (0.0, 0.0)
    assert ev.beta_binomial_interval(10, 0, 100) == (0.0, 0.0)
    assert ev.beta_binomial_interval(10, 1, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="rank must lie"):
        ev.beta_interval(11, 10)
