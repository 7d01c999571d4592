"""Runs in a real MLflow store: what they hold, how they end, and what an unreachable store says."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline import figures, tracking
from pipeline.config import Config
from pipeline.home import Home
from pipeline.provenance import code_version, content_hash
from pipeline.quality import reconstruction_quality


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {
            "name": "demo",
            "source": {"path": "rows.csv"},
            "columns": {"x": {"role": "numeric"}, "cost in $": {"role": "numeric"}},
        }
    )


def test_a_run_holds_config_history_data_and_figures(home: Home, config: Config) -> None:
    from matplotlib.figure import Figure

    with tracking.start(home, config, "train", {"extra": 1}) as run:
        run.log_history([{"epoch": 0.5 * i, "step": i, "loss": 1.0 / (i + 1)} for i in range(1500)])
        run.log_metrics({"cost in $/ks": 0.5, "nothing": float("nan")})
        run.log_rows("training", "demo", "/tables/x", "ab" * 16, {"first": 1, "last": 9})
        run.log_figure(Figure(), "empty")
        run.log_json({"a": float("nan"), "b": [1.0]}, "quality/q.json")
    stored = run.client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["stage"] == "train" and stored.data.tags["extra"] == "1"
    assert stored.data.tags["code_version"] == code_version()
    assert stored.data.params["threshold.alpha"] == "0.05"
    assert stored.data.params["columns.numeric"] == "2"
    assert stored.data.metrics["cost in _/ks"] == 0.5
    assert "nothing" not in stored.data.metrics
    assert len(run.client.get_metric_history(run.run_id, "loss")) == 1500
    (given,) = stored.inputs.dataset_inputs
    assert given.dataset.digest == "ab" * 16 and given.dataset.source_type == "delta_table"
    assert given.tags[0].value == "training"
    paths = {file.path for file in run.client.list_artifacts(run.run_id)}
    assert paths == {"config.yaml", "figures", "quality"}
    assert stored.info.artifact_uri.startswith(home.mlflow_artifacts.as_uri())
    assert not Path("mlruns").exists()


def test_column_names_of_any_script_are_drawn_without_a_warning(
    home: Home, config: Config, recwarn: pytest.WarningsRecorder
) -> None:
    names = ["日本", "tab\there", "new\nline"]
    drawn = {name: np.arange(9.0) for name in names}
    figure = figures.reconstruction_scatter(drawn, drawn, reconstruction_quality(drawn, drawn, {}))
    with tracking.start(home, config, "train") as run:
        run.log_figure(figure, "reconstructions")
    assert [str(w.message) for w in recwarn if "Glyph" in str(w.message)] == []
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert any("new line" in title for title in titles)


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_run_ends_as_it_ended(
    home: Home, config: Config, error: type[BaseException], status: str
) -> None:
    with pytest.raises(error), tracking.start(home, config, "score") as run:
        raise error
    assert run.client.get_run(run.run_id).info.status == status


def test_newest_finished_run_of_a_stage(home: Home, config: Config) -> None:
    assert tracking.newest_run(home, "demo", "train") is None
    with tracking.start(home, config, "train") as first:
        pass
    time.sleep(0.01)
    with pytest.raises(ValueError), tracking.start(home, config, "train"):
        raise ValueError
    with tracking.start(home, config, "score"):
        pass
    assert tracking.newest_run(home, "demo", "train") == first.run_id


def test_the_environment_is_left_alone(home: Home, config: Config) -> None:
    tracking.connect(home)
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_a_home_whose_name_needs_quoting(
    tmp_path: Path, migrated_store: Path, config: Config
) -> None:
    import shutil

    home = Home(tmp_path / "my home #1 ü%20")
    home.path.mkdir()
    shutil.copy(migrated_store, home.path / "mlflow.db")
    with tracking.start(home, config, "train") as run:
        run.log_text("hello", "greeting.txt")
    assert list(home.mlflow_artifacts.rglob("greeting.txt"))


def test_a_server_that_does_not_answer_is_named_at_once(
    home: Home, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{port}")
    began = time.monotonic()
    with (
        pytest.raises(tracking.TrackingError, match=f"no MLflow server answers.*{port}") as caught,
        tracking.start(home, config, "train"),
    ):
        pass
    assert time.monotonic() - began < 10
    assert "secret" not in str(caught.value)
    assert caught.value.hint and "MLFLOW_TRACKING_URI" in caught.value.hint


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:///tmp/mlruns", "not a store that holds a model registry"),
        ("./mlruns", "not a store that holds a model registry"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/mlflow", "does not answer"),
    ],
)
def test_stores_that_cannot_be_used(
    home: Home, uri: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(tracking.TrackingError, match=message) as caught:
        tracking.connect(home)
    assert "secret" not in str(caught.value)


def test_content_hash_follows_content_only() -> None:
    words = np.array(["a", None, "b"], dtype=object)
    data = {"x": np.array([1.0, np.nan, 3.0]), "c": words}
    same = {"x": data["x"].copy(), "c": np.array(["a", float("nan"), "b"], dtype=object)}
    assert content_hash(data) == content_hash(same)
    assert len(content_hash(data)) == 32
    for changed in ({"x": data["x"]}, {**data, "x": data["x"] + 1}, {"c": words, "x": data["x"]}):
        assert content_hash(changed) != content_hash(data)


def test_two_first_runs_make_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path / "fresh")
    with ThreadPoolExecutor(2) as pool:
        clients = list(pool.map(lambda _: tracking.connect(home), range(2)))
    assert all(client.search_experiments() for client in clients)
    assert sorted(file.name for file in home.path.iterdir()) == ["mlflow.db"]
