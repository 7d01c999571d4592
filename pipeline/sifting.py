"""A unit of rows sorted into good ones and refused ones, kept on disk until both are counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from pipeline.config import Config
from pipeline.errors import SourceError
from pipeline.files import Content
from pipeline.lake import Lake
from pipeline.ledger import Origin, domains, known_ids
from pipeline.readers import Opened, RawBatch
from pipeline.row_checks import Checked, Refused, RowChecker
from pipeline.schema import check_keys, check_names, check_types, without_label
from pipeline.sources import Fingerprint, is_unchanged, open_file
from pipeline.spool import Spool
from pipeline.tables import TABLES, TIME

PICTURE_BYTES = 128 << 20


@dataclass(frozen=True)
class Sifted:
    """The rows of a unit.

    Attributes:
        good: in the schema of `ingested` without `_row_id`.
        bad: in the schema of `quarantine`.
        notes: what is odd but accepted.
    """

    good: Spool
    bad: Spool
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.good.rows + self.bad.rows

    def ordered(self, config: Config) -> Iterator[pa.RecordBatch]:
        """The good rows in order of event time, where there is one; may be called again."""
        return self.good.sorted_batches(config.time) if config.time else self.good.batches()


@contextmanager
def sifted(lake: Lake, handle: DeltaTable, opened: Opened, origin: Origin) -> Iterator[Sifted]:
    """Check all rows of a unit.

    Args:
        lake: of the data set.
        handle: the version of `ingested` that ids and values so far are looked up in.
        opened: the rows.
        origin: where they come from.

    Raises:
        SourceError: the unit as a whole cannot be used.
    """
    now = datetime.now(UTC)
    rows, quarantine = row_schemas(lake.config)
    with Spool(rows) as good, Spool(quarantine) as bad:
        notes, reasons = [], Counter[str]()
        for item in _checked(lake, handle, opened):
            if isinstance(item, str):
                notes.append(item)
                continue
            good.add(_stamped(item, rows, origin, now))
            bad.add(refusals(item.refused, quarantine, origin, now))
            reasons.update(reason for row in item.refused for reason in row.reasons)
        if bad.rows and good.rows == 0:
            (most, _), *_ = reasons.most_common(1)
            title = origin.name.rpartition("/")[2]
            notes.append(f"every row of {title} was quarantined; most often {most}")
        yield Sifted(good, bad, tuple(notes))


@contextmanager
def sifted_file(
    lake: Lake, handle: DeltaTable, content: Content, seen: Fingerprint
) -> Iterator[Sifted]:
    """As `sifted`, of a file.

    Args:
        content: of the file.
        seen: when it was found to be new.

    Raises:
        SourceError: it cannot be used, or has changed since.
    """
    opened = open_file(content, lake.config.source)
    with sifted(lake, handle, opened, Origin(content.name, seen.hash)) as rows:
        if not is_unchanged(content, seen):
            raise SourceError(
                "changed while it was read", hint="It is taken up when it is complete: run again."
            )
        yield rows


def row_schemas(config: Config) -> tuple[pa.Schema, pa.Schema]:
    """Of good rows, which have no `_row_id` yet, and of refused ones."""
    rows = TABLES["ingested"](config)
    return rows.remove(rows.get_field_index("_row_id")), TABLES["quarantine"](config)


def _checked(lake: Lake, handle: DeltaTable, opened: Opened) -> Iterator[Checked | str]:
    """The unit's rows, checked; and, as text, what is odd about it but accepted."""
    config = lake.config
    checker: RowChecker | None = None
    names: set[str] = set()
    if opened.schema is not None:
        check_names(opened.schema.names, config)
        names |= set(opened.schema.names)
        if not opened.cells_are_text:
            check_types(opened.schema, config)
    for batch in _pieces(opened.batches, config):
        if checker is None:
            checker = RowChecker(config, domains(lake, handle), known_ids(lake, handle))
            if opened.schema is None:
                check_keys(batch, config)
        names |= set(batch.rows.schema.names)
        try:
            yield checker.check(batch, opened)
        except (pa.ArrowException, UnicodeError) as error:
            raise SourceError(
                f"holds cells that cannot be converted ({' '.join(str(error).split())[:300]})",
                hint="Mend the file, or give the column `role: ignore`.",
            ) from None
    if extra := names - set(config.columns):
        yield f"columns that the config does not name were left out: {', '.join(sorted(extra))}"
    if checker is not None and (told := without_label(names, config)):
        yield told
    if checker is not None and len(checker.offsets) > 1:
        yield (
            f"`{config.time}` holds UTC offsets {', '.join(sorted(checker.offsets))}; all are "
            "stored as UTC"
        )


def _pieces(batches: Iterator[RawBatch], config: Config) -> Iterator[RawBatch]:
    """The batches, cut where they hold more pictures than memory should at once."""
    if config.image is None:
        yield from batches
        return
    most = max(1, PICTURE_BYTES // math.prod(config.columns[config.image].shape or ()))
    for batch in batches:
        for start in range(0, max(batch.rows.num_rows, 1), most):
            part = slice(start, start + most)
            yield RawBatch(
                batch.rows.slice(start, most),
                batch.numbers[part],
                None if batch.raw is None else batch.raw[part],
                () if start else batch.malformed,
            )


def _stamped(item: Checked, schema: pa.Schema, origin: Origin, now: datetime) -> pa.RecordBatch:
    own = _provenance(item.rows.num_rows, item.numbers, origin, now)
    arrays = [own[m] if m in own else item.rows.column(m) for m in schema.names]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def refusals(
    rows: list[Refused], schema: pa.Schema, origin: Origin, now: datetime
) -> pa.RecordBatch:
    """Refused rows as `quarantine` holds them."""
    numbers = np.array([row.number for row in rows], dtype=np.int64)
    columns = _provenance(len(rows), numbers, origin, now)
    columns["reasons"] = pa.array([row.reasons for row in rows], pa.list_(pa.string()))
    columns["raw"] = pa.array([row.raw for row in rows], pa.string())
    return pa.RecordBatch.from_arrays([columns[m] for m in schema.names], schema=schema)


def _provenance(n: int, numbers: np.ndarray, origin: Origin, now: datetime) -> dict[str, pa.Array]:
    return {
        "_source": pa.repeat(pa.scalar(origin.name, pa.string()), n),
        "_source_hash": pa.repeat(pa.scalar(origin.hash, pa.string()), n),
        "_source_row": pa.array(numbers, pa.int64()),
        "_ingested_at": pa.repeat(pa.scalar(now, TIME), n),
    }
