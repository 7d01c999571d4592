"""Column encodings: raw cells to the float rows that a model reads, and back.

Legend: N rows, D columns (numeric, then binary, then categorical), W encoded width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from .canonical import canonical
from .constants import ConstantColumn, Constants

# Squares of encoded values, summed over thousands of columns, must stay finite in float32.
LARGEST = 1e17
UNSEEN = 0  # index of the bucket that rare and never-seen categories share


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
    """Named categories, plus the bucket of all others at index 0."""

    name: str
    categories: tuple[str, ...]
    nullable: bool = False

    @property
    def width(self) -> int:
        return len(self.categories) + 1


ModelledColumn = NumericColumn | BinaryColumn | CategoricalColumn
Column = ModelledColumn | ConstantColumn
KINDS: dict[str, type[Column]] = {
    "numeric": NumericColumn,
    "binary": BinaryColumn,
    "categorical": CategoricalColumn,
    "constant": ConstantColumn,
}


@dataclass(frozen=True)
class Layout:
    """Where each block of an encoded row lies: numeric | binary | one-hot … | mask | padding.

    Attributes:
        numeric, binary: number of columns of each kind.
        categories: one-hot width of each categorical column.
        nullable: positions, among the D columns, of those that have a mask cell (1 = observed).
    """

    numeric: int
    binary: int
    categories: tuple[int, ...]
    nullable: tuple[int, ...]

    @property
    def columns(self) -> int:
        """D."""
        return self.numeric + self.binary + len(self.categories)

    @property
    def mask(self) -> slice:
        start = self.numeric + self.binary + sum(self.categories)
        return slice(start, start + len(self.nullable))

    @property
    def width(self) -> int:
        """W, a multiple of 8: other widths make matrix products depend on a row's position."""
        return round_up(self.mask.stop)

    @property
    def one_hots(self) -> list[slice]:
        stops = np.cumsum([self.numeric + self.binary, *self.categories])
        return [slice(int(a), int(b)) for a, b in pairwise(stops)]


