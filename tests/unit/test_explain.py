"""Reasons in words, from hand-made contributions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from pipeline.explain import LATENT, reasons
from pipeline.fitting import fit_scorer
from pipeline.sentences import say_category, say_constant, say_number
from pipeline.settings import ColumnSettings
from pipeline.wording import number, percent, quoted
from vae_core import (
    SCORE_KINDS,
    CategoricalColumn,
    Encoding,
    ModelConfig,
    NumericColumn,
    Scorer,
    TrainConfig,
)

ENCODING = Encoding(
    [
        NumericColumn("bytes", center=20.0, scale=50.0),
        CategoricalColumn("service", ("http", "ftp_data")),
        NumericColumn("duration", center=2.0, scale=1.0, nullable=True),
    ]
)


@dataclass
class Explained:
    contributions: np.ndarray
    latent: np.ndarray
    names: tuple[str, ...] = ("bytes", "service", "duration")


@dataclass
class Rows:
    """Three rows with known contributions (the part of a scorer that reasons need)."""

    contributions: np.ndarray
    latent: np.ndarray
    encoding: Encoding = ENCODING
    score_kind: str = "combined"

    def explain(self, data: dict[str, np.ndarray]) -> Explained:
        return Explained(self.contributions, self.latent)

    def reconstruct(self, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            "bytes": np.array([10.0, 10.0, 10.0]),
            "service": np.array(["http"] * 3, dtype=object),
            "duration": np.array([2.5, 2.5, 2.5]),
        }

    def expected_probability(self, data: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"service": np.array([0.002, 0.9, 0.9])}


DATA = {
    "bytes": np.array([400.0, 10.0, 10.0]),
    "service": np.array(["ftp_data", "http", "http"], dtype=object),
    "duration": np.array([np.nan, 2.5, 2.5]),
}


def test_strongest_first_and_only_what_raises_the_score() -> None:
    rows = Rows(
        np.array([[50.0, 20.0, 5.0], [-1.0, 0.1, -2.0], [-1.0, -1.0, -1.0]]),
        np.array([1.0, 30.0, -1.0]),
    )
    first, second, third = reasons(rows, DATA)
    assert first == [
        "bytes 400 is far above the expected 10",
        "service 'ftp_data' is unlikely here (0.2 %): expected is 'http'",
        "duration is missing: expected is about 2.5",
    ]
    assert second == [LATENT]
    assert third == []


def test_at_most_top_reasons() -> None:
    rows = Rows(np.ones((3, 3)), np.ones(3))
    assert [len(told) for told in reasons(rows, DATA, top=2)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("value", "expected", "far", "text"),
    [
        (9120.0, 310.0, True, "c 9120 is far above the expected 310"),
        (5.4e6, 0.01, True, "c 5,400,000 is far above the expected 0.01"),
        (24.0, 10.0, False, "c 24 is above the expected 10"),
        (0.0, 231.4, True, "c 0 is far below the expected 231"),
        (-12.0, 3.21, False, "c −12 is below the expected 3.21"),
        (1.0213, 1.0208, False, "c 1.0213 is just above the expected 1.0208"),
        (1.02, 1.03, False, "c 1.02 is below the expected 1.03"),
        (1.0213, 1.0213001, False, "c 1.0213 is just below the expected 1.0213001"),
        (np.nan, 3.0, False, "c is missing: expected is about 3"),
        (None, 12.34, False, "c is missing: expected is about 12.3"),
    ],
)
def test_numbers_with_expected_value_and_direction(
    value: object, expected: float, far: bool, text: str
) -> None:
    assert say_number("c", value, expected, far) == text


@pytest.mark.parametrize(
    ("value", "expected", "probability", "text"),
    [
        ("x", "y", 1e-5, "c 'x' is unlikely here (less than 0.1 %): expected is 'y'"),
        ("x", "(other)", 0.02, "c 'x' is unlikely here (2 %): expected is a rare value"),
        ("x", "x", 0.4, "c 'x' is the likeliest here, with 40 %"),
        ("x", "x", 0.97, "c 'x' is the likeliest here, with 97 %"),
        ("x", "y", 0.33, "c 'x' is less likely here (33 %) than 'y'"),
        (None, "a", 0.1, "c is missing: expected is 'a'"),
        (pd.NA, "a", 0.1, "c is missing: expected is 'a'"),
        (5.0, "5", 0.3, "c '5' is the likeliest here, with 30 %"),
        (True, "true", 0.997, "c 'true' is the likeliest here, with 99.7 %"),
    ],
)
def test_categories_with_expected_value(
    value: object, expected: str, probability: float, text: str
) -> None:
    assert say_category("c", value, expected, probability) == text


@pytest.mark.parametrize(
    ("value", "usual", "text"),
    [
        (3.0, 0.0, "c 3 is new: in training it was always 0"),
        ("udp", "tcp", "c 'udp' is new: in training it was always 'tcp'"),
        (None, "tcp", "c missing is new: in training it was always 'tcp'"),
    ],
)
def test_columns_that_never_varied(value: object, usual: object, text: str) -> None:
    assert say_constant("c", value, usual) == text


def test_numbers_as_people_write_them() -> None:
    written = [number(v) for v in (12.0, -3.5, 1234.56, 0.0, -0.0, 1e20, 3e-7, np.inf, 201_421)]
    assert written == ["12", "−3.5", "1235", "0", "0", "1.00e+20", "3.00e-07", "∞", "201,421"]
    assert percent(0.0) == "0 %"
    assert percent(1.0) == "100 %"
    shares = [percent(share) for share in (0.0004, 0.004, 0.25, 0.989, 0.994, 0.9989, 0.9995)]
    assert shares == [
        "less than 0.1 %",
        "0.4 %",
        "25 %",
        "99 %",
        "99.4 %",
        "99.9 %",
        "more than 99.9 %",
    ]
    assert quoted("x" * 80).endswith("…'")


COLUMNS = {
    "size": ColumnSettings(role="numeric"),
    "weight": ColumnSettings(role="numeric", nullable=True),
    "country": ColumnSettings(role="categorical", nullable=True),
    "express": ColumnSettings(role="binary", nullable=True),
}


def parcels(count: int, seed: int) -> dict[str, np.ndarray]:
    """Weight follows size, few parcels are express and hardly a cell is missing."""
    rng = np.random.default_rng(seed)
    size = rng.normal(50.0, 10.0, count)
    weight = 2.0 * size + rng.normal(size=count)
    weight[rng.random(count) < 0.01] = np.nan
    country = rng.choice(["de", "fr"], count, p=[0.9, 0.1]).astype(object)
    express = np.where(rng.random(count) < 0.03, "yes", "no").astype(object)
    express[rng.random(count) < 0.01] = None
    return {"size": size, "weight": weight, "country": country, "express": express}


@pytest.fixture(scope="module", params=[kind for kind in SCORE_KINDS if kind != "likelihood_ratio"])
def scorer(request: pytest.FixtureRequest) -> Scorer:
    return fit_scorer(
        parcels(2000, 0),
        parcels(300, 1),
        COLUMNS,
        model=ModelConfig(members=1, hidden=(32,), latent_dim=2),
        training=TrainConfig(max_steps=250),
        score=request.param,
    ).scorer


def test_what_is_expected_comes_from_the_other_cells() -> None:
    """However absurd a cell is: of a column that depends on no other, the usual value."""

    def rows(count: int, seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        alone, size = rng.normal(size=count), rng.normal(size=count)
        twice = 2 * size + 0.1 * rng.normal(size=count)
        kind = np.where(size > 0, "large", "small").astype(object)
        return {"alone": alone, "size": size, "twice": twice, "kind": kind}

    columns = dict.fromkeys(("alone", "size", "twice"), ColumnSettings(role="numeric"))
    columns["kind"] = ColumnSettings(role="categorical")
    scorer = fit_scorer(
        rows(2000, 0), rows(300, 1), columns, training=TrainConfig(max_steps=400)
    ).scorer
    data, every = rows(200, 2), np.ones(200, dtype=bool)
    for kind in ("combined", "reconstruction_error"):
        told = replace(scorer, score_kind=kind)
        odd = data | {"alone": np.linspace(-1e4, 1e4, 200)}
        expected = told.expectation_given_others(odd, {"alone": every})
        assert np.abs(expected.cells["alone"]).max() < 1.0
        np.testing.assert_allclose(expected.cells["size"], odd["size"], rtol=1e-5)
        odd = data | {"twice": -data["twice"]}
        expected = told.expectation_given_others(odd, {"twice": every})
        assert np.corrcoef(data["twice"], expected.cells["twice"])[0, 1] > 0.9
        wrong = np.where(data["kind"] == "large", "small", "large").astype(object)
        clear = np.abs(data["size"]) > 0.5
        expected = told.expectation_given_others(data | {"kind": wrong}, {"kind": every})
        assert (expected.cells["kind"] == data["kind"])[clear].mean() > 0.95
        assert np.median(expected.probability["kind"][clear]) < 0.1


def test_missing_cells_are_hidden_like_others() -> None:
    """Of a nullable column that is told, the mask goes with the cell."""
    train = parcels(2000, 0)
    scorer = fit_scorer(train, parcels(300, 1), COLUMNS, training=TrainConfig(max_steps=400)).scorer
    rows = parcels(100, 2)
    rows["weight"][:50] = np.nan
    hidden = {"weight": np.arange(100) % 2 == 0}
    cells = scorer.expectation_given_others(rows, hidden).cells["weight"]
    here = hidden["weight"]
    assert np.abs(cells[here] - 2.0 * rows["size"][here]).mean() < 10.0
    np.testing.assert_allclose(cells[50:][~here[50:]], rows["weight"][50:][~here[50:]], rtol=1e-4)


def test_every_kind_of_cell_and_score_is_told(scorer: Scorer) -> None:
    """One cell of each row is changed; it comes first, with what was expected instead."""
    rows = parcels(5, 2)
    rows["size"][:] = 55.0
    rows["weight"][:] = 110.0
    rows["country"][:] = "de"
    rows["express"][:] = "no"
    rows["weight"][0] = 60.0
    rows["country"][1] = "zz"
    rows["express"][2] = "yes"
    rows["weight"][3] = np.nan
    rows["express"][4] = None
    below, unseen, express, missing, blank = reasons(scorer, rows)
    if scorer.score_kind == "latent_distance":
        assert {text for told in (below, unseen, express) for text in told} == {LATENT}
        return
    told = re.fullmatch(r"weight 60 is (?:far )?below the expected ([\d.]+)", below[0])
    told = told or re.fullmatch(r"size 55 is (?:far )?above the expected ([\d.]+)", below[0])
    assert told, below
    assert unseen[0] == "country 'zz' was never seen in training: expected is 'de'"
    unlikely = r"unlikely here \(.+\): expected is 'no'|less likely here \(.+\) than 'no'"
    assert re.fullmatch(f"express 'yes' is (?:{unlikely})", express[0])
    if scorer.score_kind == "elbo":
        told = re.fullmatch(r"weight is missing: expected is about ([\d.]+)", missing[0])
        assert told and abs(float(told[1]) - 110.0) < 15.0
        assert blank[0] == "express is missing: expected is 'no'"
        assert reasons(scorer, rows, top=1)[4] == blank[:1]
