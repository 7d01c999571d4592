"""The sensitivity benchmark: what it compares, and what it says of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import sensitivity
from benchmarks.adbench import Split

TRIALS = pd.DataFrame(
    {
        "number": [0, 1, 2, 3],
        "elbo": [-5.0, -4.0, -9.0, -4.5],
        "detection": [0.7, 0.6, 0.9, 0.8],
        "auroc": [0.80, 0.70, 0.90, 0.85],
    }
)


def test_ways_of_choosing() -> None:
    assert sensitivity.choices(TRIALS) == {
        "default": 0.80,
        "held-out ELBO and synthetic anomalies": 0.85,
        "held-out ELBO alone": 0.70,
        "synthetic anomalies alone": 0.90,
        "any (mean of the trials)": pytest.approx(0.8125),
        "with the test labels (best trial)": 0.90,
    }


def test_the_page_counts_each_set_once_by_its_longest_study() -> None:
    key = {"dataset": "1_one", "seed": 0}
    settings = {"latent_dim": 3, "width": 64, "beta": 0.5, "average_precision": 0.5}
    trials = TRIALS.assign(what="trial", trials=4, **key, **settings)
    final = pd.DataFrame([{"what": "default", "auroc": 0.81}, {"what": "tuned", "auroc": 0.83}])
    final = final.assign(number=0, elbo=-5.0, detection=0.7, trials=4, **key, **settings)
    short = final.assign(trials=2, auroc=0.1)
    page = sensitivity.page(pd.concat([short, trials, final]))
    row = "| 1_one | 0.810 | 0.830 | +0.020 | 0.700 – 0.825 – 0.900 | 3, 64, 0.5 |"
    assert row in page
    assert "Tuning changes the mean AUROC by +0.020" in page
    assert sensitivity.page(pd.DataFrame()) == "# Sensitivity\n"


@pytest.mark.slow
def test_a_study_never_looks_at_the_test_rows() -> None:
    """Other test rows and labels: the same trials, the same choice."""
    rng = np.random.default_rng(0)
    train = rng.normal(size=(150, 4)).astype(np.float32)
    train[:, 3] = train[:, 0] + 0.1 * train[:, 3]
    studies = []
    for shift in (0.0, 3.0):
        test = rng.normal(size=(60, 4)).astype(np.float32) + shift
        split = Split(train, test, np.arange(60) % 2)
        studies.append(sensitivity.study(split, "made-up", seed=0, trials=3))
    same = ["what", "number", *sensitivity.SETTINGS.values(), *sensitivity.OBJECTIVES]
    one, other = (pd.DataFrame(lines)[same] for lines in studies)
    pd.testing.assert_frame_equal(one, other)
    assert one.what.tolist() == ["trial"] * 3 + ["default", "tuned"]
