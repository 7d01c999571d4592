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
    return {**night, "alpha": 0.05, **more}


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
