"""Rows that are images, from file to report: handwritten zeros, some of them damaged."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from pipeline.calibration import calibrate
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.scoring import score
from pipeline.training import train

PIXELS = [f"line {line} pixel {place}" for line in range(8) for place in range(8)]
PATCH = {f"line {line} pixel {place}" for line in range(2, 5) for place in range(4, 7)}
CONFIG = """\
name: digits
source: {path: landing}
image: [8, 8]
columns:
"""
MORE = """\
split: {until: 600}
model: {members: 2}
training: {max_steps: 400}
alerts: {reasons: 2, report_rows: 5, expected_anomaly_share: 0.5}
"""


def zeros(count: int, seed: int) -> np.ndarray:
    """(N, 64) zeros with a little noise where there is ink."""
    rng = np.random.default_rng(seed)
    digits, names = load_digits(return_X_y=True)
    drawn = rng.choice(digits[names == 0], count)
    return np.clip(drawn + rng.integers(-1, 2, drawn.shape) * (drawn > 0), 0, 16)


def land(folder: Path, name: str, images: np.ndarray) -> None:
    pd.DataFrame(images, columns=PIXELS).to_csv(folder / "landing" / f"{name}.csv", index=False)


@pytest.mark.slow
def test_damage_is_flagged_named_and_drawn(home: Home, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    path = tmp_path / "digits.yaml"
    columns = "".join(f"  {name}: {{role: numeric}}\n" for name in PIXELS)
    path.write_text(CONFIG + columns + MORE, encoding="utf-8")
    config = load_config(path)
    lake = Lake(config, home)
    lake.create()
    land(tmp_path, "history", zeros(600, seed=0))
    ingest(home, config)
    calibrate(home, config, run_id=train(home, config).run_id)

    night = zeros(100, seed=1)
    noise = np.random.default_rng(2).integers(0, 17, (20, 3, 3))
    night[:20].reshape(20, 8, 8)[:, 2:5, 4:7] = noise
    land(tmp_path, "night", night)
    ingest(home, config)
    result = score(home, config)
    assert result is not None

    alerts = lake.read("alerts").sort_by("_row_id").to_pylist()
    damaged = [alert for alert in alerts if alert["_row_id"] <= 620]
    assert len(damaged) >= 18
    told = [alert["reasons"] for alert in damaged]
    assert max(len(reasons) for reasons in told) == 2
    first = [reasons[0] for reasons in told]
    words = re.compile(r"(line \d pixel \d) (\d+) is (far |just )?(above|below) the expected ")
    found = [match for reason in first if (match := words.match(reason))]
    assert len(found) == len(first), first
    assert np.mean([match[1] in PATCH for match in found]) > 0.7
    for match, alert in zip(found, damaged, strict=True):
        assert float(match[2]) == json.loads(alert["raw"])[match[1]]

    html = Path(result.report_path).read_text(encoding="utf-8")
    pictures = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)"', html)
    assert len(pictures) == min(5, len(alerts)), "as many as the report shows"
    assert len(set(pictures)) == len(pictures)
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert "red raises it, blue lowers it" in html
