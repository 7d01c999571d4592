"""Constant columns: silent while they stay, told first when they change."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from registered import CALIBRATION, config

from pipeline import registry, tracking
from pipeline.detector import ColumnKind, VAEDetector
from pipeline.explain import reasons
from pipeline.fitting import calibrate_scorer, fit_scorer
from pipeline.home import Home
from pipeline.preprocess import fit_constant, fit_encoding
from vae_core import (
    SCORE_KINDS,
    ConstantColumn,
    Encoding,
    ModelConfig,
    Scorer,
    TrainConfig,
    read_pictures,
)
from vae_core.constants import Constants

TRAINED = 400
KINDS = {
    "a": ColumnKind("numeric", False),
    "site": ColumnKind("categorical", False),
    "b": ColumnKind("numeric", False),
    "level": ColumnKind("numeric", False),
    "note": ColumnKind("categorical", True),
}
CONSTANTS = ("site", "level")
OF_TABLES = tuple(kind for kind in SCORE_KINDS if kind != "likelihood_ratio")
DISTANCES = ("latent_distance", "row_distance")
COLUMN_KINDS = tuple(kind for kind in OF_TABLES if kind not in DISTANCES)

Data = dict[str, np.ndarray]


def table(rows: int, seed: int) -> Data:
    """Two related numbers, a category that may be missing, and two constants between them."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    return {
        "a": a,
        "site": np.full(rows, "north", dtype=object),
        "b": 3 * a + rng.normal(size=rows),
        "level": np.full(rows, 7.25),
        "note": np.where(rng.random(rows) < 0.3, None, "seen").astype(object),
    }


def changed(data: Data, name: str) -> Data:
    """The same rows with another value in one constant column."""
    other: np.ndarray = (
        np.full(len(data["a"]), "south", dtype=object)
        if name == "site"
        else np.full(len(data["a"]), 7.5)
    )
    return {**data, name: other}


def without(data: Data, *names: str) -> Data:
    return {name: values for name, values in data.items() if name not in names}


@pytest.fixture(scope="module")
def scorer(device: str) -> Scorer:
    fit = fit_scorer(
        table(TRAINED, 0),
        table(100, 1),
        KINDS,
        model=ModelConfig(members=3, hidden=(16,), latent_dim=2),
        training=TrainConfig(max_steps=60),
        score="importance_weighted",  # fits what this kind needs beside the others
        device=device,
    )
    assert fit.dropped == CONSTANTS
    return calibrate_scorer(replace(fit.scorer, score_kind="combined"), table(200, 2), alpha=0.05)


def test_they_are_columns_of_the_encoding_without_a_cell(scorer: Scorer) -> None:
    encoding = scorer.encoding
    assert encoding.constants.columns == (
        ConstantColumn("site", "north", TRAINED),
        ConstantColumn("level", 7.25, TRAINED),
    )
    assert encoding.names == tuple(KINDS)
    assert encoding.required == ("a", "b", "note")
    smaller = fit_encoding(without(table(TRAINED, 0), *CONSTANTS), without(KINDS, *CONSTANTS))
    assert encoding.layout == smaller.encoding.layout


@pytest.mark.parametrize("kind", OF_TABLES)
def test_usual_values_contribute_nothing(scorer: Scorer, kind: str) -> None:
    why = replace(scorer, score_kind=kind).explain(table(50, 3))
    for name in CONSTANTS:
        np.testing.assert_allclose(why.contributions[:, why.names.index(name)], 0.0, atol=1e-12)


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_change_adds_what_the_rule_of_succession_says(scorer: Scorer, name: str) -> None:
    data = table(50, 3)
    before, after = scorer.raw_scores(data), scorer.raw_scores(changed(data, name))
    n, columns = TRAINED, len(KINDS)
    # −log 1/(n+2) in place of −log (n+1)/(n+2): the odds of n + 1 to 1
    nats = math.log(n + 2) - math.log((n + 2) / (n + 1))
    assert nats == pytest.approx(math.log(n + 1))
    np.testing.assert_allclose(after.elbo_score - before.elbo_score, nats, rtol=1e-9)
    np.testing.assert_allclose(before.elbo - after.elbo, nats, rtol=1e-9)
    np.testing.assert_allclose(
        after.reconstruction_error - before.reconstruction_error, (n + 1) / columns, rtol=1e-9
    )
    np.testing.assert_array_equal(after.kl, before.kl)
    for name in DISTANCES:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


def test_the_two_probabilities_sum_to_one() -> None:
    for rows in (1, 10, 100_000):
        column = ConstantColumn("c", 1.0, rows)
        usual, change = column.nats
        assert math.exp(-usual) + math.exp(-change) == pytest.approx(1.0, abs=1e-12)
        assert math.exp(-change) == pytest.approx(1 / (rows + 2))
        assert column.squared_error == rows + 1


