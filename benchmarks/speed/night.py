"""Part `night`: tables to scores, alerts with reasons and the closing row, end to end."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import homes
from benchmarks.speed.scaling import exponent
from benchmarks.speed.size import Size

# the larger of ELBO score and reconstruction error; these two and the distances to training codes
# and rows
JUDGED = "either"
KINDS = (JUDGED, "combined")
MOST = 3  # nights of the other kind
START = 1_000  # rows of a night that is hardly more than its start
NOISE = 1e-3  # seconds; a small night can be faster than its start was
SMALL = 3_000_000  # rows of the nights that are repeated: noise is a larger part of them


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Nights of growing size by two kinds of score, each in a process of its own."""
    return {
        "columns": homes.COLUMNS,
        "kinds": {kind: _nights(size, kind) for kind in KINDS},
    }


def _nights(size: Size, kind: str) -> dict[str, Any]:
    """The nights, and the growth of their time with their rows, with and without its start."""
    history = 2_000 if size.quick else 20_000
    seeds = itertools.count(1)
    with tempfile.TemporaryDirectory(prefix="speed-night-") as folder:
        home, config = homes.make(Path(folder), history, kind)

        def night(rows: int) -> dict[str, Any]:
            homes.append(home, config, rows, next(seeds))
            found = homes.score(home, config)
            return {"rows": rows, **found, "night_seconds": at_work(found["seconds"])}

        def middle(rows: int) -> dict[str, Any]:
            repetitions = size.repetitions if rows <= SMALL else 1
            found = [night(rows) for _ in range(repetitions)]
            return sorted(found, key=lambda one: one["night_seconds"])[repetitions // 2]

        start = middle(START)["night_seconds"]
        sizes = size.nights if kind == JUDGED else size.nights[:MOST]
        out = [middle(rows) for rows in sizes]
    rows_of = np.array([night["rows"] for night in out], dtype=float)
    times = np.array([night["night_seconds"] for night in out])
    return {
        "nights": out,
        "start_seconds": start,
        "exponent": exponent(rows_of, np.maximum(times - start, NOISE)),
        "exponent_with_start": exponent(rows_of, times),
    }


def at_work(seconds: dict[str, float]) -> float:
    """Of a night, from the process's start to its end, less imports and loading the model."""
    begun = sum(s for phase, s in seconds.items() if phase.startswith("import "))
    return seconds["whole process"] - begun - seconds["model load"]
