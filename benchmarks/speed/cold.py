"""Part `cold`: `vae-anomaly score` on 1,000 new rows, from nothing to the prompt."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed import homes
from benchmarks.speed.size import Size

ROWS = 1_000
COMMAND = "from pipeline.cli import main; main()"
BARE = "import torch, mlflow, pandas"


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Seconds of the command and of bare imports, in turns; the phases of one more run."""
    command, bare = [], []
    with tempfile.TemporaryDirectory(prefix="speed-cold-") as folder:
        home, config = homes.make(Path(folder), 2_000)
        for turn in range(size.repetitions + 1):
            homes.deliver(home, config, ROWS, turn + 1)
            bare.append(_seconds([sys.executable, "-c", BARE], home))
            arguments = [sys.executable, "-c", COMMAND, "score", str(config.path)]
            command.append(_seconds(arguments, home))
        homes.deliver(home, config, ROWS, size.repetitions + 2)
        phases = homes.score(home, config)
    # the first of each warms the disk's cache
    return {
        "rows": ROWS,
        "command_seconds": statistics.median(command[1:]),
        "bare_seconds": statistics.median(bare[1:]),
        "phases": phases["seconds"],
        "peak_bytes": phases["peak_bytes"],
    }


def _seconds(command: list[str], home: Any) -> float:
    started = time.perf_counter()
    homes.run(command, home)
    return time.perf_counter() - started