def test_changes_of_two_columns_add_up(scorer: Scorer) -> None:
    data = table(20, 3)
    before = scorer.raw_scores(data).elbo_score
    after = scorer.raw_scores(changed(changed(data, "site"), "level")).elbo_score
    np.testing.assert_allclose(after - before, 2 * math.log(TRAINED + 1), rtol=1e-9)


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("kind", COLUMN_KINDS)
def test_a_change_is_the_first_reason(scorer: Scorer, kind: str, name: str) -> None:
    one, data = replace(scorer, score_kind=kind), changed(table(50, 3), name)
    why = one.explain(data)
    assert {why.names[i] for i in why.contributions.argmax(1)} == {name}
    total = why.contributions.sum(1) + why.latent + why.expected
    np.testing.assert_allclose(total, one.raw_scores(data).anomaly_score, rtol=1e-9, atol=1e-9)
    told = {first for first, *_ in reasons(one, data)}
    value, usual = ("'south'", "'north'") if name == "site" else ("7.5", "7.25")
    assert told == {f"{name} {value} is new: in training it was always {usual}"}


def test_the_latent_distance_has_no_columns(scorer: Scorer) -> None:
    one = replace(scorer, score_kind="latent_distance")
    assert not one.explain(changed(table(50, 3), "site")).contributions.any()


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_change_is_flagged(scorer: Scorer, name: str) -> None:
    data = table(200, 4)
    assert scorer.score(data)["is_anomaly"].mean() < 0.15
    found = scorer.score(changed(data, name))
    assert found["is_anomaly"].all()
    for p in ("p_value", "p_value_elbo", "p_value_reconstruction_error"):
        assert (found[p] < 0.05).all()


def test_a_row_set_without_them_scores_as_unchanged(scorer: Scorer) -> None:
    data = table(60, 5)
    whole = scorer.score(data)
    for left_out in (("site",), ("level",), CONSTANTS):
        for name, values in scorer.score(without(data, *left_out)).items():
            np.testing.assert_array_equal(values, whole[name])
    assert len(scorer.explain(without(data, *CONSTANTS)).names) == len(KINDS)


@pytest.mark.parametrize(("name", "cell"), [("level", np.nan), ("site", None), ("site", np.nan)])
def test_a_missing_cell_is_a_change(scorer: Scorer, name: str, cell: object) -> None:
    data = table(20, 3)
    before = scorer.raw_scores(data).elbo_score
    data[name][4] = cell
    raised = scorer.raw_scores(data).elbo_score - before
    assert raised[4] == pytest.approx(math.log(TRAINED + 1))
    assert not np.delete(raised, 4).any()
    assert reasons(scorer, data)[4][0].startswith(f"{name} missing is new")


def test_other_spellings_of_a_category_are_no_change() -> None:
    values = np.array([5, "5", 5.0], dtype=object)
    column = fit_constant("code", values)
    assert column == ConstantColumn("code", "5", 3)
    encoding = Encoding(
        [*fit_encoding({"a": np.arange(3.0)}, {"a": KINDS["a"]})[0].columns, column]
    )
    again = np.array(["5", 5, 5.0, np.float64(5), True, "5.0", None], dtype=object)
    nats, error = encoding.constants.terms({"code": again}, 7)
    assert (nats[:, 0] > 1).tolist() == [False] * 4 + [True] * 3
    assert error[:, 0].tolist() == [0.0] * 4 + [4.0] * 3


def test_decoded_and_generated_rows_hold_the_constant(scorer: Scorer) -> None:
    for rows in (scorer.generate(9), scorer.reconstruct(changed(table(9, 3), "site"))):
        assert tuple(rows) == tuple(KINDS)
        assert rows["site"].tolist() == ["north"] * 9
        np.testing.assert_array_equal(rows["level"], np.full(9, 7.25))


def test_saved_and_loaded_they_still_tell(scorer: Scorer, tmp_path: Path, device: str) -> None:
    scorer.save(tmp_path)
    loaded = Scorer.load(tmp_path, device=device)
    assert loaded.encoding.constants.columns == scorer.encoding.constants.columns
    data = changed(table(30, 3), "level")
    for name, values in scorer.score(data).items():
        np.testing.assert_array_equal(loaded.score(data)[name], values)
    np.testing.assert_array_equal(
        loaded.explain(data).contributions, scorer.explain(data).contributions
    )


def test_columns_without_any_value_are_watched_for_one() -> None:
    data = {"a": np.arange(4.0), "gone": np.full(4, np.nan), "void": np.full(4, None, dtype=object)}
    kinds = {"a": KINDS["a"], "gone": ColumnKind("numeric", True), "void": KINDS["note"]}
    encoding, dropped = fit_encoding(data, kinds)
    assert dropped == ("gone", "void") and encoding.names == ("a", "gone", "void")
    data["gone"][1], data["void"][2] = 0.0, ""
    nats, _ = encoding.constants.terms(data, 4)
    assert (nats > 1).tolist() == [[False] * 2, [True, False], [False, True], [False] * 2]
    back = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict(), allow_nan=False)))
    decoded = back.decode(back.encode(data)[0])
    assert np.isnan(decoded["gone"]).all() and decoded["void"].tolist() == [None] * 4


