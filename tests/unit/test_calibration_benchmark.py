"""The benchmark of false-alarm rates: its lines, its page, and that finished runs are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import calibration, calibration_page, laws, runs
from benchmarks.adbench import Split


@pytest.mark.slow
def test_lines_of_a_split() -> None:
    rng = np.random.default_rng(0)
    train, normal = rng.normal(size=(2, 300, 3)).astype(np.float32)
    test = np.vstack([normal, np.full((20, 3), 9.0, np.float32)])
    split = Split(train, test, np.repeat([0, 1], [300, 20]))
    lines = calibration.detect(split, seed=0)
    assert [line["alpha"] for line in lines] == [0.05, 0.01]
    assert all(line["normal_rows"] == 300 and line["calibration_rows"] == 60 for line in lines)
    # 60 rows keep a promise of 5 %, not one of 1 %
    assert [line["guarantee"] for line in lines] == [True, False]
    assert [line["rank"] for line in lines] == [3, 0]
    assert 0 < lines[0]["flagged"] < 60 and lines[1]["flagged"] == 0


def lines_of(rate: float, distinct: float = 1.0) -> pd.DataFrame:
    """Twenty splits of two sets, one of them with a share of normal rows flagged as given."""
    rng = np.random.default_rng(1)
    law = stats.betabinom(1000, 10, 190)
    usual = law.rvs(40, random_state=rng)
    return pd.DataFrame(
        [
            {
                "dataset": name,
                "seed": seed,
                "alpha": 0.05,
                "guarantee": True,
                "calibration_rows": 199,
                "rank": 10,
                "normal_rows": 1000,
                "flagged": int(1000 * rate) if name == "2_b" and rate >= 0 else flagged,
                "distinct": distinct,
                "seconds": 1.0,
            }
            for (name, seed), flagged in zip(
                [(name, seed) for name in ("2_b", "10_a") for seed in range(20)],
                usual,
                strict=True,
            )
        ]
    )


@pytest.mark.parametrize(
    ("rate", "distinct", "verdict"),
    [(-1, 1.0, "floor holds"), (0.08, 1.0, "missed"), (0.02, 1.0, "missed"),
     (0.02, 0.9, "floor holds"), (0.08, 0.9, "missed")],
)  # fmt: skip
def test_verdict_on_the_detector(rate: float, distinct: float, verdict: str) -> None:
    text = calibration_page.page(pd.DataFrame(), lines_of(rate, distinct))
    line = next(line for line in text.splitlines() if "false-positive rate of" in line)
    assert verdict in line
    assert text.index("| 2_b |") < text.index("| 10_a |")


def test_the_page_names_broken_laws(tmp_path: Path) -> None:
    good = laws.Rate(0.0501, 0.05, 0.0002, 0.91)._asdict()
    lines = [
        {"law": "marginal", "case": "normal; 0.05", "figure": k, "value": v}
        for k, v in good.items()
    ]
    assert "floor holds" in calibration_page.page(pd.DataFrame(lines), pd.DataFrame())
    lines[0]["value"] = 0.06
    assert "**floor missed**" in calibration_page.page(pd.DataFrame(lines), pd.DataFrame())


def test_every_simulation_has_its_section_and_is_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {law for law, _, _ in calibration.simulations()} == set(calibration_page.SECTIONS)
    names = [(law, case) for law, case, _ in calibration.simulations()]
    assert len(names) == len(set(names))
    chosen = [s for s in calibration.simulations() if s[0] == "covariate shift"][:1]
    monkeypatch.setattr(calibration, "simulations", lambda: iter(chosen))
    command = ["calibration", "--only", "laws", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    calibration.main()
    first = runs.read(tmp_path / calibration.LAWS)
    assert set(first.figure) == {"plain", "weighted", "effective"}
    calibration.main()
    pd.testing.assert_frame_equal(runs.read(tmp_path / calibration.LAWS), first)
    assert "## Covariate shift" in (tmp_path / "calibration.md").read_text(encoding="utf-8")
