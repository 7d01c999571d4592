"""Missing cells and unseen categories, on the network connections that ship."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from benchmarks import mixed_tables
from pipeline import VAEDetector
from pipeline.config import load_config

ROOT = Path(__file__).resolve().parents[2]
SHARES = (0.05, 0.2, 0.4, 0.8)
TEXTS = ("protocol_type", "service", "flag")


class Fitted(NamedTuple):
    """A detector fitted on rows with 5 % of the cells missing, and whole rows to test."""

    detector: VAEDetector
    usual: pd.DataFrame
    attacks: pd.DataFrame


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    config = load_config(ROOT / "configs" / "network.yaml")
    history, _ = mixed_tables.read(ROOT / "data/network/history.parquet", config, {})
    night, attack = mixed_tables.read(ROOT / "data/network/night-6.parquet", config, {})
    train = history.sample(1500, random_state=0)
    detector = VAEDetector(random_state=0).fit(blanked(train, 0.05, seed=0))
    return Fitted(
        detector,
        night[~attack].sample(300, random_state=0),
        night[attack].sample(300, random_state=0),
    )


def blanked(frame: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    flags = {c: object for c in frame if frame[c].dtype == bool}
    holes = np.random.default_rng(seed).random(frame.shape) < share
    return frame.astype(flags).mask(holes)


@pytest.mark.parametrize("share", SHARES)
def test_blanking_cells_does_not_hide_an_attack(fitted: Fitted, share: float) -> None:
    usual, attacks = (
        fitted.detector.p_values(blanked(rows, share, seed=1))
        for rows in (fitted.usual, fitted.attacks)
    )
    assert attacks.mean() <= usual.mean()
    whole = fitted.detector.p_values(fitted.usual).mean()
    assert attacks.mean() < 0.5 * whole


@pytest.mark.parametrize("column", TEXTS)
def test_an_unseen_category_scores_as_a_rare_one(fitted: Fitted, column: str) -> None:
    detector, usual = fitted.detector, fitted.usual
    before = detector.score_frame(usual)
    after = detector.score_frame(usual.assign(**{column: "never seen"}))
    assert (after.anomaly_score > before.anomaly_score).mean() > 0.95
    assert after.p_value.mean() < before.p_value.mean()
    place = list(usual.columns).index(column)
    own, others = (
        detector.explain(rows)[:, place] for rows in (usual.assign(**{column: "never seen"}), usual)
    )
    assert np.median(own) > np.quantile(others, 0.99)


def test_rows_of_unseen_categories_and_holes_alone_are_scored(fitted: Fitted) -> None:
    odd = fitted.usual.assign(**dict.fromkeys(TEXTS, "never seen"))
    empty = blanked(fitted.usual, 1.0, seed=0)
    for rows in (odd, empty):
        scores = fitted.detector.score_frame(rows)
        assert np.isfinite(scores.to_numpy(dtype=float)).all()
        assert (scores.p_value <= 1).all() and (scores.p_value > 0).all()
    assert fitted.detector.p_values(odd).mean() < fitted.detector.p_values(fitted.usual).mean()
