"""Part `scaling`: how time grows with rows, columns and members. Torch only."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.speed import clock, contestants
from benchmarks.speed.clock import Work
from benchmarks.speed.core import COLUMNS
from benchmarks.speed.size import Size
from vae_core.device import choose_device

BATCH = 128
EPOCH_BATCH = 1024  # of trainings that grow with the rows


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Scoring and training by rows, columns and members."""
    chosen = choose_device(device).type
    few = min(size.rows, 20_000)
    steps = 8 if size.quick else 200

    def scored(rows: int, columns: int, members: int) -> Work:
        x = contestants.standardised(rows, columns)
        model = contestants.ours(columns, members, device=chosen)
        return contestants.score_terms(model, contestants.references_of(model, x), x)

    def trained(columns: int, members: int) -> Work:
        x = contestants.standardised(few, columns).to(chosen)
        return contestants.train_ours(x, BATCH, steps, members)

    def epoch(rows: int) -> Work:
        x = contestants.standardised(rows, COLUMNS).to(chosen)
        return contestants.train_ours(x, EPOCH_BATCH, max(1, rows // EPOCH_BATCH))

    return {
        "scoring by rows": _growth(
            {n: scored(n, COLUMNS, 1) for n in size.scale_rows}, size, by_row=False
        ),
        "scoring by columns": _growth(
            {d: scored(few, d, 1) for d in size.scale_columns}, size, by_row=True
        ),
        "scoring by members": _growth(
            {k: scored(few, COLUMNS, k) for k in size.scale_members}, size, by_row=True
        ),
        "training by rows": _growth({n: epoch(n) for n in size.train_rows}, size, by_row=False),
        "training by columns": _growth(
            {d: trained(d, 1) for d in size.scale_columns}, size, by_row=True
        ),
        "training by members": _growth(
            {k: trained(COLUMNS, k) for k in size.scale_members}, size, by_row=True
        ),
    }


def _growth(works: dict[int, Work], size: Size, *, by_row: bool) -> dict[str, Any]:
    """Rates by size, and the exponent b of time ∝ size^b by least squares in logarithms."""
    paces = clock.interleaved({str(n): work for n, work in works.items()}, size.repetitions)
    rates = np.array([pace["rows_per_second"] for pace in paces.values()])
    sizes = np.array(list(works), dtype=float)
    times = (1.0 if by_row else sizes) / rates
    return {"exponent": exponent(sizes, times), "paces": paces}


def exponent(sizes: np.ndarray, times: np.ndarray) -> float:
    """b of time ∝ size^b."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
