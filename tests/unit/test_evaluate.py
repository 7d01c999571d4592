"""Detection metrics against scikit-learn and a known error."""

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
        found = ev.evaluate(labels, scores, 0.0, alpha, draws=0)["recall_at_alpha"].value
        cuts = np.unique(scores)
        spent = np.array([(scores[~labels] > cut).mean() for cut in cuts])
        best = cuts[np.argmax(spent <= alpha)]
        assert found == pytest.approx((scores[labels] > best).mean())


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
