"""Do generated rows look like real ones? Column by column, and in how columns go together.

Columns are ``Mapping[str, (N,) array]``: float64 with NaN for missing, or object arrays of
categories with None for missing. Every similarity lies in [0, 1] and higher is better; 1 means that
the two samples cannot be told apart by it. A finite sample of the truth itself stays below 1:
compare with the ceiling that ``generation_quality`` puts beside each value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_core import is_missing

Columns = Mapping[str, NDArray[Any]]

__all__ = [
    "METRICS",
    "bend",
    "contingency_similarity",
    "correlation_similarity",
    "generation_quality",
    "ks_complement",
    "shape_similarity",
    "spread",
    "tv_complement",
]

_PAIRWISE_ROWS = 20_000
_PAIRS = 1000
_BINS = 10


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


def contingency_similarity(real: Columns, other: Columns) -> float:
    """Mean over pairs of columns of one minus the total variation of their joint shares.

    Numbers are cut at the deciles of the real ones; missing is a value. Of more than 1,000 pairs
    a fixed sample. Sees what rank correlation does not: categories, and dependence that is not
    monotone.
    """
    pairs = list(combinations(real, 2))
    if len(pairs) > _PAIRS:
        chosen = np.random.default_rng(0).choice(len(pairs), _PAIRS, replace=False)
        pairs = [pairs[i] for i in chosen]
    if not pairs:
        return float("nan")
    codes = {name: _codes(real[name], other[name]) for name in {n for pair in pairs for n in pair}}
    values = []
    for first, second in pairs:
        (a, b, many), (c, d, count) = codes[first], codes[second]
        shares = [
            np.bincount(one * count + two, minlength=many * count) / len(one)
            for one, two in ((a, c), (b, d))
        ]
        values.append(1.0 - 0.5 * np.abs(shares[0] - shares[1]).sum())
    return float(np.mean(values))


def spread(real: Columns, other: Columns) -> float:
    """Median over numeric columns of the standard deviation against the real one, extremes bent.

    Below 1 where values are drawn towards the middle; NaN without numeric columns that vary.
    """
    ratios = []
    for name, values in real.items():
        if not _is_numeric(values):
            continue
        a, b = bend(values, values), bend(values, other[name])
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        if len(a) and len(b) and a.std() > 0:
            ratios.append(b.std() / a.std())
    return float(np.median(ratios)) if ratios else float("nan")


def bend(reference: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """asinh((x − median) / spread of the bulk), with the reference's median and spread, so that a
    few extreme values do not decide alone; missing stays missing."""
    cells = np.asarray(values, dtype=np.float64)
    known = np.asarray(reference, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return cells
    return np.asarray(np.arcsinh((cells - np.median(known)) / _bulk_spread(known)))


def _bulk_spread(values: NDArray[np.float64]) -> float:
    low, middle, high = np.percentile(values, [25, 50, 75])
    if high > low:
        return float(high - low)
    distances = np.abs(values - middle)
    return float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0


def _codes(real: NDArray[Any], other: NDArray[Any]) -> tuple[Any, Any, int]:
    """Small whole numbers for the cells of both, and how many there are; 0 is missing."""
    import pandas as pd

    if _is_numeric(real):
        known = np.asarray(real, dtype=np.float64)
        inner = known[~np.isnan(known)]
        cuts = np.linspace(0, 1, _BINS + 1)[1:-1]
        edges = np.unique(np.quantile(inner, cuts)) if len(inner) else np.empty(0)
        both = [np.asarray(part, dtype=np.float64) for part in (real, other)]
        cut = [np.where(np.isnan(x), 0, 1 + np.searchsorted(edges, x)) for x in both]
        return cut[0], cut[1], len(edges) + 2
    joined = np.concatenate([np.asarray(real, dtype=object), np.asarray(other, dtype=object)])
    codes, names = pd.factorize(joined)
    return codes[: len(real)] + 1, codes[len(real) :] + 1, len(names) + 1


METRICS: dict[str, Callable[[Columns, Columns], float]] = {
    "shape_similarity": shape_similarity,
    "correlation_similarity": correlation_similarity,
    "contingency_similarity": contingency_similarity,
}


def _complement(values: NDArray[Any]) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    return ks_complement if _is_numeric(values) else tv_complement


def _is_numeric(values: NDArray[Any]) -> bool:
    return np.asarray(values).dtype.kind in "fiu"


def _shares(values: NDArray[Any]) -> dict[Any, float]:
    counts: dict[Any, float] = {}
    for value in values.tolist():
        key = None if is_missing(value) else value
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
