"""A small data set that trains in seconds, and programs run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HISTORY_ROWS = 2000
NIGHT_ROWS = 300


def rows(count: int, seed: int, anomalies: int = 0) -> pa.Table:
    """Three dependent numbers and a category; anomalies break the dependence."""
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    labels = np.zeros(count, dtype=bool)
    labels[:anomalies] = True
    y = 2 * x + random.normal(scale=0.1, size=count)
    y[labels] = -2 * x[labels] + 9
    return pa.table(
        {
            "x": x,
            "y": y,
            "z": random.lognormal(size=count),
            "kind": random.choice(["a", "b", "c"], size=count),
            "label": np.where(labels, "odd", "normal"),
        }
    )


CONFIG = """\
name: {name}
source: {{path: landing}}
columns:
  x: {{role: numeric}}
  y: {{role: numeric}}
  z: {{role: numeric}}
  kind: {{role: categorical}}
  label: {{role: label, normal: normal}}
split: {{until: 2000}}
model: {{members: 1, hidden: [16], latent_dim: 2}}
training: {{max_steps: 150}}
threshold: {{alpha: 0.05}}
schedule:
  ingest: 10 1 * * *
  score: 20 2 * * *
  retrain: 30 3 * * 0
  timezone: Europe/Berlin
"""


def land_night(config: Path, night: int) -> None:
    """Let a night's file arrive."""
    file = config.parent / "landing" / f"night-{night}.parquet"
    pq.write_table(rows(NIGHT_ROWS, seed=100 + night, anomalies=6), file)


def command(module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` in this environment, from a folder that is not the repository's."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
