"""Kinds of columns, and where each lies in an encoded row.

Legend: D columns (numeric, then binary, then categorical, then image), W encoded width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from .constants import ConstantColumn

WHITE = 255.0  # the largest value of a pixel


@dataclass(frozen=True)
class NumericColumn:
    """u = (t − center) / scale, with t = x, or t = asinh((x − origin) / knee) for heavy tails.

    Both maps are strictly increasing, so nothing is clipped and order is kept.
    """

    name: str
    center: float
    scale: float
    transform: Literal["affine", "asinh"] = "affine"
    origin: float = 0.0
    knee: float = 1.0
    nullable: bool = False


@dataclass(frozen=True)
class BinaryColumn:
    """A column of two values; the second is the 1 of the Bernoulli."""

    name: str
    values: tuple[str, str]
    nullable: bool = False


@dataclass(frozen=True)
class CategoricalColumn:
    """Named categories, plus the bucket of all others at index 0.

    A category in the bucket has its share of the bucket's probability only: one of `rare` as many
    parts of it as there are of them, one that training never saw a single row's part. Where
    training saw none of the bucket, all rows of the column speak against such a category.

    Args:
        rare: the categories of the bucket that training saw, the commonest where they are many.
        rare_kinds: how many there were.
        rare_rows: training rows that hold one of them.
        rows: training rows that hold any category; 0: not known.

    Reference: of the unseen, Laplace's rule of succession.
    """

    name: str
    categories: tuple[str, ...]
    nullable: bool = False
    rare: tuple[str, ...] = ()
    rare_kinds: int = 0
    rare_rows: int = 0
    rows: int = 0

    @property
    def width(self) -> int:
        return len(self.categories) + 1

    def log_share(self, known: bool) -> float:
        """log of a category's part of the bucket's probability, nats ≤ 0."""
        if known:
            return -math.log(max(1, self.rare_kinds))
        return -math.log((self.rare_rows or self.rows) + 1)


@dataclass(frozen=True)
class ImageColumn:
    """Pictures of one size; each pixel becomes value / 255, in [0, 1].

    Args:
        height, width: pixels.
        channels: 1 (grey) or 3 (colour).
    """

    name: str
    height: int
    width: int
    channels: int = 1
    nullable: Literal[False] = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """As cells of an encoded row lie: channels, height, width."""
        return self.channels, self.height, self.width

    @property
    def pixels(self) -> int:
        """Values of one picture, all channels counted."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class ConditionColumn:
    """What a row is given beside its columns: known, never judged.

    Named categories, plus the bucket at index 0 of all others and of "not known".
    """

    name: str
    categories: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.categories) + 1


ModelledColumn = NumericColumn | BinaryColumn | CategoricalColumn | ImageColumn
Column = ModelledColumn | ConstantColumn | ConditionColumn
KINDS: dict[str, type[Column]] = {
    "numeric": NumericColumn,
    "binary": BinaryColumn,
    "categorical": CategoricalColumn,
    "image": ImageColumn,
    "constant": ConstantColumn,
    "condition": ConditionColumn,
}


@dataclass(frozen=True)
class Layout:
    """Where each block of an encoded row lies.

    numeric | binary | one-hot … | image | mask | condition | padding

    Attributes:
        numeric, binary: number of columns of each kind.
        categories: one-hot width of each categorical column.
        nullable: positions, among the D columns, of those that have a mask cell (1 = observed).
        closed: which categorical columns, by number among these, had no category in the bucket.
        image: (channels, height, width) of the picture, whose cells lie in this order; None
            where there is none. A picture is a row's only column.
        conditions: one-hot width of each condition; conditions are none of the D columns.
    """

    numeric: int
    binary: int
    categories: tuple[int, ...]
    nullable: tuple[int, ...]
    image: tuple[int, int, int] | None = None
    conditions: tuple[int, ...] = ()
    closed: tuple[int, ...] = ()

    @property
    def columns(self) -> int:
        """D."""
        return self.numeric + self.binary + len(self.categories) + (self.image is not None)

    @property
    def picture(self) -> slice:
        """Cells of the image."""
        start = self.numeric + self.binary + sum(self.categories)
        return slice(start, start + (math.prod(self.image) if self.image else 0))

    @property
    def mask(self) -> slice:
        start = self.picture.stop
        return slice(start, start + len(self.nullable))

    @property
    def condition(self) -> slice:
        """Cells of all conditions."""
        start = self.mask.stop
        return slice(start, start + sum(self.conditions))

    @property
    def width(self) -> int:
        """W, a multiple of 8: other widths make matrix products depend on a row's position."""
        return round_up(self.condition.stop)

    def cells(self, column: int) -> slice:
        """Of one of the D columns, its mask left out."""
        first = self.numeric + self.binary
        if column < first:
            return slice(column, column + 1)
        one_hots = self.one_hots
        return one_hots[column - first] if column - first < len(one_hots) else self.picture

    @property
    def column_of_cell(self) -> np.ndarray:
        """(W,) place of each cell's column among the D; D of cells that belong to none."""
        widths = [1] * (self.numeric + self.binary) + list(self.categories)
        if self.image:
            widths.append(math.prod(self.image))
        places = [place for place, width in enumerate(widths) for _ in range(width)]
        places += self.nullable
        return np.array(places + [self.columns] * (self.width - len(places)))

    @property
    def one_hots(self) -> list[slice]:
        return _side_by_side(self.numeric + self.binary, self.categories)

    @property
    def condition_one_hots(self) -> list[slice]:
        return _side_by_side(self.condition.start, self.conditions)


def _side_by_side(start: int, widths: tuple[int, ...]) -> list[slice]:
    stops = np.cumsum([start, *widths])
    return [slice(int(a), int(b)) for a, b in pairwise(stops)]


def round_up(width: int, multiple: int = 8) -> int:
    return max(multiple, -(-width // multiple) * multiple)
