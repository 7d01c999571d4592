"""A training run on real tables: what it reads, logs and leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from night_homes import CONFIG, HISTORY_ROWS, deliver, empty_home

from pipeline import tracking
from pipeline.config import Config
from pipeline.errors import NotEnoughRows
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.sampling import read_rows
from pipeline.split import Range
from pipeline.training import TrainingError, train
from vae_core import Scorer


def shop(folder: Path, store: Path, text: str = CONFIG, rows: int = HISTORY_ROWS) -> tuple:
    home, config = empty_home(folder, text)
    shutil.copy(store, home.path / "mlflow.db")
    if rows:
        deliver(home, config, "history", rows=rows, seed=0)
    return home, config


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def trained(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = shop(tmp_path_factory.mktemp("trained"), migrated_store)
    told: list[str] = []
    result = train(home, config, lambda done, total, message: told.append(message))
    patch.undo()
    return home, config, result, told


def test_the_run_holds_data_metrics_figures_and_the_scorer(
    trained: tuple[Home, Config, object, list[str]], tmp_path: Path
) -> None:
    home, _, result, told = trained
    client = tracking.connect(home)
    run = client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["stage"] == "train"
    assert run.data.tags["train_rows"] == "1-630"
    assert run.data.tags["calibration_rows"] == "721-900"
    assert {i.tags[0].value for i in run.inputs.dataset_inputs} == {"training", "validation"}
    for name in ("elbo", "kl", "active_units", "generation_shape_similarity", "best_epoch"):
        assert name in run.data.metrics
    assert result.metrics.items() <= run.data.metrics.items()
    assert len(client.get_metric_history(result.run_id, "validation_elbo")) > 3
    figures = {f.path for f in client.list_artifacts(result.run_id, "figures")}
    assert figures == {
        f"figures/{n}.png"
        for n in ("loss", "reconstructions", "latents", "generation", "marginals", "traversal")
    }
    assert [f.path for f in client.list_artifacts(result.run_id, "quality")] == [
        "quality/quality.json"
    ]
    folder = client.download_artifacts(result.run_id, "scorer", str(tmp_path))
    scorer = Scorer.load(folder)
    assert not scorer.is_calibrated
    assert scorer.metadata["split"] == result.split.to_dict()
    assert scorer.metadata["data_hash"] == run.data.tags["data_hash"]
    assert "verdict" not in scorer.encoding.names
    assert any("validation ELBO" in message for message in told)


def test_labels_and_later_rows_never_reach_training(
    trained: tuple, tmp_path: Path, migrated_store: Path
) -> None:
    """Other labels and other rows after the validation rows: the same weights."""
    _, _, result, _ = trained
    home, config = empty_home(tmp_path, CONFIG)
    shutil.copy(migrated_store, home.path / "mlflow.db")
    from night_homes import orders

    frame = orders(HISTORY_ROWS, 0, first=0)
    frame["verdict"] = np.where(np.arange(len(frame)) % 2, "fraud", "fine")
    frame.loc[720:, "amount"] = 1e6
    frame.to_csv(Path(config.source_path) / "history.csv", index=False)
    from pipeline.ingest import ingest

    ingest(home, config)
    again = train(home, config)
    assert again.metrics["elbo"] == result.metrics["elbo"]


def test_a_large_range_is_sampled_uniformly(trained: tuple) -> None:
    home, config, _, _ = trained
    lake = Lake(config, home)
    every = read_rows(lake, config, Range(101, 700), labels=True)
    assert len(every) == 600 and every.labels is not None and not every.labels.any()
    some = read_rows(lake, config, Range(101, 700), most=200, seed=3)
    again = read_rows(lake, config, Range(101, 700), most=200, seed=3)
    assert len(some) == 200 and some.labels is None
    assert set(some.columns["amount"]) <= set(every.columns["amount"])
    np.testing.assert_array_equal(some.columns["amount"], again.columns["amount"])
    positions = np.searchsorted(np.sort(every.columns["amount"]), some.columns["amount"])
    assert 200 < positions.mean() < 400


def test_nothing_ingested_is_said(tmp_path: Path, migrated_store: Path) -> None:
    home, config = shop(tmp_path, migrated_store, rows=0)
    with pytest.raises(NotEnoughRows, match="nothing is ingested"):
        train(home, config)


def test_a_score_that_the_model_does_not_have_is_said(tmp_path: Path, migrated_store: Path) -> None:
    home, config = shop(tmp_path, migrated_store)
    model = config.model.model_copy(update={"variant": "autoencoder"})
    config = config.model_copy(update={"model": model})
    with pytest.raises(TrainingError, match="needs an ELBO"):
        train(home, config)
    client = tracking.connect(home)
    experiment = client.get_experiment_by_name(config.name)
    assert [r.info.status for r in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_an_autoencoder_trains_without_generation(tmp_path: Path, migrated_store: Path) -> None:
    text = CONFIG.replace("model: {members: 1,", "model: {variant: autoencoder, members: 1,")
    text = text.replace("{alpha: 0.05}", "{alpha: 0.05, score: reconstruction_error}")
    home, config = shop(tmp_path, migrated_store, text)
    result = train(home, config)
    assert "reconstruction_error" in result.metrics
    assert "generation_shape_similarity" not in result.metrics
    assert json.dumps(result.metrics, allow_nan=False)
