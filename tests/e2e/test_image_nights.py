"""Nights of pictures, through the data that ships: damaged ones are flagged, named and drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.calibration import calibrate
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.scoring import score
from pipeline.training import train

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.slow
def test_damaged_digits_are_flagged_named_and_drawn(home: Home) -> None:
    config = load_config(ROOT / "configs" / "digits.yaml")
    lake = Lake(config, home)
    lake.create()
    assert ingest(home, config).ingested == 1797
    calibrate(home, config, run_id=train(home, config).run_id)
    result = score(home, config)
    assert result is not None and result.labels is not None
    assert result.guarantee == "in force"
    assert result.labels.recall is not None and result.labels.recall > 0.5
    assert result.labels.false_alarm_rate < 0.12

    alerts = lake.read("alerts").sort_by("_row_id").to_pylist()
    assert len(alerts) == result.flagged
    words = re.compile(
        r"picture is unlike the training pictures of digit '\d', (all over|most (in|at|on) the .+?)"
        r"(, where it is (brighter|darker) than expected)?$"
    )
    first = [alert["reasons"][0] for alert in alerts]
    assert np.mean([bool(words.match(reason)) for reason in first]) > 0.9, first
    raw = json.loads(alerts[0]["raw"])
    assert set(raw) == {"picture", "digit", "state"}
    assert raw["picture"].startswith("data:image/png;base64,")

    html = Path(result.report_path).read_text(encoding="utf-8")
    pictures = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)"', html)
    shown = min(config.alerts.report_rows, len(alerts))
    assert len(pictures) == shown + 6, "each alert, and what the model makes"
    assert len(set(pictures)) == len(pictures)
    assert "the redder a pixel, the larger its squared error" in html
    assert "Drawn from the model for each value of the condition" in html


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "file", "until"),
    [("mnist", "mnist/mnist.npz", 60_000), ("cifar10", "cifar10/cifar10_subset.npz", 10_000)],
)
def test_the_configs_of_known_sets_run(
    name: str, file: str, until: int, home: Home, tmp_path: Path
) -> None:
    """With few steps and rows: what is tested is that the config fits the data."""
    if not (DATA / file).is_file():
        pytest.skip(f"needs {DATA / file}")
    text = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    assert f"PATH/TO/{name}.npz" in text
    with np.load(DATA / file) as archive:  # the end of the training part, a night of test pictures
        part = {k: archive[k] for k in ("x_train", "y_train", "x_test", "y_test")}
    some = {k: v[:200] if k.endswith("_test") else v[:1500] for k, v in part.items()}
    assert len(part["x_train"]) == until
    np.savez(tmp_path / "some.npz", **some)
    text = re.sub(r"max_steps: \d+", "max_steps: 30", re.sub(r"until: \d+", "until: 1500", text))
    text = text.replace(f"PATH/TO/{name}.npz", str(tmp_path / "some.npz"))
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    Lake(config, home).create()
    assert ingest(home, config).ingested == 1700
    calibrate(home, config, run_id=train(home, config).run_id)
    result = score(home, config)
    assert result is not None and result.rows_scored == 200
