"""Where made rows come from: a registered version, and rows of the tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config import Config
    from pipeline.home import Home
    from pipeline.split import Range
    from vae_core import Scorer

Columns = dict[str, "np.ndarray[Any, Any]"]
SHOWN_ROWS = 24
MOST_ROWS = 1_000_000
RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")  # as many digits as fit a row's id


class MakingError(UserError):
    """The version cannot do what was asked, or not with these rows."""


@dataclass(frozen=True)
class Source:
    """A version and the tables that its rows come from.

    Attributes:
        home, config: of the data set.
        version: number.
        scorer: of the version.
        calibration: rows that calibrated it; rows are taken from there unless named.
    """

    home: Home
    config: Config
    version: int
    scorer: Scorer
    calibration: Range

    @property
    def image(self) -> str | None:
        """The column of pictures, where the version models one."""
        image = getattr(self.scorer.encoding, "image", None)
        return None if image is None else str(image.name)

    def rows(self, named: str | None = None, most: int = SHOWN_ROWS) -> tuple[list[int], Columns]:
        """Ids and columns of rows.

        Args:
            named: "17", "1-24" or "3,9,40-42"; None: the first calibration rows.
            most: of them if not named.

        Raises:
            MakingError: that is no such list, or names rows that are not there.
            SchemaError: a row is not in the tables.
        """
        import pyarrow as pa

        from pipeline.frames import to_columns
        from pipeline.lake import Lake

        last = min(self.calibration.last, self.calibration.first + most - 1)
        ids = row_ids(named) if named else list(range(self.calibration.first, last + 1))
        lake = Lake(self.config, self.home)
        newest = lake.last_row_id()
        if strange := [i for i in ids if not 1 <= i <= newest]:
            raise MakingError(
                f"there is no row {strange[0]:,} in the tables of {self.config.name!r}",
                hint=f"Row ids run from 1 to {newest:,}.",
            )
        pieces = [
            piece
            for low, high in _runs(ids)
            for piece in lake.scan_rows(low, high, self.config.features)
        ]
        table = pa.concat_tables(pieces)
        place = {i: at for at, i in enumerate(table.column("_row_id").to_pylist())}
        return ids, to_columns(table.take([place[i] for i in ids]), self.config)


def open_version(home: Home, config: Config, version: int | None = None) -> Source:
    """A version, ready to make rows.

    Args:
        home: tables and registry.
        config: of the data set.
        version: number; the champion if left out.

    Raises:
        RegistryError: there is no such version, or no champion.
        MakingError: it was registered before versions could make rows.
    """
    from pipeline import registry

    found = registry.get(home, config.name, version or registry.CHAMPION)
    scorer = registry.load_scorer(home, config.name, found.version, config.device)
    if not hasattr(scorer, "compress"):
        raise MakingError(
            f"version {found.version} of {config.name!r} was registered by an earlier release, "
            "whose core cannot do this",
            hint="Train and calibrate again.",
        )
    return Source(home, config, found.version, scorer, found.calibration)


def row_ids(named: str) -> list[int]:
    """The ids that "17", "1-24" or "3,9,40-42" name.

    Raises:
        MakingError: it is no such list, or names more than `MOST_ROWS`.
    """
    ids: list[int] = []
    for part in named.split(","):
        read = RANGE.fullmatch(part.strip())
        if read is None:
            raise MakingError(
                f"{_cut(named)!r} names no rows", hint="Give ids such as 17, 1-24 or 3,9,40-42."
            )
        first, last = int(read[1]), int(read[2] or read[1])
        if last < first:
            raise MakingError(
                f"{part.strip()!r} ends before it starts", hint=f"Write {last}-{first}."
            )
        if len(ids) + last - first >= MOST_ROWS:
            raise MakingError(
                f"{_cut(named)!r} names more than {MOST_ROWS:,} rows",
                hint="Rows that are made are held in memory: ask for fewer at a time.",
            )
        ids.extend(range(first, last + 1))
    return ids


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _runs(ids: list[int]) -> list[tuple[int, int]]:
    """Ranges that cover the ids."""
    runs: list[tuple[int, int]] = []
    for i in sorted(set(ids)):
        if runs and i == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], i)
        else:
            runs.append((i, i))
    return runs
