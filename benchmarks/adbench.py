"""The ADBench protocol: which rows train, which test.

One-class: half of the normal rows train, the other half and all anomalies test. Contaminated:
all rows train and test. Sets are cut to 20,000 rows with their anomaly rate kept; columns are
standardised with the training rows' mean and deviation.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MOST_ROWS = 20_000


class Split(NamedTuple):
    """Training rows, test rows, (M,) labels of these: 1 = anomaly. Float32 arrays or frames."""

    train: Any
    test: Any
    labels: np.ndarray


def names(folder: Path) -> list[str]:
    """Data sets in the folder, by their number."""
    return sorted((f.stem for f in folder.glob("*.npz")), key=lambda s: int(s.split("_")[0]))


def chosen(parser: ArgumentParser, folder: Path, only: list[str] | None) -> list[str]:
    """The sets to run; stops with a message where there are none."""
    known = names(folder)
    if not known:
        parser.error(f"no .npz files in {folder}: give the ADBench folder with --data")
    unknown = sorted(set(only or []) - set(known))
    if unknown:
        parser.error(f"not in {folder}: {', '.join(unknown)}")
    return [name for name in known if not only or name in only]


def columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """(N,) float64 per column of rows (N, D), as `vae_core` takes them."""
    return {str(i): rows[:, i].astype(np.float64) for i in range(rows.shape[1])}


def split(folder: Path, name: str, seed: int, protocol: str = "oneclass") -> Split:
    """One seeded split; "oneclass" or "contaminated", where one array trains and tests."""
    with np.load(folder / f"{name}.npz") as file:
        X, y = file["X"].astype(np.float64), file["y"].astype(int).ravel()
    rng = np.random.default_rng(seed)
    if len(y) > MOST_ROWS:
        odd, usual = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
        kept = max(1, round(MOST_ROWS * len(odd) / len(y)))
        chosen = [
            rng.choice(odd, kept, replace=False),
            rng.choice(usual, MOST_ROWS - kept, replace=False),
        ]
        rows = np.sort(np.concatenate(chosen))
        X, y = X[rows], y[rows]
    if protocol == "oneclass":
        usual = rng.permutation(np.flatnonzero(y == 0))
        half = len(usual) // 2
        train, test = usual[:half], np.concatenate([usual[half:], np.flatnonzero(y == 1)])
    else:
        train = test = rng.permutation(len(y))
    mean, spread = X[train].mean(0), X[train].std(0)
    spread[spread < 1e-12] = 1.0
    scaled = np.ascontiguousarray((X - mean) / spread, dtype=np.float32)
    trained = scaled[train]
    return Split(trained, trained if test is train else scaled[test], y[test])
