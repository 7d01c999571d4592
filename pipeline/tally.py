"""What is counted about a night, from the tables alone, in bounded memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from pipeline import fdr
from pipeline.frames import is_anomaly, is_labelled
from pipeline.tables import TIME
from pipeline.verdict import by_weights

if TYPE_CHECKING:
    from pipeline.lake import Lake
    from pipeline.nights import Night

ORDERED_ROWS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Scored:
    """The scores of a night, summed up.

    Attributes:
        rows: scored rows.
        flagged: rows above the model's per-row threshold.
        lowest, highest: anomaly scores.
        p_counts: (n + 1,) histogram of p-values, see `fdr.count_p_values`; None if not asked.
    """

    rows: int
    flagged: int
    lowest: float
    highest: float
    p_counts: np.ndarray | None


@dataclass(frozen=True)
class Labels:
    """A night held against its labels (which no model ever sees).

    Attributes:
        anomalies: rows labelled as something other than normal.
        found: those of them that were flagged; alerts where weights chose these.
        normal: rows labelled as normal.
        false_alarms: those of them that were flagged, or are such alerts.
        unlabelled: rows whose label is missing, which count nowhere else.
    """

    anomalies: int
    found: int
    normal: int
    false_alarms: int
    unlabelled: int = 0

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal rows flagged; 0 where there are none."""
        return self.false_alarms / self.normal if self.normal else 0.0

    @property
    def recall(self) -> float | None:
        """Share of anomalies found; None where there are none."""
        return self.found / self.anomalies if self.anomalies else None


@dataclass
class Quarantined:
    """What was set aside of the files that a night covers.

    Attributes:
        rows: refused rows (a row with several reasons counts once).
        by_reason: number of rows by reason.
        files: names of the files by reason.
        refused: reasons by file that was refused whole.
        by_file: refused rows by file.
    """

    rows: int = 0
    by_reason: Counter[str] = field(default_factory=Counter)
    files: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    refused: dict[str, str] = field(default_factory=dict)
    by_file: Counter[str] = field(default_factory=Counter)

    def trouble(self) -> list[str]:
        """One line for each source with trouble, worst first."""
        whole = [f"{name}: refused, {why}" for name, why in sorted(self.refused.items())]
        rows = [f"{name}: {n:,} rows quarantined" for name, n in self.by_file.most_common()]
        return whole + rows


def scored(lake: Lake, night: Night, n: int | None = None) -> Scored:
    """Sum up the scores of a night; with `n`, the number of calibration rows, its p-values too."""
    rows = flagged = 0
    lowest, highest = np.inf, -np.inf
    p_counts = None if n is None else np.zeros(n + 1, np.int64)
    for batch in _of_night(lake, night, ["anomaly_score", "p_value", "is_anomaly"]):
        values = _floats(batch, "anomaly_score")
        rows += batch.num_rows
        flagged += pc.sum(batch.column("is_anomaly")).as_py() or 0
        lowest, highest = min(lowest, values.min()), max(highest, values.max())
        if p_counts is not None and n is not None:
            p_counts += fdr.count_p_values(_floats(batch, "p_value"), n)
    return Scored(rows, flagged, float(lowest), float(highest), p_counts)


def scores(lake: Lake, night: Night) -> Iterator[np.ndarray]:
    """Anomaly scores of a night, piece by piece, in no particular order."""
    for batch in _of_night(lake, night, ["anomaly_score"]):
        yield _floats(batch, "anomaly_score")


