"""Part `install`: the room that an installation takes, and the time that its imports take."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.speed.size import Size

PRODUCT = "vae-anomaly"
STATEMENTS = ("import vae_core", "import pipeline", "import flows", "import pipeline.cli")


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Bytes by distribution; seconds by statement, in turns, beyond those of an empty program."""
    taken: dict[str, list[float]] = {statement: [] for statement in ("pass", *STATEMENTS)}
    for _ in range(size.repetitions + 1):
        for statement, seconds in taken.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            seconds.append(time.perf_counter() - started)
    # the first of each warms the disk's cache
    medians = {statement: statistics.median(seconds[1:]) for statement, seconds in taken.items()}
    bare = medians.pop("pass")
    return {
        "bytes": {name: installed_bytes(name) for name in closure(PRODUCT)},
        "imports": {statement: seconds - bare for statement, seconds in medians.items()},
    }


def closure(name: str) -> list[str]:
    """The distributions that an installation of `name` brings, itself left out, sorted."""
    found: dict[str, set[str]] = {}
    waiting: list[tuple[str, set[str]]] = [(name, set())]
    while waiting:
        named, extras = waiting.pop()
        key = canonicalize_name(named)
        fresh = {"", *extras} - found.get(key, set())
        found.setdefault(key, set()).update(fresh)
        for text in metadata.requires(key) or () if fresh else ():
            wanted = Requirement(text)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in fresh):
                waiting.append((wanted.name, wanted.extras))
    return sorted(set(found) - {canonicalize_name(name)})


def installed_bytes(name: str) -> int:
    """Of the files that the distribution put on the disk."""
    paths = (Path(str(file.locate())) for file in metadata.files(name) or ())
    return sum(path.stat().st_size for path in paths if path.is_file())
