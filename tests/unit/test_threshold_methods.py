"""mad, pot and best_f1: values by hand, what they store, and what they refuse."""

import numpy as np
import pytest
from scipy import stats

from pipeline.errors import NotEnoughCalibrationRows, ThresholdError
from pipeline.thresholds import fit_threshold
from pipeline.thresholds.counted import exceedance_interval
from pipeline.thresholds.pareto import Pareto, anderson_darling, fit_pareto
from vae_core import Threshold


def test_mad_by_hand() -> None:
    threshold = fit_threshold("mad", np.arange(1.0, 12.0), 0.05)
    # median 6, absolute deviations 0 … 5 with median 3
    assert threshold.value == pytest.approx(6 + 1.6448536 * 1.4826 * 3)
    assert (threshold.n, threshold.rank, threshold.guarantee) == (11, 1, False)
    assert threshold.interval[0] == 0


def test_mad_holds_the_rate_of_gaussian_scores_only() -> None:
    rng = np.random.default_rng(0)
    gaussian = fit_threshold("mad", rng.normal(3.0, 2.0, 20_000), 0.01)
    assert stats.norm(3, 2).sf(gaussian.value) == pytest.approx(0.01, rel=0.1)
    heavy = fit_threshold("mad", rng.lognormal(size=20_000), 0.01)
    assert stats.lognorm(1).sf(heavy.value) > 0.05


def test_mad_shrugs_off_anomalies_among_the_calibration_rows() -> None:
    rng = np.random.default_rng(1)
    clean = rng.normal(size=2000)
    dirty = np.concatenate([clean, rng.normal(50.0, 1.0, 200)])
    moved = fit_threshold("mad", dirty, 0.01).value - fit_threshold("mad", clean, 0.01).value
    assert 0 < moved < 0.5
    assert fit_threshold("conformal", dirty, 0.01).value > 40


def test_mad_refuses_scores_without_spread() -> None:
    with pytest.raises(ThresholdError, match="more than half of the 20 calibration scores"):
        fit_threshold("mad", np.repeat([1.0, 2.0], [15, 5]), 0.05)
    with pytest.raises(NotEnoughCalibrationRows, match="at least 10"):
        fit_threshold("mad", np.arange(9.0), 0.05)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.25, 0.8])
def test_the_pareto_fit_finds_shape_and_scale(shape: float) -> None:
    law = Pareto(shape, 2.0)
    sample = np.sort(law.excess(1.0 - np.random.default_rng(3).random(20_000)))
    fitted = fit_pareto(sample)
    assert fitted.shape == pytest.approx(shape, abs=0.03)
    assert fitted.scale == pytest.approx(2.0, rel=0.04)
    # scipy's law, and its own distance for fully known parameters
    theirs = stats.genpareto(shape, scale=2.0)
    np.testing.assert_allclose(law.log_survival(sample), theirs.logsf(sample), rtol=1e-6, atol=1e-9)
    assert law.excess(0.01) == pytest.approx(theirs.isf(0.01), rel=1e-9)
    u = theirs.cdf(sample)
    i = np.arange(1, len(u) + 1)
    textbook = -len(u) - np.mean((2 * i - 1) * (np.log(u) + np.log1p(-u[::-1])))
    assert anderson_darling(sample, law) == pytest.approx(textbook, rel=1e-6)
    beyond = theirs.expect(lambda y: y - 1.0, lb=1.0) / theirs.sf(1.0)
    assert law.mean_excess(1.0) == pytest.approx(beyond, rel=1e-3)
    assert Pareto(1.2, 2.0).mean_excess(1.0) == np.inf


def test_pot_goes_beyond_the_largest_score() -> None:
    scores = np.random.default_rng(10).standard_t(3, size=2000)
    threshold = fit_threshold("pot", scores, 1e-4)
    assert threshold.value > np.sort(scores)[-3]
    found = threshold.parameters
    assert found["peaks"] == 78
    assert found["level"] == np.sort(scores)[2000 - 79]
    low, high = found["value_interval"]
    assert low < threshold.value < high
    assert [fit["peaks"] for fit in found["stability"]] == [39, 156]
    assert 0.5 < found["mean_excess_ratio"] < 2
    assert threshold == fit_threshold("pot", scores[::-1], 1e-4)
    assert Threshold.from_dict(threshold.to_dict()) == threshold


def test_pot_interval_and_fit_over_thirty_samples() -> None:
    true, fits = stats.lognorm(1).isf(1e-4), []
    for seed in range(30):
        scores = np.random.default_rng(seed).lognormal(size=2000)
        fits.append(fit_threshold("pot", scores, 1e-4).parameters)
    low, high = np.transpose([fit["value_interval"] for fit in fits])
    # 90 % intervals: 21 of 30 or fewer has a probability of 0.2 %
    assert ((low < true) & (true < high)).sum() > 21
    assert np.mean([fit["fit_p_value"] < 0.1 for fit in fits]) < 0.3


def test_pot_within_the_data_is_the_quantile() -> None:
    scores = np.random.default_rng(5).gamma(2.0, size=5000)
    value = fit_threshold("pot", scores, 0.05).value
    assert stats.gamma(2).sf(value) == pytest.approx(0.05, rel=0.1)
    assert fit_threshold("pot", scores, 0.01).value > value


def test_pot_tells_a_tail_that_is_none() -> None:
    rng = np.random.default_rng(6)
    two_groups = np.concatenate([rng.normal(size=2000), rng.normal(30.0, 0.5, 25)])
    found = fit_threshold("pot", two_groups, 1e-3).parameters
    assert found["fit_p_value"] < 0.01
    assert found["mean_excess_ratio"] is None and found["shape"] > 1
    shapes = [fit["shape"] for fit in found["stability"]]
    assert max(shapes) - min(shapes) > 1


