"""`torchrun … train` through the command line: one MLflow run, the losses of one process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from night_homes import CONFIG, HISTORY_ROWS, deliver, empty_home

from flows.servers import clean_environment
from pipeline import tracking

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
def test_two_processes_log_one_run(
    tmp_path: Path, migrated_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home, config = empty_home(tmp_path, CONFIG)
    shutil.copy(migrated_store, home.path / "mlflow.db")
    deliver(home, config, "history", rows=HISTORY_ROWS, seed=0)
    environment = clean_environment() | {"VAE_ANOMALY_HOME": str(home.path), "OMP_NUM_THREADS": "1"}
    said = []
    for launch in ([], TORCHRUN):
        done = subprocess.run(
            [sys.executable, *launch, "-m", "pipeline.cli", "train", str(config.path)],
            capture_output=True, text=True, env=environment, timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done)
    assert said[1].stdout.count("MLflow run") == said[0].stdout.count("MLflow run")
    client = tracking.connect(home)
    two, one = tracking.find_runs(client, config.name, "tags.stage = 'train'")
    histories = [
        [m.value for m in client.get_metric_history(run.info.run_id, "train_objective")]
        for run in (one, two)
    ]
    assert histories[1] == pytest.approx(histories[0], rel=1e-4)
    assert two.data.metrics["elbo"] == pytest.approx(one.data.metrics["elbo"], rel=1e-3)
