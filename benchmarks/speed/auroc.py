"""Part `auroc`: how long until a detector finds as much as PyOD's VAE does in the end."""

from __future__ import annotations

import time
from typing import Any

from sklearn.metrics import roc_auc_score

from benchmarks import adbench, runs
from benchmarks.methods import METHODS, OURS
from benchmarks.quality import PEER
from benchmarks.speed.size import Size

# the first three that the benchmark of quality cuts to 20,000 rows
SETS = ("1_ALOI", "5_campaign", "11_donors")
QUICK_ROWS = 300


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Fits at default settings, in turns, on all cores, imports and first calls not counted.

    Raises:
        FileNotFoundError: the sets are not there.
    """
    out: dict[str, Any] = {}
    for name in SETS:
        split = adbench.split(runs.DATA / "adbench", name, seed=0)
        train = split.train[:QUICK_ROWS] if size.quick else split.train
        out[name] = {}
        for method in (OURS, PEER):
            METHODS[method](train[:64], 0)
            started = time.perf_counter()
            score = METHODS[method](train, 0)
            seconds = time.perf_counter() - started
            found = roc_auc_score(split.labels, score(split.test))
            out[name][method] = {"fit_seconds": seconds, "auroc": float(found)}
    return {"sets": out}
