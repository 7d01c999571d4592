"""Every variant and prior, for tables and pictures: from files to a registered model, and back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_digits

from pipeline import registry, tracking
from pipeline.calibration import calibrate
from pipeline.config import load_config
from pipeline.frames import to_columns, to_frame
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.making import generate, open_version, reconstruct
from pipeline.scoring import score
from pipeline.training import train
from vae_core.models import MODELS, VAE

HISTORY, NIGHT, ODD = 300, 60, 6
SMALL = {"members": 2, "hidden": [16], "latent_dim": 4, "categories": 4, "components": 8}
MODELLED: dict[str, dict[str, Any]] = {
    **{name: {"variant": name} for name in MODELS},
    "beta": {"beta": 4.0},
    **{f"prior {name}": {"prior": name} for name in VAE.priors if name != "normal"},
    "autoregressive prior": {"variant": "discrete", "prior": "autoregressive"},
    "conditional prior": {"variant": "conditional", "prior": "conditional"},
}
CASES = [(name, rows) for name in MODELLED for rows in ("table", "pictures")]


def table(count: int, seed: int, odd: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.choice(["a", "b"], count)
    x = rng.normal(size=count)
    y = np.where(kind == "a", 2 * x, -x) + 0.1 * rng.normal(size=count)
    y[:odd] += 30
    gaps = rng.random(count) < 0.1
    spare = np.where(gaps, np.nan, rng.lognormal(size=count))
    return pd.DataFrame({"x": x, "y": y, "spare": spare, "kind": kind})


def land(folder: Path, rows: str, name: str, seed: int, odd: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    if rows == "table":
        table(HISTORY if not odd else NIGHT, seed, odd).to_parquet(folder / f"{name}.parquet")
        return
    values, digits = load_digits(return_X_y=True)
    pictures = np.rint(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
    part = slice(HISTORY, HISTORY + NIGHT) if odd else slice(HISTORY)
    shown = pictures[part].copy()
    rng = np.random.default_rng(seed)
    shown[:odd] = rng.permuted(shown[:odd].reshape(odd, 64), axis=1).reshape(odd, 8, 8)
    np.savez(folder / f"{name}.npz", x=shown, kind=digits[part] % 2)


def settings(name: str, rows: str) -> dict[str, Any]:
    given = dict(MODELLED[name])
    training = {"max_steps": 60, "batch_size": 64}
    if "beta" in given:
        training["beta"] = given.pop("beta")
    model = {**SMALL, **given}
    if rows == "pictures":
        model |= {"network": "conv", "channels": [8]}
    condition = model.get("variant") == "conditional"
    columns: dict[str, dict[str, Any]] = {
        "table": {
            "x": {"role": "numeric"},
            "y": {"role": "numeric"},
            "spare": {"role": "numeric", "nullable": True},
            "kind": {"role": "condition" if condition else "categorical"},
        },
        "pictures": {
            "x": {"role": "image", "shape": [8, 8]},
            "kind": {"role": "condition" if condition else "ignore"},
        },
    }[rows]
    return {
        "name": "every",
        "source": {"path": "landing"},
        "columns": columns,
        "split": {"until": HISTORY},
        "model": model,
        "training": training,
        "threshold": {
            "alpha": 0.05,
            "score": "reconstruction_error" if name == "autoencoder" else "combined",
        },
        "device": "cpu",
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "rows"), CASES)
def test_from_files_to_a_registered_model(
    name: str, rows: str, tmp_path: Path, migrated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "every.yaml").write_text(yaml.safe_dump(settings(name, rows)), encoding="utf-8")
    home, config = Home(tmp_path / "home"), load_config(tmp_path / "every.yaml")
    lake = Lake(config, home)
    lake.create()
    shutil.copy(migrated_store, home.path / "mlflow.db")

    land(tmp_path / "landing", rows, "history", seed=0)
    assert ingest(home, config).ingested == HISTORY
    trained = train(home, config)
    assert all(np.isfinite(value) for value in trained.metrics.values())
    calibrated = calibrate(home, config, run_id=trained.run_id)
    assert calibrated.version == 1
    registry.promote(home, config.name, 1)  # whatever gates say of so few steps

    land(tmp_path / "landing", rows, "night", seed=1, odd=ODD)
    ingest(home, config)
    night = score(home, config)
    assert night is not None and night.rows_scored == NIGHT
    scores = lake.read("scores").sort_by("_row_id").to_pandas()
    assert scores["is_anomaly"][:ODD].mean() > scores["is_anomaly"][ODD:].mean()
    alerts = lake.read("alerts").to_pylist()
    assert alerts and all(alert["reasons"] for alert in alerts)
    conditions = [c for c in config.conditions if c in json.loads(alerts[0]["raw"])]
    assert conditions == config.conditions
    assert Path(night.report_path).exists()

    tracking.connect(home)
    model = tracking.pyfunc().load_model(f"models:/{config.name}@champion")
    given = to_columns(lake.read("ingested").sort_by("_row_id").slice(HISTORY), config)
    frame = to_frame(given, list(given))
    answered = model.predict(frame)
    np.testing.assert_array_equal(answered["anomaly_score"].astype(float), scores["anomaly_score"])
    np.testing.assert_array_equal(answered["p_value"].astype(float), scores["p_value"])
    if rows == "pictures":
        flat = frame.assign(x=[np.asarray(cell).ravel().tolist() for cell in frame["x"]])
        raw = frame.assign(x=[np.uint8(cell).tobytes() for cell in frame["x"]])
        for form in (flat, raw):
            again = model.predict(form)
            np.testing.assert_array_equal(again["anomaly_score"], answered["anomaly_score"])
    if config.conditions:
        unknown = model.predict(frame.drop(columns="kind"))
        assert (unknown["anomaly_score"] != answered["anomaly_score"]).any()

    source = open_version(home, config)
    how = "mixture" if name == "autoencoder" else "prior"
    told = {"kind": "1" if rows == "pictures" else "a"} if config.conditions else None
    made = generate(source, 4, how=how, given=told)
    assert len(made.columns["x"]) == 4
    assert set(reconstruct(source).columns) >= set(source.scorer.names)
