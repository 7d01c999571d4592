"""Which rows train, stop early and calibrate: three ranges of `_row_id` that do not touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pipeline.config import Config
from pipeline.errors import NotEnoughRows
from pipeline.lake import Lake


@dataclass(frozen=True)
class Range:
    """Rows `first` to `last` by `_row_id`, both included."""

    first: int
    last: int

    @property
    def rows(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    def to_dict(self) -> dict[str, int]:
        return {"first": self.first, "last": self.last}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(int(data["first"]), int(data["last"]))


@dataclass(frozen=True)
class Split:
    """The three ranges, in this order."""

    train: Range
    validation: Range
    calibration: Range

    def to_dict(self) -> dict[str, dict[str, int]]:
        return {name: getattr(self, name).to_dict() for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        return cls(**{n: Range.from_dict(data[n]) for n in ("train", "validation", "calibration")})


def make_split(lake: Lake, config: Config) -> Split:
    """Cut the rows 1 … `split.until` (or all present) by the shares of the config.

    Row ids follow the event time within a file and the order of the files' names, so the parts
    follow each other in time.

    Raises:
        TableMissingError: the tables have not been created.
        NotEnoughRows: nothing is ingested, fewer rows than `until`, or a part would be empty.
    """
    return split_rows(lake.last_row_id(), config)


def split_rows(present: int, config: Config) -> Split:
    """`make_split` for `present` ingested rows.

    Raises:
        NotEnoughRows: as there.
    """
    shares, until = config.split, config.split.until
    if present == 0:
        raise NotEnoughRows(
            f"nothing is ingested for {config.name!r} yet",
            hint="Run `vae-anomaly ingest` first.",
        )
    if until is not None and until > present:
        raise NotEnoughRows(
            f"`split.until` is {until:,}, but only {present:,} rows are ingested",
            hint="Ingest more files, or lower `split.until`.",
        )
    rows = until or present
    train = round(rows * shares.train)
    validation = round(rows * shares.validation)
    all_used = shares.train + shares.validation + shares.calibration > 1 - 1e-9
    calibration = (
        rows - train - validation
        if all_used
        else min(round(rows * shares.calibration), rows - train - validation)
    )
    if min(train, validation, calibration) < 1:
        raise NotEnoughRows(
            f"{rows:,} rows are too few to split into training ({train}), validation "
            f"({validation}) and calibration ({calibration})",
            hint="Ingest more rows, or change the shares under `split`.",
        )
    stops = (train, train + validation, train + validation + calibration)
    return Split(Range(1, stops[0]), Range(stops[0] + 1, stops[1]), Range(stops[1] + 1, stops[2]))
