"""False-discovery control over one closed night: Benjamini–Hochberg on conformal p-values.

A conformal p-value is j / (n + 1) with j = 1 … n + 1 and n calibration rows, so a night of
any size is summarised without loss by n + 1 counts. That is all the procedure needs: pieces
of a night are counted where they lie, the counts are added, one cut-off comes out.

The control holds because marginal conformal p-values of one calibration set are positively
dependent (PRDS).

Reference:
    Benjamini and Hochberg (1995), procedure (1);
    Bates, Candès, Lei, Romano and Sesia (2023), "Testing for outliers with conformal
    p-values", Theorem 2.
"""

from __future__ import annotations

import math

import numpy as np


def count_p_values(p_values: np.ndarray, n: int) -> np.ndarray:
    """Histogram of conformal p-values.

    Args:
        p_values: (N,) values j / (n + 1), j = 1 … n + 1.
        n: number of calibration rows behind them, ≥ 1.

    Returns:
        (n + 1,) int64; entry j − 1 counts the rows with p-value j / (n + 1). Histograms of
        the pieces of one night add up.

    Raises:
        ValueError: if a value is no conformal p-value of n calibration rows.
    """
    return np.bincount(ranks(p_values, n) - 1, minlength=n + 1).astype(np.int64)


def ranks(p_values: np.ndarray, n: int) -> np.ndarray:
    """The integers j behind p-values j / (n + 1), so that comparisons are exact.

    Args:
        p_values: (N,) values j / (n + 1).
        n: number of calibration rows, ≥ 1.

    Returns:
        (N,) int64 in 1 … n + 1; small is anomalous.

    Raises:
        ValueError: if a value is no conformal p-value of n calibration rows.
    """
    scaled = np.asarray(p_values, dtype=np.float64) * (n + 1)
    whole = np.rint(scaled)
    if not np.all(np.abs(scaled - whole) <= 1e-3) or np.any((whole < 1) | (whole > n + 1)):
        raise ValueError(f"not conformal p-values of {n} calibration rows")
    return whole.astype(np.int64)


def cut_off_rank(counts: np.ndarray, q: float) -> int:
    """The Benjamini–Hochberg cut-off over everything counted.

    The largest j with j / (n + 1) ≤ q · #{p ≤ j / (n + 1)} / m: rows whose p-value has a
    rank of at most j are selected.

    Args:
        counts: (n + 1,) from `count_p_values`, of the whole night (m rows).
        q: false-discovery rate to hold, in (0, 1).

    Returns:
        j in 0 … n + 1; 0 selects nothing.

    Raises:
        ValueError: if q is out of range.

    Reference:
        Benjamini and Hochberg (1995), procedure (1).
    """
    if not 0.0 < q < 1.0:
        raise ValueError(f"q must lie in (0, 1), got {q}")
    counts = np.asarray(counts, dtype=np.int64)
    m = int(counts.sum())
    if m == 0:
        return 0
    j = np.arange(1, len(counts) + 1, dtype=np.float64)
    passed = np.flatnonzero(j * m <= q * np.cumsum(counts) * len(counts) * (1.0 + 1e-12))
    return int(passed[-1]) + 1 if len(passed) else 0


def fewest_alerts(m: int, n: int, q: float) -> int:
    """The smallest number of rows that `cut_off_rank` can select of m, if it selects any.

    The smallest p-value of n calibration rows is 1 / (n + 1), so k rows that score higher than all
    of them are selected where 1 / (n + 1) ≤ q · k / m.
    """
    return max(1, math.ceil(m / (q * (n + 1)) - 1e-9))
