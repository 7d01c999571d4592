"""Raw cells to the float rows that a model reads, and back.

Legend: N rows, D columns (numeric, then binary, then categorical, then image), W encoded width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from .canonical import canonical
from .columns import (
    KINDS,
    WHITE,
    BinaryColumn,
    CategoricalColumn,
    Column,
    ConditionColumn,
    ImageColumn,
    Layout,
    ModelledColumn,
    NumericColumn,
)
from .constants import ConstantColumn, Constants

# Squares of encoded values, summed over thousands of columns, must stay finite in float32.
LARGEST = 1e17
UNSEEN = 0  # index of the bucket that rare and never-seen categories share
ONE_SPELLING = frozenset((str, int, float))  # equal cells of these are one category


class Encoding:
    """The columns a model knows, and the maps between raw cells and encoded rows.

    Args:
        columns: in the user's order; `names` keeps it. Encoded rows group the modelled ones by
            kind; constant columns have no cell in them.

    Raises:
        ValueError: no column is modelled, two have one name, or an image is not the only one.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.numeric = [c for c in columns if isinstance(c, NumericColumn)]
        self.binary = [c for c in columns if isinstance(c, BinaryColumn)]
        self.categorical = [c for c in columns if isinstance(c, CategoricalColumn)]
        images = [c for c in columns if isinstance(c, ImageColumn)]
        self.image = images[0] if images else None
        self.conditions = [c for c in columns if isinstance(c, ConditionColumn)]
        self.constants = Constants([c for c in columns if isinstance(c, ConstantColumn)])
        grouped: list[ModelledColumn] = [*self.numeric, *self.binary, *self.categorical, *images]
        if not grouped:
            raise ValueError("an encoding needs at least one column that is not constant")
        if images and len(grouped) > 1:
            raise ValueError(
                f"image column {images[0].name!r} must be the only one that is modelled; there "
                f"are {len(grouped) - 1} others"
            )
        if len({c.name for c in columns}) != len(columns):
            raise ValueError("column names must be unique")
        # a rare category's code is one more than those of cells, and wraps around to the bucket
        self._codes = {
            c.name: _codes_of(c) | dict.fromkeys(c.rare, c.width) for c in self.categorical
        }
        position = {c.name: i for i, c in enumerate([*grouped, *self.constants.columns])}
        self.grouped = grouped
        # terms[:, order] turns the grouped order, constants last, into the user's order
        self.order = np.array([position[name] for name in self.names])
        self.layout = Layout(
            numeric=len(self.numeric),
            binary=len(self.binary),
            categories=tuple(c.width for c in self.categorical),
            nullable=tuple(i for i, c in enumerate(grouped) if c.nullable),
            image=images[0].shape if images else None,
            conditions=tuple(c.width for c in self.conditions),
            closed=tuple(i for i, c in enumerate(self.categorical) if not c.rare_kinds),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a score is made of, in the user's order; conditions are not."""
        return tuple(c.name for c in self.columns if not isinstance(c, ConditionColumn))

    @property
    def inputs(self) -> tuple[str, ...]:
        """All columns that are read, the conditions too, in the user's order."""
        return tuple(c.name for c in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that are modelled: rows cannot be encoded without them."""
        left_out = (ConstantColumn, ConditionColumn)
        return tuple(c.name for c in self.columns if not isinstance(c, left_out))

    def encode(self, data: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Raw columns to encoded rows.

        Args:
            data: (N,) per column; numeric float with NaN missing, others objects with None
                missing; an image (N, …) with the values 0 … 255 of a picture line by line, the
                channels of a pixel side by side. A condition may be absent: it is not known then.

        Returns:
            x (N, W) float32, and what it leaves out, float64 in nats, 0 at missing cells: of the
            numeric columns log|du/dx|, then, where a cell may be in a bucket, 0 for the binary
            columns and for the categorical ones log p(category | cell): (N, numeric) or
            (N, numeric + binary + categorical).

        Raises:
            ValueError: a column is absent, a required cell is missing, a number is infinite, a
                binary column holds a third value, a picture has another size, or a column has
                more or fewer rows than the others; the message names the column and counts rows.
        """
        absent = [name for name in self.required if name not in data]
        if absent:
            raise ValueError(f"missing column(s): {', '.join(absent)}")
        rows = self._count(data)
        x = np.zeros((rows, self.layout.width), dtype=np.float32)
        observed = np.ones((rows, self.layout.columns), dtype=bool)
        left_out = self._encode_numeric(data, x, observed)
        self._encode_binary(data, x, observed)
        shares = self._encode_categorical(data, x, observed)
        if shares is not None:
            left_out = np.hstack([left_out, np.zeros((rows, self.layout.binary)), shares])
        self._encode_image(data, x)
        self.encode_conditions(data, x)
        self._refuse_missing(observed)
        x[:, self.layout.mask] = observed[:, list(self.layout.nullable)]
        return x, left_out

    def _count(self, data: Mapping[str, np.ndarray]) -> int:
        first = self.required[0]
        rows = len(data[first])
        for name in (*self.required, *(c.name for c in self.conditions if c.name in data)):
            if len(data[name]) != rows:
                raise ValueError(
                    f"column {name!r} has {len(data[name]):,} row(s), {first!r} has {rows:,}"
                )
        return rows

    def _encode_numeric(
        self, data: Mapping[str, np.ndarray], x: np.ndarray, observed: np.ndarray
    ) -> np.ndarray:
        rows, columns = len(x), len(self.numeric)
        if not columns:
            return np.zeros((rows, 0))
        raw = np.empty((rows, columns))
        for i, c in enumerate(self.numeric):
            raw[:, i] = data[c.name]
        finite = np.isfinite(raw)
        missing = None if finite.all() else np.isnan(raw)
        if missing is not None:
            observed[:, :columns] = ~missing
            counts = (~(finite | missing)).sum(axis=0)
            for c, infinite in zip(self.numeric, counts.tolist(), strict=True):
                if infinite:
                    raise ValueError(f"column {c.name!r}: {infinite} infinite value(s) (inf)")
        bent = [i for i, c in enumerate(self.numeric) if c.transform == "asinh"]
        scale = np.array([c.scale for c in self.numeric])
        log_jacobian = np.broadcast_to(-np.log(scale), raw.shape)
        if bent or missing is not None:
            log_jacobian = log_jacobian.copy()
        if bent:
            knee = np.array([self.numeric[i].knee for i in bent])
            with np.errstate(over="ignore"):
                ratio = (raw[:, bent] - np.array([self.numeric[i].origin for i in bent])) / knee
            # the largest numbers there are have to differ from what is no number
            np.clip(ratio, -np.finfo(np.float64).max, np.finfo(np.float64).max, out=ratio)
            raw[:, bent] = np.arcsinh(ratio)
            log_jacobian[:, bent] -= np.log(knee) + np.log(np.hypot(1.0, ratio))
        raw -= np.array([c.center for c in self.numeric])
        raw /= scale
        if missing is not None:
            raw[missing] = 0.0
            log_jacobian[missing] = 0.0
        x[:, :columns] = np.clip(raw, -LARGEST, LARGEST, out=raw)
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
    ) -> np.ndarray | None:
        """(N, categorical) log p(category | cell), None where it is 0 throughout."""
        first = self.layout.numeric + self.layout.binary
        shares: np.ndarray | None = None
        for i, c in enumerate(self.categorical):
            codes = _lookup(data[c.name], self._codes[c.name], UNSEEN)
            observed[:, first + i] = codes >= 0
            rows = np.flatnonzero(codes >= 0)
            x[rows, self.layout.one_hots[i].start + codes[rows] % c.width] = 1.0
            unseen = codes == UNSEEN
            if c.rare or (c.rows and unseen.any()):
                shares = np.zeros((len(x), len(self.categorical))) if shares is None else shares
                shares[unseen, i] = c.log_share(known=False)
                shares[codes == c.width, i] = c.log_share(known=True)
        return shares

    def _encode_image(self, data: Mapping[str, np.ndarray], x: np.ndarray) -> None:
        c = self.image
        if c is None:
            return
        values = np.asarray(data[c.name])
        if values.size != len(x) * c.pixels:
            raise ValueError(
                f"column {c.name!r}: pictures have {c.height} × {c.width} pixels of {c.channels} "
                f"channel(s), {c.pixels} values each; got an array of shape {values.shape}"
            )
        pixels = values.reshape(len(x), c.height, c.width, c.channels).transpose(0, 3, 1, 2)
        scaled = pixels.reshape(len(x), c.pixels).astype(np.float32) / np.float32(WHITE)
        bad = int((~((scaled >= 0) & (scaled <= 1))).any(axis=1).sum())
        if bad:
            raise ValueError(f"column {c.name!r}: {bad} picture(s) with values outside 0 … 255")
        x[:, self.layout.picture] = scaled

    def encode_conditions(self, data: Mapping[str, np.ndarray], x: np.ndarray) -> None:
        """Write the conditions' cells of rows x (N, W); those not in the data are not known."""
        for c, block in zip(self.conditions, self.layout.condition_one_hots, strict=True):
            codes = np.zeros(len(x), dtype=np.int64)
            if c.name in data:
                codes = np.maximum(_lookup(data[c.name], _codes_of(c), UNSEEN), UNSEEN)
            x[np.arange(len(x)), block.start + codes] = 1.0

    def _refuse_missing(self, observed: np.ndarray) -> None:
        if observed.all():
            return
        for c, count in zip(self.grouped, (~observed).sum(axis=0).tolist(), strict=True):
            if count and not c.nullable:
                raise ValueError(
                    f"column {c.name!r}: {count} missing value(s) in a required column "
                    "(none were missing in training: fill them, or train again with rows that "
                    "miss some, or with the column declared nullable)"
                )

    def decode(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Encoded rows back to raw columns, in the user's order.

        Args:
            x: (N, W); one-hot blocks may hold probabilities, the largest wins; a mask cell
                below ½ makes the cell missing.

        Returns:
            (N,) per column; numeric float64 (NaN missing), others objects (None missing), images
            (N, height, width, channels) uint8. The bucket of unseen categories comes back as
            "(other)".
        """
        out: dict[str, np.ndarray] = {}
        for i, c in enumerate(self.grouped):
            if isinstance(c, NumericColumn):
                values = x[:, i].astype(np.float64) * c.scale + c.center
                if c.transform == "asinh":
                    values = np.sinh(np.clip(values, -700, 700)) * c.knee + c.origin
            elif isinstance(c, BinaryColumn):
                values = np.array(c.values, dtype=object)[(x[:, i] >= 0.5).astype(int)]
            elif isinstance(c, ImageColumn):
                pixels = np.rint(np.clip(x[:, self.layout.picture], 0.0, 1.0) * WHITE)
                shape = (len(x), c.channels, c.height, c.width)
                values = pixels.astype(np.uint8).reshape(shape).transpose(0, 2, 3, 1)
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
            out[constant.name] = np.full(len(x), constant.usual, dtype=kind)
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


def _codes_of(column: CategoricalColumn | ConditionColumn) -> dict[str, int]:
    return {value: i + 1 for i, value in enumerate(column.categories)}


def _lookup(values: np.ndarray, codes: Mapping[str, int], otherwise: int) -> np.ndarray:
    """(N,) codes: of the canonical text, −1 where missing, `otherwise` where unknown."""
    known: dict[Any, int] = {}

    def code(value: Any) -> int:
        # True and 1 are equal, hence one key, and two categories
        kind = type(value)
        key = value if kind in ONE_SPELLING else (kind, value)
        try:
            found = known.get(key)
        except TypeError:  # a list, or another thing that has no hash
            return codes.get(str(value), otherwise)
        if found is None:
            text = canonical(value)
            found = -1 if text is None else codes.get(text, otherwise)
            if text is not None:
                known[key] = found
        return found

    return np.fromiter(map(code, values.tolist()), dtype=np.int64, count=len(values))
