"""How much work a run of the benchmark does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Of the measurements.

    Attributes:
        quick: whether it only shows that everything runs.
        rows: N of the tables that are trained on and scored.
        repetitions: of each measurement.
        scale_rows: row counts for the growth of scoring.
        train_rows: the same for that of training.
        scale_columns: column counts.
        scale_members: member counts.
        nights: row counts of whole nights.
        large: of the largest one.
        slow_rows: rows that contestants of some ten thousand rows a second are given.
    """

    quick: bool = False
    rows: int = 200_000
    repetitions: int = 5
    scale_rows: tuple[int, ...] = (10_000, 100_000, 1_000_000, 10_000_000)
    train_rows: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    scale_columns: tuple[int, ...] = (4, 32, 128, 512, 2000)
    scale_members: tuple[int, ...] = (1, 4, 16, 64)
    nights: tuple[int, ...] = (1_000_000, 3_000_000, 10_000_000, 30_000_000)
    large: int = 100_000_000
    slow_rows: int = 50_000


FULL = Size()
QUICK = Size(
    quick=True,
    rows=512,
    repetitions=1,
    scale_rows=(256, 512),
    train_rows=(1024, 2048),
    scale_columns=(4, 16),
    scale_members=(1, 2),
    nights=(600, 1200),
    large=1200,
    slow_rows=256,
)