def test_pot_follows_units() -> None:
    scores = np.random.default_rng(7).lognormal(size=1000)
    one, other = (fit_threshold("pot", s, 1e-3) for s in (scores, 50 + 1000 * scores))
    assert other.value == pytest.approx(50 + 1000 * one.value, rel=1e-9)
    assert other.parameters["shape"] == pytest.approx(one.parameters["shape"], abs=1e-9)


@pytest.mark.parametrize("tied", [39, 45])
def test_pot_leaves_out_the_halved_tail_where_it_is_one_value(tied: int) -> None:
    scores = np.sort(np.random.default_rng(9).lognormal(size=2000))
    scores[-tied:] = scores[-1]
    threshold = fit_threshold("pot", scores, 0.01)
    peaks = threshold.parameters["peaks"]
    assert [tail["peaks"] > peaks for tail in threshold.parameters["stability"]] == [True]


def test_pot_refuses_what_has_no_tail() -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(NotEnoughCalibrationRows, match="at least 400"):
        fit_threshold("pot", rng.normal(size=399), 0.01)
    with pytest.raises(ThresholdError, match="only 9 distinct values"):
        fit_threshold("pot", rng.integers(0, 300, 5000) / 100, 0.01)
    with pytest.raises(ThresholdError, match="only 1 distinct values"):
        fit_threshold("pot", np.ones(1000), 0.01)
    with pytest.raises(ThresholdError, match=r"alpha = 0\.2 is above 0\.1"):
        fit_threshold("pot", rng.normal(size=1000), 0.2)
    with pytest.raises(ThresholdError, match="40 peaks of 1,000 calibration rows"):
        fit_threshold("pot", rng.normal(size=1000), 0.05, peaks=40)


def test_best_f1_by_hand() -> None:
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    labels = np.array([True, False, True, False, False, True])
    # flagging 5 and 4: precision 1, recall 2/3, F1 0.8
    threshold = fit_threshold("best_f1", scores, 0.05, labels=labels)
    assert threshold.value == 3.5
    found = threshold.parameters
    assert (found["precision"], found["recall"]) == (1.0, pytest.approx(2 / 3))
    assert found["f_score"] == pytest.approx(0.8)
    assert (threshold.n, threshold.rank, found["anomalies"]) == (3, 1, 3)
    # with recall nine times as important everything is worth flagging
    eager = fit_threshold("best_f1", scores, 0.05, labels=labels, f_beta=9)
    assert eager.value < 0 and eager.parameters["recall"] == 1
    assert eager.rank == 3


def test_best_f1_is_the_best_of_all_cuts() -> None:
    rng = np.random.default_rng(9)
    labels = rng.random(500) < 0.1
    scores = np.round(rng.normal(size=500) + 1.5 * labels, 1)  # many ties
    for f_beta in (0.5, 1.0, 2.0):
        threshold = fit_threshold("best_f1", scores, 0.05, labels=labels, f_beta=f_beta)

        def f_score(cut: float, f_beta: float = f_beta) -> float:
            flagged = scores > cut
            hits = (flagged & labels).sum()
            return (1 + f_beta**2) * hits / (f_beta**2 * labels.sum() + flagged.sum())

        reached = max(f_score(cut) for cut in [-10.0, *scores])
        assert f_score(threshold.value) == pytest.approx(reached)
        assert threshold.parameters["f_score"] == pytest.approx(reached)


def test_best_f1_between_neighbouring_floats() -> None:
    high = np.nextafter(1.0, 2.0)
    threshold = fit_threshold("best_f1", np.array([1.0, high]), 0.1, np.array([False, True]))
    assert (threshold.value < 1.0, high > threshold.value) == (False, True)


def test_best_f1_needs_both_classes() -> None:
    scores = np.arange(10.0)
    with pytest.raises(ThresholdError, match="no label column"):
        fit_threshold("best_f1", scores, 0.05)
    with pytest.raises(ThresholdError, match="all 10 labelled calibration rows are normal rows"):
        fit_threshold("best_f1", scores, 0.05, labels=np.zeros(10, bool))
    with pytest.raises(ThresholdError, match="all 10 labelled calibration rows are anomalies"):
        fit_threshold("best_f1", scores, 0.05, labels=np.ones(10, bool))


def test_parameters_belong_to_methods() -> None:
    with pytest.raises(ValueError, match="'conditional_delta' belongs to method conformal"):
        fit_threshold("mad", np.arange(50.0), 0.05, conditional_delta=0.1)
    with pytest.raises(ValueError, match="'colour' is no parameter"):
        fit_threshold("mad", np.arange(50.0), 0.05, colour="red")
    assert fit_threshold("mad", np.arange(50.0), 0.05, conditional_delta=None).method == "mad"


def test_labels_reach_only_methods_that_choose_by_them() -> None:
    scores, labels = np.arange(99.0), np.arange(99) > 90
    for method in ("conformal", "quantile", "mad"):
        plain = fit_threshold(method, scores, 0.05)
        assert fit_threshold(method, scores, 0.05, labels=labels) == plain


def test_exceedance_interval_is_clopper_and_pearsons() -> None:
    for exceeding, n in ((0, 100), (3, 100), (100, 100)):
        theirs = stats.binomtest(exceeding, n).proportion_ci(0.9, "exact")
        low, high = exceedance_interval(exceeding, n)
        assert low == pytest.approx(theirs.low, abs=1e-12)
        assert high == pytest.approx(theirs.high, abs=1e-12)
