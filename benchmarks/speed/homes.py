"""Homes with a champion of PyOD's layer sizes and files of generated rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import tables
from pipeline.calibration import calibrate
from pipeline.config import Config, load_config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake
from pipeline.training import train

COLUMNS = 32
BATCH_ROWS = 65_536
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
    """Rows into a file, and through the ingest."""
    path = Path(config.source_path) / f"{seed}.parquet"
    batches = [batch.select(config.stored) for batch in generated(rows, seed)]
    pq.write_table(pa.Table.from_batches(batches), path)
    ingest(home, config)
    path.unlink()


def append(home: Home, config: Config, rows: int, seed: int) -> None:
    """Rows straight into the table, batch by batch: any number, never in memory at once."""
    Lake(config, home).append_numbered(lambda: generated(rows, seed), rows, {f"speed/{seed}": 1})


def generated(rows: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Rows of the `ingested` table, without ids."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((8, COLUMNS))
    now = pa.scalar(datetime.now(UTC), tables.TIME)
    for start in range(0, rows, BATCH_ROWS):
        count = min(BATCH_ROWS, rows - start)
        cells = rng.standard_normal((count, 8)) @ mixing
        cells += 0.3 * rng.standard_normal(cells.shape)
        columns = {f"c{i:02d}": column for i, column in enumerate(cells.T.copy())}
        columns |= {
            "_source": pa.repeat("generated", count),
            "_source_hash": pa.repeat(f"{seed}", count),
            "_source_row": np.arange(start + 1, start + count + 1),
            "_ingested_at": pa.repeat(now, count),
        }
        yield pa.RecordBatch.from_pydict(columns)


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