def round_up(width: int, multiple: int = 8) -> int:
    return max(multiple, -(-width // multiple) * multiple)


class Encoding:
    """The columns a model knows, and the maps between raw cells and encoded rows.

    Args:
        columns: in the user's order; `names` keeps it. Encoded rows group the modelled ones by
            kind; constant columns have no cell in them.

    Raises:
        ValueError: no column is modelled, or two have one name.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.numeric = [c for c in columns if isinstance(c, NumericColumn)]
        self.binary = [c for c in columns if isinstance(c, BinaryColumn)]
        self.categorical = [c for c in columns if isinstance(c, CategoricalColumn)]
        self.constants = Constants([c for c in columns if isinstance(c, ConstantColumn)])
        grouped: list[ModelledColumn] = [*self.numeric, *self.binary, *self.categorical]
        if not grouped:
            raise ValueError("an encoding needs at least one column that is not constant")
        position = {c.name: i for i, c in enumerate([*grouped, *self.constants.columns])}
        if len(position) != len(columns):
            raise ValueError("column names must be unique")
        self.grouped = grouped
        # terms[:, order] turns the grouped order, constants last, into the user's order
        self.order = np.array([position[c.name] for c in columns])
        self.layout = Layout(
            numeric=len(self.numeric),
            binary=len(self.binary),
            categories=tuple(c.width for c in self.categorical),
            nullable=tuple(i for i, c in enumerate(grouped) if c.nullable),
        )
        self._codes = [
            {value: i + 1 for i, value in enumerate(c.categories)} for c in self.categorical
        ]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that are modelled: rows cannot be encoded without them."""
        return tuple(c.name for c in self.columns if not isinstance(c, ConstantColumn))

    def encode(self, data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Raw columns to encoded rows.

        Args:
            data: (N,) per column; numeric float with NaN missing, others objects with None missing.

        Returns:
            x (N, W) float32, and log|du/dx| (N, numeric) float64 in nats, 0 at missing cells.

        Raises:
            ValueError: a column is absent, a required cell is missing, a number is infinite, or a
                binary column holds a third value; the message names the column and counts rows.
        """
        absent = [name for name in self.required if name not in data]
        if absent:
            raise ValueError(f"missing column(s): {', '.join(absent)}")
        rows = len(data[self.required[0]])
        x = np.zeros((rows, self.layout.width), dtype=np.float32)
        observed = np.ones((rows, self.layout.columns), dtype=bool)
        log_jacobian = self._encode_numeric(data, x, observed)
        self._encode_binary(data, x, observed)
        self._encode_categorical(data, x, observed)
        self._refuse_missing(observed)
        x[:, self.layout.mask] = observed[:, list(self.layout.nullable)]
        return x, log_jacobian

    def _encode_numeric(
        self, data: Mapping[str, np.ndarray], x: np.ndarray, observed: np.ndarray
    ) -> np.ndarray:
        rows, columns = len(x), len(self.numeric)
        if not columns:
            return np.zeros((rows, 0))
        raw = np.empty((rows, columns))
        for i, c in enumerate(self.numeric):
            raw[:, i] = data[c.name]
        missing = np.isnan(raw)
        for i, c in enumerate(self.numeric):
            infinite = int(np.isinf(raw[:, i]).sum())
            if infinite:
                raise ValueError(f"column {c.name!r}: {infinite} infinite value(s) (inf)")
        observed[:, :columns] = ~missing
        bent = [i for i, c in enumerate(self.numeric) if c.transform == "asinh"]
        scale = np.array([c.scale for c in self.numeric])
        log_jacobian = np.broadcast_to(-np.log(scale), raw.shape).copy()
        if bent:
            knee = np.array([self.numeric[i].knee for i in bent])
            ratio = (raw[:, bent] - np.array([self.numeric[i].origin for i in bent])) / knee
            raw[:, bent] = np.arcsinh(ratio)
            log_jacobian[:, bent] -= np.log(knee) + np.log(np.hypot(1.0, ratio))
        raw -= np.array([c.center for c in self.numeric])
        raw /= scale
        raw[missing] = 0.0
        log_jacobian[missing] = 0.0
        x[:, :columns] = np.clip(raw, -LARGEST, LARGEST)
        return log_jacobian

    def _encode_binary(
        self, data: Mapping[str, np.ndarray], x: np.ndarray, observed: np.ndarray
    ) -> None:
        for i, c in enumerate(self.binary, start=self.layout.numeric):
            codes = _lookup(data[c.name], {value: code for code, value in enumerate(c.values)}, 2)
            third = int((codes == 2).sum())
            if third:
                raise ValueError(
                    f"column {c.name!r}: {third} row(s) with a value other than "
                    f"{c.values[0]!r} or {c.values[1]!r}"
                )
            observed[:, i] = codes >= 0
            x[:, i] = np.maximum(codes, 0)

    def _encode_categorical(
        self, data: Mapping[str, np.ndarray], x: np.ndarray, observed: np.ndarray
    ) -> None:
        first = self.layout.numeric + self.layout.binary
        for i, (c, codes_of) in enumerate(zip(self.categorical, self._codes, strict=True)):
            codes = _lookup(data[c.name], codes_of, UNSEEN)
            observed[:, first + i] = codes >= 0
            rows = np.flatnonzero(codes >= 0)
            x[rows, self.layout.one_hots[i].start + codes[rows]] = 1.0

    def _refuse_missing(self, observed: np.ndarray) -> None:
        for i, c in enumerate(self.grouped):
            if not c.nullable and not observed[:, i].all():
                count = int((~observed[:, i]).sum())
                raise ValueError(
                    f"column {c.name!r}: {count} missing value(s) in a required column "
                    "(none were missing in training; declare it nullable and train again, "
                    "or fill them)"
                )

    def decode(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Encoded rows back to raw columns, in the user's order.

        Args:
            x: (N, W); one-hot blocks may hold probabilities, the largest wins; a mask cell
                below ½ makes the cell missing.

        Returns:
            (N,) per column; numeric float64 (NaN missing), others objects (None missing). The
            bucket of unseen categories comes back as "(other)".
        """
        out: dict[str, np.ndarray] = {}
        for i, c in enumerate(self.grouped):
            if isinstance(c, NumericColumn):
                values = x[:, i].astype(np.float64) * c.scale + c.center
                if c.transform == "asinh":
                    values = np.sinh(np.clip(values, -700, 700)) * c.knee + c.origin
            elif isinstance(c, BinaryColumn):
                values = np.array(c.values, dtype=object)[(x[:, i] >= 0.5).astype(int)]
            else:
                block = self.layout.one_hots[i - len(self.numeric) - len(self.binary)]
                names = np.array(["(other)", *c.categories], dtype=object)
                values = names[x[:, block].argmax(axis=1)]
            if c.nullable:
                missing = x[:, self.layout.mask.start + self.layout.nullable.index(i)] < 0.5
                values[missing] = np.nan if isinstance(c, NumericColumn) else None
            out[c.name] = values
        for constant in self.constants.columns:
            kind = object if isinstance(constant.value, str) else np.float64
            out[constant.name] = np.full(len(x), constant.value, dtype=kind)
        return {name: out[name] for name in self.names}

    def to_dict(self) -> list[dict[str, Any]]:
        kind_of = {cls: kind for kind, cls in KINDS.items()}
        return [{"kind": kind_of[type(c)], **asdict(c)} for c in self.columns]

    @staticmethod
    def from_dict(columns: Sequence[Mapping[str, Any]]) -> Encoding:
        return Encoding([_column(dict(fields)) for fields in columns])


def _column(fields: dict[str, Any]) -> Column:
    cls: type[Any] = KINDS[fields.pop("kind")]
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def _lookup(values: np.ndarray, codes: Mapping[str, int], otherwise: int) -> np.ndarray:
    """(N,) codes: of the canonical text, −1 where missing, `otherwise` where unknown."""
    known: dict[Any, int] = {}

    def code(value: Any) -> int:
        found = known.get(value)
        if found is None:
            text = canonical(value)
            found = -1 if text is None else codes.get(text, otherwise)
            if value == value:
                known[value] = found
        return found

    return np.fromiter(map(code, values.tolist()), dtype=np.int64, count=len(values))
