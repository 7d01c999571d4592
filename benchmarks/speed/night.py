"""Part `night`: tables to scores, alerts with reasons and the closing row, end to end."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import homes
from benchmarks.speed.scaling import exponent
from benchmarks.speed.size import Size

# the larger of ELBO score and reconstruction error; these two and the distance to training codes
JUDGED = "either"
KINDS = (JUDGED, "combined")
MOST = 3  # nights of the other kind


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Nights of growing size by two kinds of score, each in a process of its own."""
    return {
        "columns": homes.COLUMNS,
        "kinds": {kind: _nights(size, kind) for kind in KINDS},
    }


def _nights(size: Size, kind: str) -> dict[str, Any]:
    out: list[dict[str, Any]] = []
    history = 2_000 if size.quick else 20_000
    with tempfile.TemporaryDirectory(prefix="speed-night-") as folder:
        home, config = homes.make(Path(folder), history, kind)
        sizes = size.nights if kind == JUDGED else size.nights[:MOST]
        for seed, rows in enumerate(sizes, start=1):
            homes.append(home, config, rows, seed)
            out.append({"rows": rows, **homes.score(home, config)})
    for night in out:
        night["night_seconds"] = at_work(night["seconds"])
    rows_of = np.array([night["rows"] for night in out], dtype=float)
    times = np.array([night["night_seconds"] for night in out])
    return {"nights": out, "exponent": exponent(rows_of, times)}


def at_work(seconds: dict[str, float]) -> float:
    """Of a night, from the process's start to its end, less imports and loading the model."""
    begun = sum(s for phase, s in seconds.items() if phase.startswith("import "))
    return seconds["whole process"] - begun - seconds["model load"]
