"""Sentences about thresholds, drift and weights; what the command line prints of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from night_homes import write_config
from rich.console import Console

from pipeline import verdict
from pipeline.calibration import CalibrateResult
from pipeline.cli import output
from pipeline.thresholds import fit_threshold

RNG = np.random.default_rng(0)
SCORES = RNG.gamma(2.0, size=1000)


def test_each_method_says_what_it_is_worth() -> None:
    def words(method: str, alpha: float = 0.05, **more: np.ndarray) -> str:
        return verdict.threshold_in_words(fit_threshold(method, SCORES, alpha, **more))

    assert words("conformal").endswith("by conformal, for at most 5 % false alarms")
    assert words("mad").endswith("by mad, aiming at 5 % false alarms")
    assert words("pot", 0.001).endswith("by pot, aiming at 0.1 % false alarms")
    labelled = words("best_f1", labels=SCORES > 6)
    assert labelled.endswith("for the best F-score on labels: precision 100 %, recall 100 %")


def test_a_tail_that_is_none_is_never_shown_without_a_warning() -> None:
    dirty = np.concatenate([SCORES, RNG.normal(200.0, 1.0, 15)])
    threshold = fit_threshold("pot", dirty, 1e-3)
    assert "do not rely on it" in verdict.threshold_in_words(threshold)
    assert verdict.warning(fit_threshold("pot", SCORES, 1e-3)) == ""
    text = io.StringIO()
    result = CalibrateResult(3, {"anomaly_score": threshold}, [], True, "run")
    output.calibrated(Console(file=text, width=200), "shop", result)
    assert "tail fits badly" in text.getvalue()


def closing(**more: object) -> dict[str, object]:
    night = {"drift_log10_capital": None, "drift_row_id": None, "effective_rows": None}
    return {**night, "alpha": 0.05, "alerts_level": 0.05, **more}


def closed(**more: object) -> dict[str, object]:
    counts = {"scored": 1000, "flagged": 136, "alert_rate": 0.136, "interval_high": 0.08}
    return closing(guarantee="broken", drift_row_id=12, **counts, **more)


def test_a_broken_night_says_how_fdr_control_chose(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    threshold = fit_threshold("conformal", SCORES, 0.05)
    chosen = closed(alerts_by="fdr", alerts_level=0.1)
    for state in ("broken", "suspended"):
        said = verdict.verdict({**chosen, "guarantee": state}, 30, threshold, config)
        assert said["state"] == state
        assert "on average, at most 10 % are false; that, too, holds only for" in said["body"]
    said = verdict.verdict({**chosen, "guarantee": "in force"}, 30, threshold, config)
    assert said["body"].endswith("on average, at most 10 % are false.")
    said = verdict.verdict(closed(alerts_by="threshold"), 30, threshold, config)
    assert "on average" not in said["body"]


def test_a_night_without_alerts_by_fdr_says_how_many_it_takes(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    threshold = fit_threshold("conformal", SCORES[:199], 0.05)
    night = {**closed(alerts_by="fdr"), "flagged": 24, "guarantee": "in force"}
    said = verdict.verdict(night, 0, threshold, config)
    assert said["headline"] == "No alerts, though 24 of 1,000 rows are flagged"
    assert "with 199 calibration rows that takes at least 100 rows that score" in said["body"]
    few = fit_threshold("conformal", SCORES[:19], 0.05)
    night_by_few = {**night, "alerts_level": 0.01}
    said = verdict.verdict(night_by_few, 0, few, config)
    assert "; 19 calibration rows are too few to choose any." in said["body"]
    assert "takes at least" not in verdict.verdict(night, 100, threshold, config)["body"]
    calm = verdict.verdict({**night, "flagged": 0}, 0, threshold, config)
    assert calm["headline"] == "No row deserves a look tonight"


def test_a_weighted_night_speaks_of_its_alerts(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    threshold = fit_threshold("conformal", SCORES, 0.05)
    chosen = closed(alerts_by="weights", cut_off=7.25, effective_rows=800.0)

    def words(alerts: int, guarantee: str) -> dict[str, str]:
        night = {**chosen, "alert_rate": alerts / 1000, "guarantee": guarantee}
        return verdict.verdict(night, alerts, threshold, config)

    usual = words(42, "approximate")
    assert (usual["state"], usual["headline"]) == ("calm", "42 of 1,000 rows deserve a look")
    assert "42 of 1,000 rows lie above tonight's weighted cut-off of 7.25, 4.2 %" in usual["body"]
    assert "5 % of the normal rows become alerts is approximate" in usual["body"]
    assert "would have flagged 136, 14 %: kinds that score high are more common" in usual["body"]
    assert words(136, "approximate")["body"].endswith("would have flagged 136, 14 %, as many.")
    assert "are less common tonight" in words(140, "approximate")["body"]
    assert words(0, "approximate")["headline"] == "No row deserves a look tonight"
    broken = words(300, "broken")
    assert broken["state"] == "broken" and "even though calibration rows are" in broken["headline"]
    assert "so an alert says less" in broken["body"] and "a flag" not in broken["body"]
    drifted = closed(alerts_by="weights", effective_rows=800.0, drift_log10_capital=12.0)
    assert "Another mix of rows" in " ".join(verdict.looks(drifted, config))


def test_looks_at_the_whole_night(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    assert verdict.looks(closing(), config) == []
    (calm,) = verdict.looks(closing(drift_log10_capital=0.3), config)
    assert "was 2 to 1; 1,000 to 1 suspend the promise." in calm
    (alarm,) = verdict.looks(closing(drift_log10_capital=25.4, drift_row_id=12_345), config)
    assert "was 10^25 to 1; it sufficed at row 12,345." in alarm
    (few,) = verdict.looks(closing(effective_rows=3.2), config)
    assert "worth 3 rows, too few" in few
    (many,) = verdict.looks(closing(effective_rows=812.4), config)
    assert "worth 812 rows. The weights are estimated" in many
    # what an earlier release wrote
    assert verdict.looks({"alpha": 0.05}, config) == []
