"""The ELBO score less a compressor's nats, and likelihood regret, as a user reaches them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pipeline import VAEDetector
from pipeline.config import load_config
from pipeline.errors import ConfigError
from vae_core.complexity import complexity


def digits(count: int) -> np.ndarray:
    values = load_digits().data[:count]
    return np.rint(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)


@pytest.fixture(scope="module")
def fitted() -> VAEDetector:
    return VAEDetector(
        score="likelihood_ratio", members=2, hidden=[16], max_epochs=10, random_state=0
    ).fit(digits(200))


def test_the_ratio_is_the_elbo_score_less_the_complexity(fitted: VAEDetector) -> None:
    pictures, scorer = digits(230)[200:], fitted.scorer_
    data = fitted.columns_of(pictures)
    raw = scorer.raw_scores(data)
    x = torch.from_numpy(scorer.encoding.encode(data)[0])
    nats = complexity(scorer.encoding.layout, x)
    np.testing.assert_allclose(raw.anomaly_score, raw.elbo_score - nats, rtol=1e-9)
    np.testing.assert_allclose(raw.elbo_score, -raw.elbo, rtol=1e-9)
    frame = fitted.score_frame(pictures)
    total = fitted.explain(pictures).sum((1, 2)) + frame["latent"] + fitted.expected_
    np.testing.assert_allclose(total, frame["anomaly_score"], rtol=1e-6)


def test_it_is_saved_with_the_scorer(fitted: VAEDetector, tmp_path: Path) -> None:
    fitted.scorer_.save(tmp_path)
    again = type(fitted.scorer_).load(tmp_path, device="cpu")
    data = fitted.columns_of(digits(20))
    np.testing.assert_array_equal(
        again.score(data)["anomaly_score"], fitted.scorer_.score(data)["anomaly_score"]
    )
    np.testing.assert_array_equal(again.explain_pixels(data), fitted.scorer_.explain_pixels(data))


def test_tables_have_no_ratio(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is of pictures"):
        VAEDetector(score="likelihood_ratio", max_epochs=1).fit(np.random.rand(40, 3))
    path = tmp_path / "made.yaml"
    path.write_text(
        "name: a\nsource: {path: x}\ncolumns: {x: {role: numeric}}\n"
        "threshold: {score: likelihood_ratio}\n"
    )
    with pytest.raises(ConfigError, match="is of pictures"):
        load_config(path)


def test_regret_is_what_the_rows_own_posterior_gains(fitted: VAEDetector) -> None:
    pictures = digits(220)[200:]
    regret = fitted.likelihood_regret(pictures)
    assert regret.shape == (20,) and (regret > 0).all()
    np.testing.assert_array_equal(fitted.likelihood_regret(pictures[3:4]), regret[3:4])
    fewer = fitted.scorer_.likelihood_regret(fitted.columns_of(pictures), steps=5)
    assert (regret >= fewer).all()
