"""Do generated rows look like real ones? Column by column, and in how columns go together.

Columns are ``Mapping[str, (N,) array]``: float64 with NaN for missing, or object arrays of
categories with None for missing. Every similarity lies in [0, 1] and higher is better; 1 means that
the two samples cannot be told apart by it. A finite sample of the truth itself stays below 1:
compare with the ceiling that ``generation_quality`` puts beside each value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

__all__ = [
    "METRICS",
    "correlation_similarity",
    "generation_quality",
    "ks_complement",
    "shape_similarity",
    "tv_complement",
]

_PAIRWISE_ROWS = 20_000


def generation_quality(
    generated: Columns, held_out: Columns, other_real: Columns
) -> dict[str, Any]:
    """Compare generated rows with held-out ones, and other real rows with the same held-out ones.

    Args:
        generated: rows drawn from the model.
        held_out: real rows that the model has not been fitted to.
        other_real: further real rows, no more than are generated: what a perfect generator of
            as many rows would reach.

    Returns:
        ``metrics``: name → {"generated", "ceiling"} over ``METRICS``; ``columns``: column →
        {"metric", "generated", "ceiling"}.
    """
    metrics = {
        name: {"generated": metric(held_out, generated), "ceiling": metric(held_out, other_real)}
        for name, metric in METRICS.items()
    }
    columns: dict[str, dict[str, Any]] = {}
    for name, real in held_out.items():
        measure = _complement(real)
        columns[name] = {
            "metric": measure.__name__,
            "generated": measure(real, generated[name]),
            "ceiling": measure(real, other_real[name]),
        }
    return {"metrics": metrics, "columns": columns}


def ks_complement(real: NDArray[Any], other: NDArray[Any]) -> float:
    """One minus the Kolmogorov–Smirnov statistic of two samples; missing values sort first."""
    a = np.sort(np.nan_to_num(np.asarray(real, dtype=np.float64), nan=-np.inf))
    b = np.sort(np.nan_to_num(np.asarray(other, dtype=np.float64), nan=-np.inf))
    if not len(a) or not len(b):
        return float("nan")
    points = np.concatenate([a, b])
    steps = np.searchsorted(a, points, "right") / len(a)
    others = np.searchsorted(b, points, "right") / len(b)
    return float(1.0 - np.abs(steps - others).max())


def tv_complement(real: NDArray[Any], other: NDArray[Any]) -> float:
    """One minus the total variation between category shares; missing is a category."""
    if not len(real) or not len(other):
        return float("nan")
    a, b = _shares(real), _shares(other)
    return 1.0 - 0.5 * sum(abs(a.get(key, 0.0) - b.get(key, 0.0)) for key in {*a, *b})


def shape_similarity(real: Columns, other: Columns) -> float:
    """Mean over columns of the KS (numeric) or TV (category) complement."""
    values = [_complement(cells)(cells, other[name]) for name, cells in real.items()]
    return float(np.mean(values)) if values else float("nan")


def correlation_similarity(real: Columns, other: Columns) -> float:
    """Mean over pairs of numeric columns of 1 − |ρ − ρ'| / 2 with Spearman's ρ.

    Rank correlations, since a few extreme values decide Pearson's. Missing cells take the column's
    middle rank. Pairs with a column that is constant in the real rows are left out; NaN where no
    pair is left.
    """
    names = [name for name, values in real.items() if _is_numeric(values)]
    a, b = _rank_correlation(real, names), _rank_correlation(other, names)
    upper = np.triu_indices(len(names), 1)
    kept = ~np.isnan(a[upper])
    if not kept.any():
        return float("nan")
    difference = np.abs(a[upper] - np.nan_to_num(b[upper]))[kept]
    return float(np.mean(1.0 - difference / 2.0))


METRICS: dict[str, Callable[[Columns, Columns], float]] = {
    "shape_similarity": shape_similarity,
    "correlation_similarity": correlation_similarity,
}


def _complement(values: NDArray[Any]) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    return ks_complement if _is_numeric(values) else tv_complement


def _is_numeric(values: NDArray[Any]) -> bool:
    return np.asarray(values).dtype.kind in "fiu"


def _shares(values: NDArray[Any]) -> dict[Any, float]:
    counts: dict[Any, float] = {}
    for value in values.tolist():
        missing = value is None or value != value
        key = None if missing else value
        counts[key] = counts.get(key, 0.0) + 1.0 / len(values)
    return counts


def _rank_correlation(columns: Columns, names: list[str]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    size = min([_PAIRWISE_ROWS, *(len(columns[name]) for name in names)])
    ranks = np.empty((size, len(names)))
    for index, name in enumerate(names):
        values = np.asarray(columns[name][:size], dtype=np.float64)
        column = np.full(len(values), np.nan)
        seen = ~np.isnan(values)
        column[seen] = rankdata(values[seen])
        column[~seen] = column[seen].mean() if seen.any() else 0.0
        ranks[:, index] = column - column.mean()
    scale = np.sqrt((ranks**2).sum(axis=0))
    scale[scale == 0.0] = np.nan
    ranks = ranks / scale
    return np.asarray(ranks.T @ ranks, dtype=np.float64)
