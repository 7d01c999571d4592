"""Joined scores against their definition in NumPy, written out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import (
    JOINS,
    SCORE_KINDS,
    ModelConfig,
    Scorer,
    TrainConfig,
    fit_weighted,
    robust_scale,
)
from vae_core.joining import JOINED, SINGLE_SCORES

OF_TABLES = (*JOINED, *JOINS, "importance_weighted")  # a likelihood ratio is of pictures

KINDS = {
    "a": ColumnKind("numeric", True),
    "b": ColumnKind("numeric", False),
    "flag": ColumnKind("binary", False),
    "site": ColumnKind("categorical", False),
    "note": ColumnKind("categorical", True),
}


def table(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Mixed columns with missing cells; `site` is constant."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    return {
        "a": np.where(rng.random(rows) < 0.1, np.nan, a),
        "b": 3 * a + rng.normal(size=rows),
        "flag": (a > 0).astype(int).astype(object),
        "site": np.full(rows, "north", dtype=object),
        "note": np.where(rng.random(rows) < 0.3, None, "seen").astype(object),
    }


def odd_table(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Usual rows, far ones, and rows whose constant column changed."""
    data = table(rows, seed)
    data["b"][::5] *= 40
    data["b"][::50] = 1e9
    data["site"][::7] = "south"
    return data


@pytest.fixture(scope="module")
def scorer(device: str) -> Scorer:
    scorer = fit_scorer(
        table(400, 0),
        table(120, 1),
        KINDS,
        model=ModelConfig(members=3, hidden=(16,), latent_dim=3),
        training=TrainConfig(max_steps=80),
        device=device,
    ).scorer
    scorer.weighted = fit_weighted(scorer.encoding, scorer.model, table(120, 1), draws=8)
    return scorer


def singles(scorer: Scorer, data: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """ELBO score, reconstruction error, distances to codes and to rows."""
    raw = scorer.raw_scores(data)
    return raw.elbo_score, raw.reconstruction_error, raw.latent_distance, raw.row_distance


def mad(values: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def standardised(scorer: Scorer, data: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """u_elbo, u_error, u_codes, u_rows, from scores of validation rows alone."""
    elbo, error, *distances = singles(scorer, data)
    usual_elbo, usual_error, *usual_distances = singles(scorer, table(120, 1))
    return (
        (elbo - usual_elbo.mean()) / mad(usual_elbo),
        (np.sqrt(error) - np.sqrt(usual_error.mean())) / mad(np.sqrt(usual_error)),
        *(
            (distance - usual.mean()) / mad(usual)
            for distance, usual in zip(distances, usual_distances, strict=True)
        ),
    )


FORMULAS = {
    "either": lambda elbo, error, codes, rows: np.maximum(elbo, error),
    "both": lambda elbo, error, codes, rows: np.minimum(elbo, error),
    "combined": lambda elbo, error, codes, rows: elbo + error + codes + rows,
}


def test_every_join_has_its_formula_here() -> None:
    assert set(FORMULAS) == set(JOINS)
    assert (*SINGLE_SCORES, *JOINS) == SCORE_KINDS


@pytest.mark.parametrize("kind", JOINS)
def test_a_join_is_its_formula(scorer: Scorer, kind: str) -> None:
    data = odd_table(500, 2)
    u_elbo, u_error, *distances = standardised(scorer, data)
    # neither score decides everywhere, else max and min would be tested on one branch
    assert 20 < (u_elbo > u_error).sum() < 480
    found = replace(scorer, score_kind=kind).raw_scores(data).anomaly_score
    expected = FORMULAS[kind](u_elbo, u_error, *distances)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("elbo", "elbo_score"),
        ("reconstruction_error", "reconstruction_error"),
        ("latent_distance", "latent_distance"),
        ("row_distance", "row_distance"),
    ],
)
def test_a_single_score_is_itself(scorer: Scorer, kind: str, field: str) -> None:
    raw = replace(scorer, score_kind=kind).raw_scores(odd_table(200, 2))
    np.testing.assert_array_equal(raw.anomaly_score, getattr(raw, field))


@pytest.mark.parametrize("kind", OF_TABLES)
def test_columns_latent_and_expected_sum_to_the_score(scorer: Scorer, kind: str) -> None:
    one, data = replace(scorer, score_kind=kind), odd_table(500, 3)
    raw, why = one.raw_scores(data), one.explain(data)
    total = why.contributions.sum(1) + why.latent + why.expected
    np.testing.assert_allclose(total, raw.anomaly_score, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(why.latent, raw.latent)
    if kind in JOINS:
        assert why.expected == 0.0


@pytest.mark.parametrize("kind", JOINED)
def test_expected_is_the_mean_of_validation_rows(scorer: Scorer, kind: str) -> None:
    one, validation = replace(scorer, score_kind=kind), table(120, 1)
    raw, why = one.raw_scores(validation), one.explain(validation)
    assert why.expected == pytest.approx(raw.anomaly_score.mean(), rel=1e-9)
    np.testing.assert_allclose(why.contributions.mean(0), 0.0, atol=1e-9)


def test_the_latent_part_is_what_the_joined_latent_scores_add(scorer: Scorer) -> None:
    data = odd_table(300, 4)
    raw, usual = scorer.raw_scores(data), scorer.raw_scores(table(120, 1))
    expected = (raw.kl - usual.kl.mean()) / mad(usual.elbo_score)
    distance = raw.latent_distance - usual.latent_distance.mean()
    expected += distance / mad(usual.latent_distance)
    combined = replace(scorer, score_kind="combined").explain(data).latent
    np.testing.assert_allclose(combined, expected, rtol=1e-9, atol=1e-9)


def test_one_absurd_cell_does_not_outshout_everything_by_its_square(scorer: Scorer) -> None:
    near, far = table(1, 5), table(1, 5)
    near["b"][:], far["b"][:] = 1e6, 1e8
    _, small, *_ = standardised(scorer, near)
    _, large, *_ = standardised(scorer, far)
    assert large[0] / small[0] == pytest.approx(100, rel=0.05)


def test_scales_are_kept(scorer: Scorer, tmp_path: Path, device: str) -> None:
    elbo, error, *distances = singles(scorer, table(120, 1))
    expected = (mad(elbo), mad(np.sqrt(error)), *map(mad, distances))
    assert scorer.scales == pytest.approx(expected, rel=1e-12)
    scorer.save(tmp_path)
    assert Scorer.load(tmp_path, device=device).scales == scorer.scales


def test_robust_scale() -> None:
    rng = np.random.default_rng(0)
    values = 3.0 * rng.normal(size=20_000)
    assert robust_scale(values) == pytest.approx(3.0, rel=0.03)
    values[:1000] = 1e6
    assert robust_scale(values) == pytest.approx(3.0, rel=0.1)
    # most values equal: the median deviation is 0 and says nothing
    assert robust_scale(np.array([0.0] * 9 + [10.0])) == pytest.approx(3.0)
    assert robust_scale(np.full(5, 2.0)) == 1.0
