"""Part `large`: one night of a hundred million rows, and the memory that it takes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed import homes
from benchmarks.speed.night import JUDGED, at_work
from benchmarks.speed.size import Size


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Takes some 25 GB of disk for as long as it runs."""
    with tempfile.TemporaryDirectory(prefix="speed-large-") as folder:
        home, config = homes.make(Path(folder), 2_000 if size.quick else 20_000, JUDGED)
        homes.append(home, config, size.large, seed=1)
        night = {"rows": size.large, **homes.score(home, config)}
    return {"night": night | {"night_seconds": at_work(night["seconds"])}}
