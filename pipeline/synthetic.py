"""Four kinds of made-up anomalies, to compare detectors where no labels exist.

Columns are ``Mapping[str, (N,) array]``: float64 with NaN for missing, or object arrays of
categories. Every kind starts from real rows and breaks one thing:

- local: numbers √5 to 5 times as far from their neighbourhood's centre as the row they were, some
  categories redrawn; the region stays normal.
- global: every number uniform over its column's range and a tenth beyond, categories uniform.
- dependency: every column shuffled for itself; each column alone stays normal.
- cluster: a few tight groups with centres moved out; the rows are close to each other.

Reference:
    Han, Hu, Huang, Jiang, Zhao: ADBench, NeurIPS 2022, section 3.3.1 (after Steinbuss and Böhm
    2021); mixed columns are handled here without a density model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
Generator = np.random.Generator

__all__ = ["KINDS", "synthesise"]

_NEIGHBOURHOODS = 8


def synthesise(kind: str, data: Columns, n: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Make ``n`` anomalous rows of one kind out of normal rows.

    Args:
        kind: a name of ``KINDS``.
        data: at least two rows that are normal for the most part.
        n: rows wanted, ≥ 1.
        seed: equal seeds give equal rows.

    Returns:
        The same columns with n rows each.

    Raises:
        ValueError: an unknown kind, or fewer than two rows.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of anomaly {kind!r}; known are: {', '.join(KINDS)}")
    size = len(next(iter(data.values()))) if data else 0
    if size < 2:
        raise ValueError(f"synthetic anomalies are made from at least two rows, got {size}")
    rng = np.random.default_rng([seed, *kind.encode()])
    return KINDS[kind](data, n, rng)


def _global(data: Columns, n: int, rng: Generator) -> dict[str, NDArray[Any]]:
    base = _rows(data, n, rng)
    result = {}
    for name, values in data.items():
        if _is_numeric(values):
            seen = values[~np.isnan(values)]
            low, high = (seen.min(), seen.max()) if len(seen) else (0.0, 0.0)
            margin = 0.1 * (high - low)
            drawn = rng.uniform(low - margin, high + margin, n)
            result[name] = np.where(np.isnan(base[name]), np.nan, drawn)
        else:
            result[name] = _uniform_categories(values, n, rng)
    return result


def _dependency(data: Columns, n: int, rng: Generator) -> dict[str, NDArray[Any]]:
    return {name: values[rng.integers(0, len(values), n)] for name, values in data.items()}


def _local(data: Columns, n: int, rng: Generator) -> dict[str, NDArray[Any]]:
    numeric = [name for name, values in data.items() if _is_numeric(values)]
    base = _rows(data, n, rng)
    scaled, location, spread = _standardise(data, numeric)
    centres = _centres(scaled, rng)
    rows = (_matrix(base, numeric) - location) / spread
    home = centres[_nearest(np.nan_to_num(rows), centres)]
    factor = np.sqrt(5.0) * np.sqrt(5.0) ** rng.random((n, 1))
    moved = (home + factor * (rows - home)) * spread + location
    result = dict(base)
    for index, name in enumerate(numeric):
        result[name] = moved[:, index]
    for name in data:
        if name not in numeric:
            redrawn = rng.random(n) < 0.25
            result[name] = np.where(redrawn, _uniform_categories(data[name], n, rng), base[name])
    return {name: result[name] for name in data}


def _cluster(data: Columns, n: int, rng: Generator) -> dict[str, NDArray[Any]]:
    groups = max(1, min(3, n // 10))
    member = rng.integers(0, groups, n)
    numeric = [name for name, values in data.items() if _is_numeric(values)]
    scaled, location, spread = _standardise(data, numeric)
    seeds = scaled[rng.integers(0, len(scaled), groups)]
    direction = rng.choice([-1.0, 1.0], size=seeds.shape)
    centres = np.nan_to_num(seeds) + direction * rng.uniform(2.0, 5.0, size=seeds.shape)
    tight = centres[member] + 0.1 * rng.normal(size=(n, len(numeric)))
    moved = tight * spread + location
    result: dict[str, NDArray[Any]] = {name: moved[:, index] for index, name in enumerate(numeric)}
    for name in data:
        if name not in numeric:
            result[name] = _uniform_categories(data[name], groups, rng)[member]
    return {name: result[name] for name in data}


KINDS: dict[str, Callable[[Columns, int, Generator], dict[str, NDArray[Any]]]] = {
    "local": _local,
    "global": _global,
    "dependency": _dependency,
    "cluster": _cluster,
}


def _is_numeric(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "fiu"


def _rows(data: Columns, n: int, rng: Generator) -> dict[str, NDArray[Any]]:
    picked = rng.integers(0, len(next(iter(data.values()))), n)
    return {name: values[picked] for name, values in data.items()}


def _uniform_categories(values: NDArray[Any], n: int, rng: Generator) -> NDArray[Any]:
    known = list(dict.fromkeys(v for v in values.tolist() if v is not None and v == v))
    choices = np.empty(max(len(known), 1), dtype=object)
    choices[:] = known or [None]
    return choices[rng.integers(0, len(choices), n)]


def _matrix(data: Columns, names: list[str]) -> NDArray[np.float64]:
    if not names:
        return np.zeros((len(next(iter(data.values()))), 0))
    return np.stack([np.asarray(data[name], dtype=np.float64) for name in names], axis=1)


def _standardise(
    data: Columns, names: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Columns by median and interquartile range; where that is 0, by standard deviation."""
    matrix = _matrix(data, names)
    location, spread = np.zeros(len(names)), np.ones(len(names))
    for index in range(len(names)):
        seen = matrix[~np.isnan(matrix[:, index]), index]
        if not len(seen):
            continue
        low, location[index], high = np.percentile(seen, [25, 50, 75])
        spread[index] = (high - low) or seen.std() or 1.0
    return (matrix - location) / spread, location, spread


def _centres(rows: NDArray[np.float64], rng: Generator) -> NDArray[np.float64]:
    """A few neighbourhood centres: k-means with ten rounds on at most 5,000 rows."""
    sample = np.nan_to_num(rows[rng.permutation(len(rows))[:5000]])
    centres = sample[: min(_NEIGHBOURHOODS, len(sample))].copy()
    for _ in range(10):
        nearest = _nearest(sample, centres)
        for index in range(len(centres)):
            mine = sample[nearest == index]
            if len(mine):
                centres[index] = mine.mean(axis=0)
    return centres


def _nearest(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    distances = ((rows[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(distances.argmin(axis=1))
