"""Fitting the column encodings on training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from vae_core import (
    BinaryColumn,
    CategoricalColumn,
    Column,
    ConditionColumn,
    ConstantColumn,
    Encoding,
    ImageColumn,
    NumericColumn,
    canonical,
    is_missing,
)

# Excess kurtosis beyond which a column's tail is bent by asinh. A Laplace has 3, an exponential 6.
HEAVY_TAIL = 30.0
MOST_CATEGORIES = 200
FEWEST_ROWS_PER_CATEGORY = 2
# so many more are told from those never seen; 10,000 names of ten letters are 100 kB of a model
MOST_RARE = 10_000


class FeatureColumn(Protocol):
    """What fitting needs to know of a column."""

    @property
    def role(self) -> str: ...
    @property
    def nullable(self) -> bool: ...


class FittedEncoding(NamedTuple):
    """The encoding, and the columns that are not modelled since they hold one value at most."""

    encoding: Encoding
    dropped: tuple[str, ...]


def fit_encoding(
    data: Mapping[str, np.ndarray], columns: Mapping[str, FeatureColumn]
) -> FittedEncoding:
    """Encodings of all feature columns, learned from training rows alone.

    Args:
        data: (N,) per column; numeric float64 with NaN missing, others objects with None missing,
            images (N, height, width) or (N, height, width, channels).
        columns: role and nullability by name; roles without a fitter are passed over.

    Raises:
        ValueError: no column varies, or a binary column holds more than two values.
    """
    fitted: list[Column] = []
    dropped: list[str] = []
    for name, column in columns.items():
        if column.role not in FITTERS:
            continue
        one: Column | None = FITTERS[column.role](name, data[name], column.nullable)
        if one is None:
            dropped.append(name)
            one = fit_constant(name, data[name])
        if one is not None:
            fitted.append(one)
    if all(isinstance(column, ConstantColumn | ConditionColumn) for column in fitted):
        raise ValueError("every feature column is constant: there is nothing to learn")
    return FittedEncoding(Encoding(fitted), tuple(dropped))


def fit_constant(name: str, values: np.ndarray) -> ConstantColumn | None:
    """The one value of (N,) cells, or that all are missing; None where only some are."""
    text = values.dtype == object
    missing = [is_missing(value) for value in values.tolist()]
    if all(missing):
        return ConstantColumn(name, "" if text else 0.0, rows=len(values), missing=True)
    if any(missing):
        return None
    value = canonical(values[0]) if text else float(values[0])
    assert value is not None
    return ConstantColumn(name, value, rows=len(values))


def fit_numeric(name: str, values: np.ndarray, nullable: bool) -> NumericColumn | None:
    """Standardise; bend heavy tails with asinh first. None for a constant column.

    The knee of the bend lies at the spread of the bulk, so that the map is close to affine
    where the data is and logarithmic in the tail.
    """
    seen = np.asarray(values, dtype=np.float64)
    seen = seen[~np.isnan(seen)]
    varies = len(seen) > 0 and seen.min() < seen.max()
    if not varies:
        # a column that is only sometimes missing still says something by being missing
        informative = nullable and 0 < len(seen) < len(values)
        center = float(seen[0]) if len(seen) else 0.0
        return NumericColumn(name, center, 1.0, nullable=True) if informative else None
    center, scale = _mean_and_spread(seen)
    if _excess_kurtosis((seen - center) / scale) <= HEAVY_TAIL:
        return NumericColumn(name, center, scale, nullable=nullable)
    origin, knee = float(np.median(seen)), _bulk_spread(seen)
    center, scale = _mean_and_spread(np.arcsinh((seen - origin) / knee))
    return NumericColumn(
        name, center, scale, transform="asinh", origin=origin, knee=knee, nullable=nullable
    )


def fit_binary(name: str, values: np.ndarray, nullable: bool) -> BinaryColumn | None:
    """The two values of (N,) objects, in order; None for a constant column.

    Raises:
        ValueError: there are more than two.
    """
    counts = _counts(values)
    if len(counts) > 2:
        examples = ", ".join(repr(v) for v in list(counts)[:4])
        raise ValueError(f"binary column {name!r} holds {len(counts)} values: {examples}, …")
    if len(counts) < 2:
        return None
    low, high = sorted(counts)
    return BinaryColumn(name, (low, high), nullable=nullable)


def fit_categorical(name: str, values: np.ndarray, nullable: bool) -> CategoricalColumn | None:
    """The commonest categories of (N,) objects, others left to the bucket; None for a constant.

    A column of one value that is sometimes missing still says something by being missing.
    """
    counts = _counts(values)
    missing = len(values) - sum(counts.values())
    if len(counts) < 2 and not (nullable and missing and counts):
        return None
    common = counts.most_common()
    kept = [v for v, n in common[:MOST_CATEGORIES] if n >= FEWEST_ROWS_PER_CATEGORY]
    others = common[len(kept) :]
    return CategoricalColumn(
        name,
        tuple(sorted(kept)),
        nullable=nullable,
        rare=tuple(sorted(v for v, _ in others[:MOST_RARE])),
        rare_kinds=len(others),
        rare_rows=sum(n for _, n in others),
        rows=len(values) - missing,
    )


def fit_image(name: str, values: np.ndarray, nullable: bool) -> ImageColumn:
    """The size of pictures (N, height, width[, channels]) with values 0 … 255.

    Raises:
        ValueError: the array has another number of dimensions.
    """
    if values.ndim not in (3, 4):
        raise ValueError(
            f"image column {name!r}: expected (rows, height, width) or (rows, height, width, "
            f"channels), got shape {values.shape}"
        )
    height, width, channels = (*values.shape[1:], 1)[:3]
    return ImageColumn(name, height, width, channels)


def fit_condition(name: str, values: np.ndarray, nullable: bool) -> ConditionColumn:
    """The categories that rows are given, the commonest ones; the rest share the bucket."""
    kept = [v for v, _ in _counts(values).most_common(MOST_CATEGORIES)]
    return ConditionColumn(name, tuple(sorted(kept)))


FITTERS = {
    "numeric": fit_numeric,
    "binary": fit_binary,
    "categorical": fit_categorical,
    "image": fit_image,
    "condition": fit_condition,
}


def _counts(values: np.ndarray) -> Counter[str]:
    texts = (canonical(v) for v in values.tolist())
    return Counter(text for text in texts if text is not None)


def _mean_and_spread(values: np.ndarray) -> tuple[float, float]:
    # sums of squares of values near the largest float overflow; measured in units they do not
    unit = float(np.abs(values).max()) or 1.0
    scaled = values / unit
    spread = float(scaled.std()) * unit
    return float(scaled.mean()) * unit, spread if spread > 0 else unit


def _excess_kurtosis(standardised: np.ndarray) -> float:
    return float(np.mean(standardised**4)) - 3.0


def _bulk_spread(values: np.ndarray) -> float:
    """A robust spread that is positive even where most values are equal."""
    low, high = np.percentile(values, [25, 75])
    if high > low:
        return float(high - low) / 1.349
    distances = np.abs(values - np.median(values))
    return float(np.median(distances[distances > 0]))
