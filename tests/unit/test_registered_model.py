"""What the registered model answers through MLflow: columns, parameters, and bad requests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from registered import register, rows, scorer

from pipeline import tracking
from pipeline.home import Home


@pytest.fixture(scope="module")
def output() -> list[str]:
    """What the core itself gives, in its order."""
    return list(scorer().score(rows(1)))


@pytest.fixture(scope="module")
def models(
    migrated_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A VAE and an autoencoder, loaded as a consumer loads them."""
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path_factory.mktemp("models"))
    shutil.copy(migrated_store, home.path / "mlflow.db")
    register(home, scorer(), "vae")
    register(home, scorer("autoencoder"), "autoencoder")
    load = tracking.pyfunc().load_model
    yield {name: load(f"models:/{name}/1") for name in ("vae", "autoencoder")}
    patch.undo()


@pytest.fixture
def model(models: dict[str, Any]) -> Any:
    return models["vae"]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(rows(40, 7))


def test_eight_columns_and_the_scores_of_the_core(
    model: Any, frame: pd.DataFrame, output: list[str]
) -> None:
    got = model.predict(frame)
    assert len(output) == 8 and list(got.columns) == output
    for name, values in scorer().score(rows(40, 7)).items():
        np.testing.assert_array_equal(values, got[name].to_numpy())


def test_order_index_and_further_columns_do_not_matter(model: Any, frame: pd.DataFrame) -> None:
    expected = model.predict(frame)
    turned = frame[list(frame.columns)[::-1]].assign(more=1).iloc[::-1]
    pd.testing.assert_frame_equal(model.predict(turned).iloc[::-1], expected)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "Int64", "float32", "object"])
def test_whole_numbers_are_numbers_in_any_type(model: Any, frame: pd.DataFrame, dtype: str) -> None:
    expected = model.predict(frame)
    got = model.predict(frame.assign(amount=frame["amount"].astype(dtype)))
    pd.testing.assert_frame_equal(got, expected)


def test_categories_in_any_spelling(model: Any, frame: pd.DataFrame) -> None:
    expected = model.predict(frame)
    for express in (frame["express"].astype(int), frame["express"].astype(int).astype(float)):
        pd.testing.assert_frame_equal(model.predict(frame.assign(express=express)), expected)
    country = frame["country"].astype("category")
    pd.testing.assert_frame_equal(model.predict(frame.assign(country=country)), expected)
    unseen = model.predict(frame.assign(country="atlantis"))
    assert np.isfinite(unseen["anomaly_score"]).all()


def test_alpha_moves_the_flags_and_nothing_else(model: Any, frame: pd.DataFrame) -> None:
    base, loose = model.predict(frame), model.predict(frame, params={"alpha": 0.5})
    assert loose["is_anomaly"].sum() > base["is_anomaly"].sum()
    assert (loose["is_anomaly"] == (loose["p_value"] <= 0.5)).all()
    pd.testing.assert_frame_equal(base.iloc[:, :-1], loose.iloc[:, :-1])
    assert not model.predict(frame, params={"alpha": 1e-9})["is_anomaly"].any()
    for alpha in (0.0, 1.0, 7.0):
        with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
            model.predict(frame, params={"alpha": alpha})


def test_control_of_false_discoveries_is_refused_per_request(
    model: Any, frame: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match="not decided per request"):
        model.predict(frame, params={"fdr": True})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": None}, "column 'amount': .* missing value"),
        ({"amount": np.nan}, "column 'amount': .* missing value"),
        ({"amount": np.inf}, "column 'amount': .* infinite"),
        ({"amount": "SECRET"}, "column 'amount': .* not numbers"),
        ({"express": "SECRET"}, "column 'express'"),
        ({"express": None}, "column 'express': .* missing value"),
    ],
)
def test_a_bad_cell_is_named_and_no_cell_is_quoted(
    model: Any, frame: pd.DataFrame, change: dict[str, Any], message: str
) -> None:
    bad = frame.astype(dict.fromkeys(change, object))
    for name, value in change.items():
        bad.loc[3, name] = value
    bad.loc[5, "country"] = "OTHER-ROWS-SECRET"
    with pytest.raises(ValueError, match=message) as caught:
        model.predict(bad)
    assert "SECRET" not in str(caught.value)


def test_missing_and_repeated_columns_are_named(model: Any, frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"missing column\(s\): amount, country"):
        model.predict(frame.drop(columns=["amount", "country"]))


def test_nullable_columns_take_nulls(model: Any, frame: pd.DataFrame) -> None:
    got = model.predict(frame.assign(weight=None, country=None))
    assert np.isfinite(got["anomaly_score"]).all()


def test_no_rows_give_no_rows(model: Any, frame: pd.DataFrame, output: list[str]) -> None:
    assert list(model.predict(frame.iloc[:0]).columns) == output


def test_replies_are_valid_json_even_without_an_elbo(
    models: dict[str, Any], frame: pd.DataFrame
) -> None:
    got = models["autoencoder"].predict(frame)
    assert got["p_value_elbo"].isna().all()
    records = got.to_dict(orient="records")
    assert json.loads(json.dumps(records, allow_nan=False))[0]["p_value_elbo"] is None


def test_the_signature_names_inputs_outputs_and_parameters(model: Any, output: list[str]) -> None:
    signature = model.metadata.signature
    assert signature.inputs.input_names() == ["amount", "weight", "country", "express"]
    assert all(not column.required for column in signature.inputs.inputs)
    assert signature.outputs.input_names() == output
    assert {p.name for p in signature.params.params} == {"alpha", "fdr"}
    described = model.metadata.metadata["columns"]
    assert described["weight"] == "numeric, may be null" and described["express"] == "binary"
    assert model.metadata.metadata["calibration_first"] == "301"
