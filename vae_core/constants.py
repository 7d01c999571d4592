"""Columns that held one value in training: nothing to model, but a change of one is news.

Legend: N rows, C constant columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .canonical import canonical


@dataclass(frozen=True)
class ConstantColumn:
    """One value in all of `rows` training rows, or none in any.

    Attributes:
        value: a number, or the canonical text of a category.
        rows: n; the more rows agreed, the more a change says.
        missing: all cells were; `value` is then 0 or the empty text, and tells the kind only.
    """

    name: str
    value: float | str
    rows: int
    nullable: bool = False
    missing: bool = False

    @property
    def usual(self) -> float | str | None:
        """The cell of a usual row; NaN or None where it is missing."""
        if not self.missing:
            return self.value
        return None if isinstance(self.value, str) else math.nan

    @property
    def nats(self) -> tuple[float, float]:
        """−log p of the usual value and of a change.

        Reference: Laplace's rule of succession: P(change) = 1 / (n + 2).
        """
        return math.log1p(1 / (self.rows + 1)), math.log(self.rows + 2)

    @property
    def squared_error(self) -> float:
        """Of a change, in scaled units: n + 1.

        A two-valued column with one odd row among n + 1 is standardised to a jump of about
        √(n + 1); a column that never changed is its limit.
        """
        return self.rows + 1.0


class Constants:
    """All constant columns of an encoding.

    Args:
        columns: C of them.
    """

    def __init__(self, columns: Sequence[ConstantColumn]) -> None:
        self.columns = tuple(columns)
        nats = np.array([c.nats for c in columns]).reshape(-1, 2)
        self._usual, self._change = nats[:, 0], nats[:, 1]
        self._error = np.array([c.squared_error for c in columns])

    def terms(self, data: Mapping[str, np.ndarray], rows: int) -> tuple[np.ndarray, np.ndarray]:
        """(N, C) −log p in nats and squared error; a column not in `data` has not changed."""
        changed = np.zeros((rows, len(self.columns)), dtype=bool)
        for i, column in enumerate(self.columns):
            if column.name in data:
                changed[:, i] = _differs(data[column.name], column)
        nats = np.where(changed, self._change, self._usual)
        return nats, np.where(changed, self._error, 0.0)


# 0.1 from a table of single precision is still 0.1
ROUNDING = 1e-6


def _differs(values: np.ndarray, column: ConstantColumn) -> np.ndarray:
    usual = column.value
    if isinstance(usual, str):
        wanted = None if column.missing else usual
        return np.fromiter((canonical(v) != wanted for v in values), dtype=bool, count=len(values))
    numbers = values.astype(np.float64)
    if column.missing:
        return ~np.isnan(numbers)
    return ~(np.abs(numbers - usual) <= ROUNDING * abs(usual))
