"""Times that compare: interleaved repetitions, their medians and their noise. Torch only."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

# threads of the one before spin for a while before they sleep
REST = 0.1
# what is measured: does its work and says how many rows that were
Work = Callable[[], int]


@dataclass(frozen=True)
class Pace:
    """Rows a second.

    Attributes:
        rows_per_second: at the median wall time.
        noise: half the range of the middle half of the repetitions, over their median.
        cpu_per_wall: processor seconds per second: cores kept busy.
    """

    rows_per_second: float
    noise: float
    cpu_per_wall: float


def interleaved(works: Mapping[str, Work], repetitions: int) -> dict[str, dict[str, float]]:
    """Each work once to warm up, then all of them in turns: a busy moment meets everyone.

    Args:
        works: by the name they go by.
        repetitions: of each, ≥ 1.

    Returns:
        a `Pace` as a dict, by name.
    """
    for work in works.values():
        work()
    wall: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    rows: dict[str, int] = {}
    for _ in range(repetitions):
        for name, work in works.items():
            gc.collect()
            time.sleep(REST)
            started = time.perf_counter(), time.process_time()
            rows[name] = work()
            _settle()
            wall[name].append(time.perf_counter() - started[0])
            cpu[name].append(time.process_time() - started[1])
    return {name: asdict(_pace(rows[name], wall[name], cpu[name])) for name in works}


def _pace(rows: int, wall: list[float], cpu: list[float]) -> Pace:
    middle = statistics.median(wall)
    quarters = statistics.quantiles(wall, n=4) if len(wall) > 1 else [middle] * 3
    busy = statistics.median(c / w for c, w in zip(cpu, wall, strict=True))
    return Pace(rows / middle, (quarters[2] - quarters[0]) / 2 / middle, busy)


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine(device: str = "cpu") -> dict[str, Any]:
    """What a time depends on, to be kept beside it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": cores,
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "when": time.strftime("%Y-%m-%d %H:%M"),
    }
    if device == "cuda":
        facts["card"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
