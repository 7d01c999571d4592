"""A night in a process of its own, with the time of each phase.

    python -m benchmarks.speed.timed CONFIG

Runs `vae-anomaly score CONFIG` and prints one line of JSON: seconds by phase, and the largest
memory. Phases that run side by side overlap.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.memory import most_held

STARTED = time.perf_counter()
# before the night, what its steps would import one by one: the store of MLflow's and the drawing
IMPORTS = (
    "torch",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.figure",
    "pandas",
    "pipeline.cli",
    "pipeline.scoring",
)
# what a night is made of: module, path in it, phase
PHASES = (
    ("pipeline.registry", "load_scorer", "model load"),
    ("pipeline.lake", "Lake.read", "read"),
    ("pipeline.scoring", "to_columns", "columns"),
    ("vae_core.scorer", "Scorer.score", "score"),
    ("pipeline.explain", "reasons", "reasons"),
    ("pipeline.lake", "Lake.append_once", "commit"),
    ("pipeline.finishing", "finish", "report and MLflow"),
)


def main() -> None:
    seconds: dict[str, float] = defaultdict(float)
    for name in IMPORTS:
        before = time.perf_counter()
        importlib.import_module(name)
        seconds[f"import {name}"] = time.perf_counter() - before
    for module, path, phase in PHASES:
        _wrap(importlib.import_module(module), path, phase, seconds)
    from pipeline.cli import main as command

    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            command(["score", sys.argv[1]])
        except SystemExit as end:
            if end.code:
                print(said.getvalue(), file=sys.stderr)
                raise
    seconds["whole process"] = time.perf_counter() - STARTED
    print(json.dumps({"seconds": dict(seconds), "peak_bytes": most_held(), "idle_bytes": _idle()}))


def _wrap(module: Any, path: str, phase: str, seconds: dict[str, float]) -> None:
    *owners, name = path.split(".")
    for owner in owners:
        module = getattr(module, owner)
    work: Callable[..., Any] = getattr(module, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        before = time.perf_counter()
        try:
            return work(*args, **kwargs)
        finally:
            seconds[phase] += time.perf_counter() - before

    setattr(module, name, timed)


def _idle() -> int:
    """Bytes that the process holds in memory at its end."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.exists() else 0


if __name__ == "__main__":
    main()
