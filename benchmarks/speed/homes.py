"""Homes with a champion of PyOD's layer sizes and files of generated rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.calibration import calibrate
from pipeline.config import Config, load_config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.training import train

COLUMNS = 32
FILE_ROWS = 500_000
CONFIG = """
name: speed
source: {path: inbox}
columns:
%s
split: {until: %d}
model: {members: 1, denoisers: 0, latent_dim: 2, hidden: [128, 64, 32], activation: relu, draws: 2}
training: {max_steps: 100}
threshold: {alpha: 0.01, score: %s}
device: cpu
"""


def make(folder: Path, history: int, score: str = "combined") -> tuple[Home, Config]:
    """A data set of 32 numeric columns with a champion by one kind of score, nothing to score."""
    (folder / "inbox").mkdir(parents=True)
    columns = "\n".join(f"  c{i:02d}: {{role: numeric}}" for i in range(COLUMNS))
    path = folder / "speed.yaml"
    path.write_text(CONFIG % (columns, history, score), encoding="utf-8")
    config, home = load_config(path), Home(folder / "home")
    Lake(config, home).create()
    deliver(home, config, history, 0)
    calibrate(home, config, run_id=train(home, config).run_id)
    return home, config


def deliver(home: Home, config: Config, rows: int, seed: int) -> None:
    """Rows into the tables, file by file: they are never in memory at once."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((8, COLUMNS))
    for part, start in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - start)
        cells = rng.standard_normal((count, 8)) @ mixing
        cells += 0.3 * rng.standard_normal(cells.shape)
        path = Path(config.source_path) / f"{seed}-{part}.parquet"
        names = [f"c{i:02d}" for i in range(COLUMNS)]
        pq.write_table(pa.table(list(cells.T), names=names), path)
        ingest(home, config)
        path.unlink()


def score(home: Home, config: Config) -> dict[str, Any]:
    """A night in a process of its own; see `timed`."""
    command = [sys.executable, "-m", "benchmarks.speed.timed", str(config.path)]
    return json.loads(run(command, home).splitlines()[-1])


def run(command: list[str], home: Home) -> str:
    """A command that has to succeed; what it printed.

    Raises:
        RuntimeError: it failed, with what it said.
    """
    environment = {**os.environ, "VAE_ANOMALY_HOME": str(home.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
