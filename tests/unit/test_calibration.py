"""Calibration on real tables: thresholds, the registered version, its gates, the first champion."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from night_homes import CONFIG, HISTORY_ROWS, deliver, empty_home, orders
from rich.console import Console

from pipeline import registry, tracking, verdict
from pipeline.calibration import CalibrationError, calibrate
from pipeline.cli import output
from pipeline.config import Config
from pipeline.errors import (
    NotEnoughCalibrationRows,
    NotEnoughRows,
    RegistryError,
    SchemaError,
    ThresholdError,
)
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.settings import RowRange
from pipeline.training import train


@pytest.fixture(scope="module")
def ready(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Config]:
    """A home with a finished training, and 300 rows after its split."""
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = empty_home(tmp_path_factory.mktemp("ready"), CONFIG)
    shutil.copy(migrated_store, home.path / "mlflow.db")
    deliver(home, config, "history", rows=HISTORY_ROWS, seed=0)
    deliver(home, config, "later", rows=300, seed=1)
    train(home, config)
    patch.undo()
    return home, config


@pytest.fixture
def shop(
    ready: tuple[Home, Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Home, Config]:
    """A copy with a registry of its own; artifacts stay where they were written."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(ready[0].path, tmp_path / "shop")
    return Home(tmp_path / "shop"), ready[1]


def with_settings(config: Config, section: str, **changes: object) -> Config:
    part = getattr(config, section).model_copy(update=changes)
    return config.model_copy(update={section: part})


def test_the_first_version_passes_its_safety_gates_and_is_champion(
    shop: tuple[Home, Config],
) -> None:
    home, config = shop
    result = calibrate(home, config)
    by_name = {gate.name: gate for gate in result.gates}
    assert [name for name, gate in by_name.items() if gate.blocking] == [
        "reproduces",
        "no collapse",
        "false-positive rate",
    ]
    assert result.promoted and result.version == 1, result.gates
    champion = registry.champion(home, config.name)
    assert champion is not None and champion.version == 1
    assert (champion.calibration.first, champion.calibration.last) == (721, 900)
    assert champion.training_run == tracking.newest_run(home, config.name, "train")
    assert registry.stream_start(home, config.name) == 901
    scorer = registry.load_scorer(home, config.name)
    assert scorer.metadata["calibration"] == {"first": 721, "last": 900}
    assert len(scorer.calibration["anomaly_score"]) == 180
    assert result.thresholds["anomaly_score"].to_dict() == (
        scorer.thresholds["anomaly_score"].to_dict()
    )
    client = tracking.connect(home)
    run = client.get_run(result.run_id)
    assert run.data.metrics["threshold/anomaly_score"] == pytest.approx(
        result.thresholds["anomaly_score"].value
    )
    assert run.data.tags["promoted"] == "True" and run.data.tags["model_version"] == "1"
    assert {f.path for f in client.list_artifacts(result.run_id)} >= {
        "figures",
        "gates.json",
        "quality",
        "thresholds.json",
    }


def test_a_worse_challenger_stays_challenger(shop: tuple[Home, Config]) -> None:
    home, config = shop
    calibrate(home, with_settings(config, "training", max_steps=1))
    worse = with_settings(config, "training", max_steps=1, learning_rate=1e-9)
    worse = with_settings(worse, "threshold", score="reconstruction_error")
    train(home, worse)
    result = calibrate(home, worse)
    stopped = [gate.name for gate in result.gates if gate.blocking and not gate.passed]
    assert stopped and not result.promoted
    assert registry.get(home, config.name, "challenger").version == 2
    assert registry.champion(home, config.name).version == 1
    assert registry.promote(home, config.name).version == 2
    assert registry.rollback(home, config.name).version == 1


def test_the_champion_is_recalibrated_on_later_rows(shop: tuple[Home, Config]) -> None:
    home, config = shop
    calibrate(home, config)
    with pytest.raises(CalibrationError, match="later than those"):
        calibrate(home, config, recalibrate_champion=True)
    later = config.model_copy(update={"calibration_rows": RowRange(first=901, last=1200)})
    result = calibrate(home, later, recalibrate_champion=True)
    assert result.version == 2
    old, new = (registry.load_scorer(home, config.name, v) for v in (1, 2))
    assert new.metadata["calibration"] == {"first": 901, "last": 1200}
    assert new.metadata["training_run"] == old.metadata["training_run"]
    assert len(new.calibration["anomaly_score"]) == 300
    assert type(new).__module__ == type(old).__module__
    assert registry.stream_start(home, config.name) == 901


def test_calibration_takes_the_score_of_the_config(shop: tuple[Home, Config]) -> None:
    home, config = shop
    calibrate(home, with_settings(config, "threshold", score="reconstruction_error"))
    scorer = registry.load_scorer(home, config.name, 1)
    assert scorer.score_kind == "reconstruction_error"
    assert scorer.thresholds["anomaly_score"] == scorer.thresholds["reconstruction_error"]
    assert scorer.thresholds["anomaly_score"] != scorer.thresholds["elbo"]


def test_the_tail_fit_is_stored_and_logged(shop: tuple[Home, Config]) -> None:
    home, config = shop
    result = calibrate(
        home, with_settings(config, "threshold", method="pot", peaks=40, alpha=0.001)
    )
    threshold = result.thresholds["anomaly_score"]
    stored = registry.load_scorer(home, config.name, 1).thresholds["anomaly_score"]
    assert stored.to_dict() == threshold.to_dict()
    assert (stored.method, stored.guarantee, stored.n) == ("pot", False, 180)
    logged = tracking.connect(home).get_run(result.run_id).data.metrics
    for name in ("shape", "scale", "level", "peaks", "fit_p_value", "anderson_darling"):
        assert logged[f"threshold/anomaly_score/{name}"] == stored.parameters[name]


