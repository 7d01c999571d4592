"""A `train` process killed by SIGKILL and run again ends as if nobody had disturbed it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from night_homes import CONFIG, HISTORY_ROWS, deliver, empty_home

from flows.servers import clean_environment, tool
from pipeline import tracking
from pipeline.config import Config
from pipeline.home import Home
from vae_core import Scorer

SLOW = CONFIG.replace(
    "training: {max_steps: 40, batch_size: 64}",
    "training: {max_steps: 2000, max_epochs: 2000, patience: 1000, batch_size: 64, "
    "checkpoint_minutes: 0.0005}",
)


@pytest.fixture(params=["resident", "streamed"])
def shop(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    migrated_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[Home, Config]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    text = SLOW
    if request.param == "streamed":
        text = text.replace("training: {", "training: {rows: 200, stream: true, ")
    home, config = empty_home(tmp_path, text)
    shutil.copy(migrated_store, home.path / "mlflow.db")
    deliver(home, config, "history", rows=HISTORY_ROWS, seed=0)
    return home, config


def start(home: Home, config: Config) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*tool("pipeline.cli"), "train", str(config.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"VAE_ANOMALY_HOME": str(home.path)},
    )


def files(home: Home) -> list[Path]:
    return sorted((home.path / "checkpoints").rglob("*"))


def steps(home: Home) -> Iterator[int]:
    """Steps that the checkpoint has seen, whenever it is another number."""
    from vae_core.checkpoint import unpack

    last = 0
    while True:
        for file in files(home):
            if file.suffix == ".safetensors":
                now = unpack(file.read_bytes()).numbers["step"]
                if now > last:
                    last = now
                    yield now
        time.sleep(0.01)


def history(home: Home, config: Config, run_id: str) -> dict[str, list[tuple[int, float]]]:
    client = tracking.connect(home)
    names = ("train_objective", "validation_objective", "validation_elbo", "learning_rate")
    return {n: [(m.step, m.value) for m in client.get_metric_history(run_id, n)] for n in names}


def runs(home: Home, config: Config) -> list:
    return tracking.find_runs(tracking.connect(home), config.name, "tags.stage = 'train'")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_twice_and_run_again(shop: tuple[Home, Config], tmp_path: Path) -> None:
    home, config = shop
    undisturbed = start(home, config)
    output, errors = undisturbed.communicate()
    assert undisturbed.returncode == 0, output + errors
    assert errors == "", "no warning in a normal run"
    (whole,) = runs(home, config)
    assert not [f for f in files(home) if f.is_file()], "a finished training keeps no state"

    for least in (100, 700):
        child = start(home, config)
        reached = next(n for n in steps(home) if n > least)
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        assert reached < 2000
    last = start(home, config)
    output, errors = last.communicate()
    assert last.returncode == 0, output + errors

    again = runs(home, config)
    assert [run.info.status for run in again] == ["FINISHED", "KILLED", "KILLED", "FINISHED"]
    resumed = again[0]
    assert int(resumed.data.tags["resumed_from_step"]) > 700
    expected = history(home, config, whole.info.run_id)
    assert len(expected["train_objective"]) == 80
    assert history(home, config, resumed.info.run_id) == expected
    client = tracking.connect(home)
    scorers = [
        Scorer.load(client.download_artifacts(run.info.run_id, "scorer", str(tmp_path / name)))
        for name, run in (("whole", whole), ("resumed", resumed))
        if (tmp_path / name).mkdir() is None
    ]
    first, second = (s.model.state_dict() for s in scorers)
    for name, weights in first.items():
        np.testing.assert_array_equal(weights.numpy(), second[name].numpy())
    assert not [f for f in files(home) if f.is_file()]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_another_training_does_not_go_on_from_it(shop: tuple[Home, Config]) -> None:
    home, config = shop
    child = start(home, config)
    next(n for n in steps(home) if n > 50)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    (left,) = [f for f in files(home) if f.is_file() and f.suffix == ".safetensors"]

    other = Path(config.path).read_text().replace("max_steps: 2000", "max_steps: 40")
    Path(config.path).write_text(other, encoding="utf-8")
    done = start(home, config)
    output, errors = done.communicate()
    assert done.returncode == 0, output + errors
    newest = runs(home, config)[0]
    assert newest.info.status == "FINISHED"
    assert "resumed_from_step" not in newest.data.tags
    assert left.exists(), "whoever asks for the first training again gets it"