def test_a_value_where_there_never_was_one_is_a_reason() -> None:
    data = {"a": np.random.default_rng(0).normal(size=80), "gone": np.full(80, np.nan)}
    kinds = {"a": KINDS["a"], "gone": ColumnKind("numeric", True)}
    scorer = fit_scorer(
        data, data, kinds, model=ModelConfig(hidden=(16,)), training=TrainConfig(max_steps=20)
    ).scorer
    data["gone"][0] = 5.0
    assert reasons(scorer, data)[0][0] == "gone 5 is new: in training it was always missing"


def test_constants_alone_cannot_be_learned() -> None:
    with pytest.raises(ValueError, match="every feature column is constant"):
        fit_encoding({"level": np.full(4, 1.0)}, {"level": KINDS["level"]})


@pytest.mark.parametrize("frame", [False, True], ids=["array", "frame"])
def test_the_estimator_lists_and_flags_them(frame: bool) -> None:
    rng = np.random.default_rng(0)
    x: np.ndarray | pd.DataFrame = np.column_stack(
        [rng.normal(size=(300, 2)), np.full(300, 4.0), rng.normal(size=300)]
    )
    if frame:
        x = pd.DataFrame(x, columns=list("pqrs")).assign(t="on")
    detector = VAEDetector(members=2, hidden=(16,), max_epochs=4, device="cpu", random_state=0)
    detector.fit(x)
    assert detector.dropped_columns_ == (("r", "t") if frame else ("2",))
    usual = x[:20]
    row = int(np.flatnonzero(detector.predict(usual) == 1)[0])
    odd = usual.copy()
    if isinstance(odd, pd.DataFrame):
        odd.loc[row, "t"] = "off"
    else:
        odd[row, 2] = 5.0
    before, after = detector.predict(usual), detector.predict(odd)
    assert (before[row], after[row]) == (1, -1)
    np.testing.assert_array_equal(np.delete(before, row), np.delete(after, row))
    explained = detector.explain(odd)
    assert explained.shape == odd.shape
    assert explained[row].argmax() == (4 if frame else 2)
    total = explained.sum(1) + detector.score_frame(odd)["latent"] + detector.expected_
    np.testing.assert_allclose(total, -detector.score_samples(odd), rtol=1e-9, atol=1e-9)


def test_a_consumer_may_leave_them_out(scorer: Scorer, home: Home) -> None:
    data = table(40, 6)
    with tracking.start(home, config(), "calibrate") as run:
        registry.register(run, "watched", scorer, table(5, 7), CALIBRATION)
    model = tracking.pyfunc().load_model("models:/watched/1")
    frame = pd.DataFrame(data)
    whole = model.predict(frame)
    np.testing.assert_array_equal(whole["anomaly_score"], scorer.score(data)["anomaly_score"])
    pd.testing.assert_frame_equal(model.predict(frame.drop(columns=list(CONSTANTS))), whole)
    for name in CONSTANTS:
        assert model.predict(pd.DataFrame(changed(data, name)))["is_anomaly"].all()
    assert model.predict(frame.assign(level=None))["is_anomaly"].all()
    assert model.predict(frame.assign(site=None))["is_anomaly"].all()
    with pytest.raises(ValueError, match=r"missing column\(s\): b"):
        model.predict(frame.drop(columns=["b", "site"]))
    with pytest.raises(ValueError, match=r"column 'level': 40 value.* not numbers"):
        model.predict(frame.assign(level="7.25"))


def test_columns_of_a_consumers_frame(scorer: Scorer) -> None:
    tracking.pyfunc()  # imports MLflow without its warnings
    from pipeline.model_code import _columns

    frame = pd.DataFrame(table(6, 6)).drop(columns="level").astype({"site": "category"})
    got = _columns(frame, scorer.encoding, read_pictures)
    assert tuple(got) == ("a", "site", "b", "note")
    assert got["site"].dtype == object and got["a"].dtype == np.float64
    assert tuple(_columns(frame.drop(columns="site"), scorer.encoding, read_pictures)) == (
        "a",
        "b",
        "note",
    )
    assert (
        _columns(frame.assign(level=[7] * 6), scorer.encoding, read_pictures)["level"].dtype
        == np.float64
    )


def test_a_constant_in_single_precision_has_not_changed() -> None:
    column = ConstantColumn("c", 0.1, rows=100)
    values = np.full(3, 0.1, dtype=np.float32).astype(np.float64)
    values[2] = 0.1001
    nats, squared = Constants([column]).terms({"c": values}, rows=3)
    np.testing.assert_array_equal(squared[:, 0], [0.0, 0.0, 101.0])
    assert nats[0, 0] == nats[1, 0] < nats[2, 0]


@pytest.mark.parametrize("first", [True, None])
def test_a_binary_column_of_one_value_with_missing_cells_is_not_watched(first: bool | None) -> None:
    """Its missing cells are usual, whatever row comes first."""
    cells = np.array([first, True, None, True] * 10, dtype=object)
    rows = {"x": np.arange(40.0), "f": cells}
    kinds = {"x": ColumnKind("numeric", False), "f": ColumnKind("binary", True)}
    encoding, dropped = fit_encoding(rows, kinds)
    assert dropped == ("f",)
    assert encoding.names == ("x",)
