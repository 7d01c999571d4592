"""The tune flow and command against a real Prefect server and a real MLflow store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from small_data import HISTORY_ROWS, rows

from pipeline import tracking
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.tuning import TuningError, study, tune

FAST = "training: {max_steps: 150}"
METRICS = {
    *("elbo", "elbo_mean", "detection", "seconds"),
    *(f"auroc/{kind}" for kind in ("local", "global", "dependency", "cluster")),
}


def ingested(home: Home, config: Path) -> None:
    loaded = load_config(config)
    Lake(loaded, home).create()
    ingest(home, loaded)


def runs_of(home: Home, name: str, where: str) -> list[Any]:
    return tracking.find_runs(tracking.connect(home), name, where)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_api")
def test_a_study_by_flow_then_continued_by_hand(
    home: Home,
    make_data_set: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from flows.tune import tune as flow
    from pipeline.cli import main

    config = make_data_set("small")
    ingested(home, config)
    text = config.read_text()
    fit, fitted = study.fit_model, []

    def fails_once(tried: Any, *arguments: Any) -> Any:
        fitted.append(tried)
        if len(fitted) == 3:
            raise FloatingPointError("training never reached a finite objective")
        return fit(tried, *arguments)

    monkeypatch.setattr(study, "fit_model", fails_once)
    run_id = flow(str(config), str(home.path), trials=5)
    assert len(fitted) == 5, "the trials after the failed one were run"
    assert config.read_text() == text, "a study changes no config"

    client = tracking.connect(home)
    parent = client.get_run(run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["stage"] == "tune"
    assert parent.data.metrics["trials"] == 5 and parent.data.metrics["failed_trials"] == 1
    trials = runs_of(home, "small", f"tags.mlflow.parentRunId = '{run_id}'")
    assert sorted(int(run.data.tags["trial"]) for run in trials) == [0, 1, 2, 3, 4]
    failed = [run for run in trials if run.info.status == "FAILED"]
    assert [run.data.tags["failure"] for run in failed] == [
        "FloatingPointError: training never reached a finite objective"
    ]
    for run in trials:
        if run not in failed:
            assert run.info.status == "FINISHED"
            assert set(run.data.metrics) == METRICS
        settings = json.loads(run.data.tags["settings"])
        assert float(run.data.params["training.beta"]) == settings["training.beta"]
        assert run.data.params["model.latent_dim"] == str(int(settings["model.latent_dim"]))
    assert [f.path for f in client.list_artifacts(run_id, "figures")] == ["figures/study.png"]

    by_number = {int(run.data.tags["trial"]): run.data for run in trials}
    best = by_number[int(parent.data.tags["best_trial"])]
    files = {f.path for f in client.list_artifacts(run_id)}
    assert ("best.yaml" in files) == (best.tags["trial"] != "0")
    if "best.yaml" in files:
        found = yaml.safe_load(Path(client.download_artifacts(run_id, "best.yaml")).read_text())
        assert found["model"]["latent_dim"] == int(best.params["model.latent_dim"])
        config.write_text(yaml.safe_dump(yaml.safe_load(text) | found))
        assert load_config(config).training.beta == float(best.params["training.beta"])
        config.write_text(text)

    with pytest.raises(SystemExit) as left:
        main(["--home", str(home.path), "tune", str(config), "--trials", "6"])
    assert left.value.code in (0, None)
    said = capsys.readouterr().out
    assert "Tuned small: 6 trials, 1 failed" in said
    assert "\x1b[32m[I " not in said and "Trial 1 finished" not in said, "no notes of the library"
    assert len(fitted) == 6, "one more: five were known, the failed one among them"
    assert [run.info.run_id for run in runs_of(home, "small", "tags.stage = 'tune'")] == [run_id]
    trials = runs_of(home, "small", f"tags.mlflow.parentRunId = '{run_id}'")
    assert len(trials) == 6
    assert client.get_run(run_id).data.metrics["trials"] == 6


@pytest.mark.usefixtures("prefect_api")
def test_where_every_trial_fails_the_flow_says_why(
    home: Home, make_data_set: Callable[[str], Path]
) -> None:
    from flows.tune import tune as flow

    config = make_data_set("hopeless")
    ingested(home, config)
    config.write_text(
        config.read_text().replace(FAST, "training: {max_steps: 20, learning_rate: 1.0e+30}")
    )
    with pytest.raises(TuningError, match="none of the 2 trials of 'hopeless' could be finished"):
        flow(str(config), str(home.path), trials=2)
    states = {run.data.tags["stage"]: run.info.status for run in runs_of(home, "hopeless", "")}
    assert states == {"tune": "FAILED", "trial": "FAILED"}


def test_calibration_rows_and_labels_play_no_part(
    home: Home, make_data_set: Callable[[str], Path]
) -> None:
    """Other calibration rows, other labels: the same study."""
    metrics = []
    for name in ("one", "other"):
        config = make_data_set(name)
        if name == "other":
            history = rows(HISTORY_ROWS, seed=1).to_pydict()
            kept = load_config(config).split.train + load_config(config).split.validation
            cut = round(HISTORY_ROWS * kept)
            history["x"] = [*history["x"][:cut], *np.full(HISTORY_ROWS - cut, 1e6)]
            history["label"] = ["odd" if i % 2 else "normal" for i in range(HISTORY_ROWS)]
            pq.write_table(pa.table(history), config.parent / "landing" / "history.parquet")
        ingested(home, config)
        result = tune(home, load_config(config), trials=2)
        metrics.append([trial.metrics for trial in result.trials])
    assert metrics[0] == metrics[1]