def scores_in_order(
    lake: Lake, night: Night, most: int = 1_000_000
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row ids and anomaly scores of a night, in order of `_row_id`.

    Args:
        lake: of the data set.
        night: scored in full.
        most: of a night with more rows, every k-th is given, k the smallest that fits.
    """
    step = -(-night.rows // most)
    handle, row = lake.open("scores"), ds.field("_row_id")
    for first in range(night.first, night.last + 1, ORDERED_ROWS):
        last = min(night.last, first + ORDERED_ROWS - 1)
        where = (row >= first) & (row <= last)
        batches = list(lake.scan("scores", ["_row_id", "anomaly_score"], where, handle))
        ids = np.concatenate([_ids(batch) for batch in batches])
        values = np.concatenate([_floats(batch, "anomaly_score") for batch in batches])
        order = np.argsort(ids)
        order = order[(ids[order] - night.first) % step == 0]
        yield ids[order], values[order]


def selected(lake: Lake, night: Night, keep: Callable[[pa.RecordBatch], pa.Array]) -> pa.Table:
    """The rows of a night that become alerts, most anomalous first.

    Args:
        lake: of the data set.
        night: scored in full.
        keep: mask of the rows to select, of a batch with p_value, anomaly_score and is_anomaly.

    Returns:
        Columns _row_id, event_time, anomaly_score, p_value and rank (1 first: smallest p-value,
        then highest score, then lowest row id).
    """
    names = ["_row_id", "event_time", "anomaly_score", "p_value"]
    pieces = []
    for batch in _of_night(lake, night, [*names, "is_anomaly"]):
        pieces.append(pa.Table.from_batches([batch]).filter(keep(batch)).select(names))
    if not pieces:
        return pa.table({name: [] for name in [*names, "rank"]})
    order = [("p_value", "ascending"), ("anomaly_score", "descending"), ("_row_id", "ascending")]
    found = pa.concat_tables(pieces).sort_by(order)
    return found.append_column("rank", pa.array(np.arange(1, found.num_rows + 1)))


def against_labels(lake: Lake, night: Night) -> Labels | None:
    """A night's flags, or alerts by weights, against its labels; None where no row has one."""
    label = lake.config.label
    if label is None:
        return None
    table, where = "scores", night.selects & ds.field("is_anomaly")
    if by_weights(night.closing or {}):
        table, where = "alerts", ds.field("night_id") == night.night_id
    flagged = [_ids(batch) for batch in lake.scan(table, ["_row_id"], where)]
    hits = np.concatenate(flagged) if flagged else np.empty(0, np.int64)
    labelled = anomalies = found = false_alarms = 0
    for batch in lake.scan("ingested", ["_row_id", label], night.selects):
        bad, known = is_anomaly(batch.column(label), lake.config), is_labelled(batch.column(label))
        hit = np.isin(_ids(batch), hits)
        labelled += int(known.sum())
        anomalies += int(bad.sum())
        found += int((bad & hit).sum())
        false_alarms += int((known & ~bad & hit).sum())
    if not labelled:
        return None
    return Labels(anomalies, found, labelled - anomalies, false_alarms, night.rows - labelled)


def labelled_scores(
    lake: Lake, night: Night, most: int = 1_000_000
) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels and scores of those of a night's first `most` rows that have a label, for curves.

    Returns:
        (N,) True for anomalies and (N,) anomaly scores, in order of `_row_id`; None without a
        label column, or where the labels are all of one class.
    """
    label = lake.config.label
    if label is None:
        return None
    where = night.selects & (ds.field("_row_id") < night.first + most)
    bad, scored = (
        lake.read(table, ["_row_id", column], where).sort_by("_row_id")
        for table, column in (("ingested", label), ("scores", "anomaly_score"))
    )
    known = is_labelled(bad.column(label))
    labels = is_anomaly(bad.column(label), lake.config)[known]
    if labels.all() or not labels.any():
        return None
    return labels, scored.column("anomaly_score").to_numpy()[known]


def quarantined(lake: Lake, night: Night, before: Night | None) -> Quarantined:
    """What was set aside of the files that a night covers.

    These are the refused rows of every file that gave the night rows (a file's refused rows are
    committed before its good ones, so they are all there), and of the files that gave no row at
    all and arrived between the opening of the night before and that of this one. So each refused
    row counts in one night. A file that was refused whole, and taken in before the night after it
    was mended, is no trouble any more.

    Args:
        lake: of the data set.
        night: the night.
        before: the night before; None for the first one, which then starts after the arrival of
            the last row that training used.
    """
    covered = _files(lake, night.selects)
    if before is None:
        edge = ds.field("_row_id") == night.first - 1
        covered -= _files(lake, edge)
        since = _arrival(lake, edge)
    else:
        since = before.opened_at
    arrived = ds.field("_ingested_at")
    window = (arrived > _stamp(since)) & (arrived <= _stamp(night.opened_at))
    hashes = sorted({digest for _, digest in covered})
    where = window | ds.field("_source_hash").isin(pa.array(hashes, pa.string()))
    columns = ["_source", "_source_hash", "_source_row", "reasons", "_ingested_at"]
    elsewhere, mended = _Elsewhere(lake), _Mended(lake, night.opened_at)
    out = Quarantined()
    for batch in lake.scan("quarantine", columns, where):
        for row in batch.to_pylist():
            file = (row["_source"], row["_source_hash"])
            late = not since < row["_ingested_at"] <= night.opened_at
            if file not in covered and (late or elsewhere.holds(file)):
                continue
            if row["_source_row"] is None and mended.since(row["_ingested_at"], row["_source"]):
                continue
            _count(out, row["_source"], row["_source_row"], row["reasons"] or ["no reason kept"])
    return out


class _Elsewhere:
    """Remembers which files have rows in `ingested` (those belong to the night of their rows)."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.known: dict[tuple[str, str], bool] = {}

    def holds(self, file: tuple[str, str]) -> bool:
        if file not in self.known:
            where = (ds.field("_source_hash") == file[1]) & (ds.field("_source") == file[0])
            self.known[file] = any(True for _ in self.lake.scan("ingested", ["_row_id"], where))
        return self.known[file]


class _Mended:
    """Remembers when files were last taken in, as far as that was before a night was opened.

    A table of a database is never mended: some of its rows may be refused while others go in.
    """

    def __init__(self, lake: Lake, opened: datetime) -> None:
        self.lake, self.opened = lake, opened
        self.newest: dict[str, datetime] = {}

    def since(self, refused: datetime, source: str) -> bool:
        """Whether rows of a source were taken in, or refused one by one, after this time."""
        if self.lake.config.source.kind == "sql":
            return False
        if source not in self.newest:
            arrived = ds.field("_ingested_at") <= _stamp(self.opened)
            where = (ds.field("_source") == source) & ds.field("_source_row").is_valid() & arrived
            batches = (
                batch
                for table in ("ingested", "quarantine")
                for batch in self.lake.scan(table, ["_ingested_at"], where)
            )
            times = [pc.max(batch.column(0)).as_py() for batch in batches if batch.num_rows]
            self.newest[source] = max(times, default=_EPOCH)
        return self.newest[source] > refused


def _count(out: Quarantined, source: str, row: int | None, reasons: list[str]) -> None:
    if row is None:
        out.refused[source] = "; ".join(reasons)
        return
    out.rows += 1
    out.by_file[source] += 1
    for reason in reasons:
        out.by_reason[reason] += 1
        out.files[reason].add(source)


def _files(lake: Lake, where: ds.Expression) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for batch in lake.scan("ingested", ["_source", "_source_hash"], where):
        pairs = pa.Table.from_batches([batch]).group_by(batch.schema.names).aggregate([])
        found.update(
            zip(*(pairs.column(name).to_pylist() for name in batch.schema.names), strict=True)
        )
    return found


def _arrival(lake: Lake, where: ds.Expression) -> datetime:
    for batch in lake.scan("ingested", ["_ingested_at"], where):
        return batch.column(0)[0].as_py()
    return _EPOCH


def _of_night(lake: Lake, night: Night, columns: list[str]) -> Iterator[pa.RecordBatch]:
    return lake.scan("scores", columns, night.selects)


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)


def _ids(batch: pa.RecordBatch) -> np.ndarray:
    return np.asarray(batch.column("_row_id").to_numpy(zero_copy_only=False), dtype=np.int64)


def _stamp(at: datetime) -> pa.Scalar:
    return pa.scalar(at, TIME)
