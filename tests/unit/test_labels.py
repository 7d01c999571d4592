"""What the labels of calibration rows must hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from night_homes import CONFIG, write_config

from pipeline.errors import SchemaError
from pipeline.labels import LabelCounts, known_anomalies
from pipeline.thresholds import fit_conformal, fit_threshold
from vae_core import Threshold


def counted(folder: Path, values: dict[str | None, int], normal: str = "Ok") -> LabelCounts:
    """Labels in two pieces, each value so many times."""
    counts = LabelCounts(write_config(folder, CONFIG.replace("normal: fine", f"normal: {normal}")))
    cells = [value for value, times in values.items() for _ in range(times)]
    half = len(cells) // 2
    for piece in (cells[:half], cells[half:]):
        counts.add(pa.table({"verdict": pa.array(piece, pa.string())}))
    return counts


@pytest.mark.parametrize(
    ("values", "normal", "message"),
    [
        (
            {"ok": 560, "bad": 40},
            "Ok",
            r"has the value 'Ok' \(`columns.verdict.normal`\).*"
            r"seen: ok 560, bad 40; did you mean 'ok'\?",
        ),
        ({"ok": 9, "bad": 4}, "[Ok, usual]", "the value 'Ok' or 'usual'"),
        ({"normal.": 9, "smurf.": 3}, "normal", r"did you mean 'normal.'\?"),
        ({"1": 9, "2": 3}, "good", "seen: 1 9, 2 3$"),
        # few are labelled, yet under another spelling
        ({"ok": 5, "bad": 5, None: 90}, "Ok", r"missing 90; did you mean 'ok'\?"),
        ({str(i): 20 - i for i in range(8)}, "good", "3 17, 4 16 and 3 more values$"),
        ({"Ok": 1, "bad": 9}, "Ok", "1 of the calibration rows is normal .* at least 2 must be"),
    ],
)
def test_labels_without_a_normal_row(
    tmp_path: Path, values: dict[str | None, int], normal: str, message: str
) -> None:
    with pytest.raises(SchemaError, match=message) as told:
        counted(tmp_path, values, normal).check_normal()
    assert told.value.hint and "Nothing was registered" in told.value.hint


@pytest.mark.parametrize(
    "values",
    [
        {"Ok": 2, "bad": 900},
        {None: 20},
        # whoever labels nothing but what is bad leaves most rows unlabelled
        {"bad": 40, None: 560},
    ],
)
def test_labels_that_will_do(tmp_path: Path, values: dict[str | None, int]) -> None:
    counted(tmp_path, values).check_normal()


@pytest.mark.parametrize(
    ("anomalies", "rows", "alpha", "much"),
    [
        (40, 600, 0.05, "40 of 600 calibration rows are labelled anomalies, more than alpha = 5 %"),
        (30, 600, 0.05, "30 of 600 calibration rows are labelled anomalies, as many as alpha = 5"),
        (
            1,
            199,
            0.005,
            "1 of 199 calibration rows is a labelled anomaly, as many as alpha = 0.5 %",
        ),
        (29, 600, 0.05, None),
        (0, 999, 0.001, None),
    ],
)
def test_known_anomalies_that_move_a_threshold(
    anomalies: int, rows: int, alpha: float, much: str | None
) -> None:
    labels = np.arange(rows) < anomalies
    scores = np.random.default_rng(0).normal(size=rows) + 5.0 * labels

    def fit(method: str, **parameters: float) -> Threshold:
        return fit_threshold(method, scores, alpha, labels, **parameters)

    for method in ("conformal", "quantile", "pot") if rows >= 400 and alpha >= 0.01 else ():
        said = known_anomalies(labels, fit(method))
        assert said is None if much is None else said is not None and said.startswith(much)
    assert (known_anomalies(labels, fit("conformal")) is None) == (much is None)
    for method in ("mad", "best_f1") if anomalies else ("mad",):
        assert known_anomalies(labels, fit(method)) is None
    assert known_anomalies(None, fit("conformal")) is None


def test_mad_is_advised_while_anomalies_are_fewer_than_half() -> None:
    for anomalies, advised in ((14, True), (15, False)):
        labels = np.arange(29) < anomalies
        scores = np.arange(29.0) + 99.0 * labels
        said = str(known_anomalies(labels, fit_threshold("conformal", scores, 0.1, labels)))
        assert said.startswith(f"{anomalies} of 29 calibration rows are labelled anomalies")
        assert ("threshold.method: mad" in said) == advised
        moved = known_anomalies(labels, fit_threshold("mad", scores, 0.1, labels))
        assert (moved is None) == advised


def test_the_conditional_bound_allows_for_fewer_anomalies() -> None:
    scores, labels = np.arange(600.0), np.arange(600) >= 573  # 27 of them
    plain, bound = (fit_conformal(scores, 0.05, delta) for delta in (None, 0.1))
    assert known_anomalies(labels, plain) is None
    assert str(known_anomalies(labels, bound)).startswith("27 of 600 calibration rows")


def test_no_label_column(tmp_path: Path) -> None:
    text = CONFIG.replace("  verdict: {role: label, normal: fine}\n", "")
    counts = LabelCounts(write_config(tmp_path, text))
    counts.add(pa.table({"amount": [1.0]}))
    counts.check_normal()
