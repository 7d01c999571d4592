"""Rows of the lake as columns in memory, with a bound on how many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.frames import is_anomaly, is_labelled, to_columns
from pipeline.progress import Progress, report
from pipeline.values import canonical

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.lake import Lake
    from pipeline.split import Range

MOST_ROWS = 2_000_000

__all__ = ["MOST_ROWS", "Rows", "read_rows"]


class Rows(NamedTuple):
    """Some rows, N of them, with their labels where these were asked for.

    Attributes:
        columns: (N,) each.
        labels: (N,) true for rows that are labelled as anomalies; None where not asked for.
        labelled: (N,) false for rows whose label is missing, which count in no statistic of
            labels; None where no label is missing.
    """

    columns: dict[str, np.ndarray]
    labels: np.ndarray | None
    labelled: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, positions: np.ndarray) -> Rows:
        """The rows at some positions, or where a mask is true."""
        labels = None if self.labels is None else self.labels[positions]
        labelled = None if self.labelled is None else self.labelled[positions]
        return Rows({name: v[positions] for name, v in self.columns.items()}, labels, labelled)

    def with_labels(self) -> Rows | None:
        """The rows that have a label; None where none has."""
        if self.labels is None or self.labelled is None:
            return None if self.labels is None else self
        known = self.take(self.labelled)
        return Rows(known.columns, known.labels) if len(known) else None

    def sample(self, most: int, seed: int = 0) -> Rows:
        """The rows, or a uniform sample of `most` of them, in their order."""
        if len(self) <= most:
            return self
        chosen = np.random.default_rng(seed).choice(len(self), most, replace=False)
        return self.take(np.sort(chosen))


def read_rows(
    lake: Lake,
    config: Config,
    rows: Range,
    *,
    labels: bool = False,
    further: Sequence[str] = (),
    most: int = MOST_ROWS,
    seed: int = 0,
    progress: Progress | None = None,
    each: Callable[[pa.Table], None] | None = None,
) -> Rows:
    """Read a range of ingested rows, or a uniform sample of it, in row order.

    Args:
        lake: to read from.
        config: names the feature columns and the label.
        rows: the range; no other row is touched.
        labels: read the label column as well, where the config has one.
        further: columns to keep beside the features, as text.
        most: rows kept at most.
        seed: of the sample.
        progress: told as rows are read.
        each: given every piece that is read, with the rows of it that are not kept.
    """
    kept = np.arange(rows.rows)
    if rows.rows > most:
        rng = np.random.default_rng(seed)
        kept = np.sort(rng.choice(rows.rows, most, replace=False, shuffle=False))
    beside = [*further, *([config.label] if labels and config.label else [])]
    wanted = list(dict.fromkeys([*config.features, *beside]))
    pieces: list[pa.Table] = []
    done = 0
    for piece in lake.scan_rows(rows.first, rows.last, wanted):
        low, high = np.searchsorted(kept, [done, done + piece.num_rows])
        pieces.append(
            piece if high - low == piece.num_rows else piece.take(pa.array(kept[low:high] - done))
        )
        if each is not None:
            each(piece)
        done += piece.num_rows
        report(progress, done, rows.rows, "reading rows")
    table = pa.concat_tables(pieces)
    truth = known = None
    if labels and config.label:
        truth, known = (
            is_anomaly(table.column(config.label), config),
            is_labelled(table.column(config.label)),
        )
    columns = to_columns(table, config)
    for name in set(further) - set(columns):
        columns[name] = np.array([canonical(v) for v in table.column(name).to_pylist()], object)
    return Rows(columns, truth, None if known is None or known.all() else known)