def test_calibration_rows_without_a_label_count_in_no_statistic_of_labels(
    shop: tuple[Home, Config],
) -> None:
    home, config = shop
    calibrate(home, config)
    frame = orders(300, seed=7, odd=0.3)
    unknown = np.arange(300) % 2 == 0
    labels = frame.verdict[~unknown]
    frame.loc[unknown, "verdict"] = None
    frame.to_csv(Path(config.source_path) / "odd.csv", index=False)
    ingest(home, config)
    rows = RowRange(first=1201, last=1500)
    chosen = with_settings(config, "threshold", method="best_f1")
    result = calibrate(
        home, chosen.model_copy(update={"calibration_rows": rows}), recalibrate_champion=True
    )
    threshold = result.thresholds["anomaly_score"]
    assert threshold.parameters["anomalies"] == (labels == "fraud").sum()
    assert threshold.n == (labels == "fine").sum()
    logged = tracking.connect(home).get_run(result.run_id).data.metrics
    assert logged["labelled/auroc"] > 0.95
    assert logged["labelled/recall"] == pytest.approx(threshold.parameters["recall"])


def test_label_methods_get_the_labels_of_the_calibration_rows(shop: tuple[Home, Config]) -> None:
    home, config = shop
    chosen = with_settings(config, "threshold", method="best_f1", f_beta=2.0)
    with pytest.raises(ThresholdError, match="all 180 labelled calibration rows are normal rows"):
        calibrate(home, chosen)
    assert registry.versions(home, config.name) == []

    calibrate(home, config)
    deliver(home, config, "odd", rows=300, seed=7, odd=0.2)
    rows = RowRange(first=901, last=1500)
    result = calibrate(
        home, chosen.model_copy(update={"calibration_rows": rows}), recalibrate_champion=True
    )
    threshold = registry.load_scorer(home, config.name, 2).thresholds["anomaly_score"]
    found = threshold.parameters
    assert threshold.method == "best_f1" and threshold.n + found["anomalies"] == 600
    assert 30 < found["anomalies"] < 90
    assert found["recall"] > 0.9 and found["f_beta"] == 2.0
    # the labels decide: on the sorted table, out of step with its rows, it could not be so good
    assert found["f_score"] > 0.8
    logged = tracking.connect(home).get_run(result.run_id).data.metrics
    assert logged["threshold/anomaly_score/f_score"] == pytest.approx(found["f_score"])
    # the p-values' table still holds every calibration row
    assert len(registry.load_scorer(home, config.name, 2).calibration["anomaly_score"]) == 600


@pytest.mark.parametrize("method", ["conformal", "best_f1"])
def test_a_normal_value_that_no_label_has_registers_nothing(
    shop: tuple[Home, Config], method: str
) -> None:
    home, config = shop
    label = config.columns["verdict"].model_copy(update={"normal": ("Fine",)})
    wrong = config.model_copy(update={"columns": {**config.columns, "verdict": label}})
    with pytest.raises(SchemaError, match=r"seen: fine 180; did you mean 'fine'\?"):
        calibrate(home, with_settings(wrong, "threshold", method=method))
    assert registry.versions(home, config.name) == []


def test_known_anomalies_among_the_calibration_rows_are_reported(
    shop: tuple[Home, Config],
) -> None:
    home, config = shop
    assert calibrate(home, config).notes == ()
    deliver(home, config, "odd", rows=300, seed=7, odd=0.2)
    later = config.model_copy(update={"calibration_rows": RowRange(first=901, last=1500)})
    result = calibrate(home, later, recalibrate_champion=True)
    (note,) = result.notes
    assert "of 600 calibration rows are labelled anomalies, more than alpha = 5 % allows" in note
    assert tracking.connect(home).get_run(result.run_id).data.tags["notes"] == note
    version = registry.load_scorer(home, config.name, result.version)
    assert version.metadata["calibration_notes"] == [note]
    assert verdict.calibration_notes(version) == {"beware": note}
    told = io.StringIO()
    output.calibrated(Console(file=told, width=400), config.name, result)
    assert f"Note: {note}" in told.getvalue()
    mad = with_settings(later, "threshold", method="mad")
    assert calibrate(home, mad, recalibrate_champion=True).notes == ()


def test_rows_of_the_training_do_not_calibrate(shop: tuple[Home, Config]) -> None:
    home, config = shop
    calibrate(home, config)
    for first, last, error, message in (
        (600, 900, CalibrationError, "took part in training"),
        (700, 700, CalibrationError, "took part in training"),
        (901, 5000, NotEnoughRows, "only 1,200 rows are ingested"),
    ):
        rows = RowRange(first=first, last=last)
        with pytest.raises(error, match=message):
            calibrate(
                home,
                config.model_copy(update={"calibration_rows": rows}),
                recalibrate_champion=True,
            )
    assert [v.version for v in registry.versions(home, config.name)] == [1]


def test_too_few_rows_for_alpha_register_nothing(shop: tuple[Home, Config]) -> None:
    home, config = shop
    with pytest.raises(NotEnoughCalibrationRows, match="needs at least 999 calibration rows"):
        calibrate(home, with_settings(config, "threshold", alpha=0.001))
    assert registry.versions(home, config.name) == []


def test_what_there_is_not_cannot_be_calibrated(shop: tuple[Home, Config], home: Home) -> None:
    _, config = shop
    with pytest.raises(CalibrationError, match="no finished training"):
        calibrate(home, config)
    with pytest.raises(CalibrationError, match="run 123 holds no trained scorer"):
        calibrate(home, config, run_id="123")
    with pytest.raises(RegistryError, match="no champion"):
        calibrate(home, config, recalibrate_champion=True)
