"""Gates: what each of them lets through, and what it stops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from registered import rows, scorer

from pipeline import gates
from pipeline.comparison import compare
from pipeline.sampling import Rows
from pipeline.thresholds import fit_threshold
from vae_core import Threshold

CONFORMAL = Threshold(0.99, "conformal", 0.01, 999, 10, (0.005, 0.02), True)


class Served:
    """Stands where MLflow's loaded model stands."""

    def __init__(self, one: Any, shift: float = 0.0) -> None:
        self.one, self.shift = one, shift

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        data = {name: frame[name].to_numpy() for name in frame.columns}
        out = pd.DataFrame(self.one.score(data))
        out["anomaly_score"] += self.shift
        return out


def test_equal_scores_pass_and_the_smallest_difference_does_not() -> None:
    few, one = Rows(rows(30, 5), None), scorer()
    assert gates.reproduces(one, scorer(), Served(one), few).passed
    assert not gates.reproduces(one, scorer(seed=1), Served(scorer(seed=1)), few).passed
    moved = gates.reproduces(one, scorer(), Served(one, 1e-12), few)
    assert not moved.passed and "anomaly_score" in moved.detail


def test_promise_is_checked_against_the_interval_for_that_many_rows() -> None:
    rng = np.random.default_rng(0)
    exchangeable = rng.random(2000)
    assert gates.holds_its_rate(exchangeable, CONFORMAL, 0.0, "rows").passed
    drifted = exchangeable * 1.03
    failed = gates.holds_its_rate(drifted, CONFORMAL, 0.0, "rows")
    assert not failed.passed and failed.blocking and "2,000 rows" in failed.detail
    assert gates.holds_its_rate(drifted, CONFORMAL, 0.05, "rows").passed
    assert gates.holds_its_rate(np.zeros(0), CONFORMAL, 0.0, "rows").passed


def test_a_rate_that_no_method_promised_is_not_called_alphas() -> None:
    rng = np.random.default_rng(0)
    heavy, labels = rng.lognormal(0, 1.5, 600), rng.random(600) < 0.1
    mad = gates.holds_its_rate(heavy, fit_threshold("mad", heavy, 0.05), 0.0, "validation rows")
    assert mad.passed and "explains up to" in mad.detail
    assert "alpha 0.05 explains" not in mad.detail
    assert "the share of calibration rows above the threshold explains" in mad.detail
    assert mad.detail.endswith("method mad promises no rate, asked was alpha 0.05")
    best = fit_threshold("best_f1", heavy, 0.05, labels)
    assert gates.holds_its_rate(heavy, best, 0.0, "rows").detail.endswith("promises no rate")
    kept = gates.holds_its_rate(heavy, fit_threshold("conformal", heavy, 0.05), 0.0, "rows")
    assert "; alpha 0.05 explains up to" in kept.detail


def test_a_cut_off_that_flags_most_rows_does_not_pass() -> None:
    scores = np.arange(40.0)
    best = fit_threshold("best_f1", scores, 0.05, scores < 30)  # the anomalies score lowest
    gate = gates.holds_its_rate(scores[scores >= 30], best, 0.0, "rows")
    assert not gate.passed and gate.blocking
    assert gate.detail.startswith("100.00% of 10 rows are flagged; flags tell something up to 50")


def test_drift_over_time_warns_only() -> None:
    gate = gates.is_steady(np.ones(500), CONFORMAL, 0.0)
    assert not gate.passed and not gate.blocking


def test_collapse_blocks() -> None:
    healthy = scorer()
    healthy = replace(healthy, diagnostics={**healthy.diagnostics, "collapsed": False})
    assert gates.has_not_collapsed(healthy).passed
    gate = gates.has_not_collapsed(replace(healthy, diagnostics={"collapsed": True}))
    assert not gate.passed and gate.blocking
    assert gates.has_not_collapsed(scorer("autoencoder")).passed


def test_baselines_warn_and_a_better_champion_blocks() -> None:
    quality = {
        "version": {"local": 0.8, "global": 0.9},
        "PCA": {"local": 0.9, "global": 0.9},
        "champion": {"local": 0.8, "global": 0.915},
    }
    warned = gates.beats_baselines(quality)
    assert not warned.passed and not warned.blocking and "PCA 0.900" in warned.detail
    assert gates.is_no_worse(quality).passed
    quality["champion"]["global"] = 0.95
    stopped = gates.is_no_worse(quality)
    assert not stopped.passed and stopped.blocking and "champion 0.875" in stopped.detail


@pytest.mark.parametrize("labels", [None, "few", "enough"])
def test_comparison_on_labels_where_there_are_enough(labels: str | None) -> None:
    held_out = rows(400, 6)
    truth = None if labels is None else np.arange(400) < (3 if labels == "few" else 60)
    if truth is not None:
        held_out["amount"] = np.where(truth, 5000.0, held_out["amount"])
    quality = compare({"version": scorer()}, Rows(rows(200, 7), None), Rows(held_out, truth))
    assert set(quality) == {"version", "PCA", "kNN"}
    kinds = ["labelled"] if labels == "enough" else ["local", "global", "dependency", "cluster"]
    for found in quality.values():
        assert list(found) == kinds
        assert all(0.0 <= value <= 1.0 for value in found.values())
    if labels == "enough":
        assert all(found["labelled"] > 0.95 for found in quality.values())


def test_rows_without_a_label_are_not_compared_as_normal_ones() -> None:
    held_out = rows(400, 6)
    odd = np.arange(400) < 120
    held_out["amount"] = np.where(odd, 5000.0, held_out["amount"])
    unknown = (np.arange(400) >= 60) & odd
    labelled = Rows(held_out, odd & ~unknown, ~unknown)
    quality = compare({"version": scorer()}, Rows(rows(200, 7), None), labelled)
    assert all(found["labelled"] > 0.95 for found in quality.values())
