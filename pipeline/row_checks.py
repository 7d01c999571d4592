"""Do a file's rows keep to the config? Whole columns at a time, all reasons at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.config import Config
from pipeline.errors import SourceError
from pipeline.pictures import as_stored, read_cells, whole_shape
from pipeline.readers import Opened, RawBatch
from pipeline.settings import ColumnSettings
from pipeline.tables import columns_schema
from pipeline.values import Times, numbers, plain, text_categories, texts, times

if TYPE_CHECKING:
    import pandas as pd

MISSING = "missing, but required"
INFINITE = "infinite"
NOT_A_NUMBER = "not a number"
NOT_A_TIME = "not an ISO 8601 time"
REPEATED = "repeats an earlier row of this file"
KNOWN_ID = "repeats a row of an earlier file"
NOT_NULLABLE = "not_nullable"  # pandera's own name of the check


@dataclass(frozen=True)
class Refused:
    """A row that goes to quarantine: its place in the file, why, and what it was."""

    number: int
    reasons: list[str]
    raw: str


@dataclass(frozen=True)
class Checked:
    """One batch, sorted into rows that are good (stored columns, with their numbers) and not."""

    rows: pa.RecordBatch
    numbers: np.ndarray
    refused: list[Refused]


class RowChecker:
    """Checks the rows of one file, batch after batch, in the file's order.

    Args:
        config: names, roles and nullability.
        domains: the two (or fewer) values seen so far of binary columns without `values`.
        known_ids: which of the given ids earlier files hold; asked with (n,) tuples.
    """

    def __init__(
        self,
        config: Config,
        domains: dict[str, list[str]] | None = None,
        known_ids: Callable[[list[tuple[str, ...]]], set[tuple[str, ...]]] | None = None,
    ) -> None:
        self.config, self.known_ids = config, known_ids
        self.columns = {n: config.columns[n] for n in config.stored}
        self.domains = {n: list(c.values) for n, c in self.columns.items() if c.values}
        for name, column in self.columns.items():
            if column.role == "binary" and name not in self.domains:
                self.domains[name] = list((domains or {}).get(name, []))
        self.ids: set[tuple[str, ...]] = set()
        self.with_offset = self.without_offset = 0
        self.offsets: set[str] = set()

    def check(self, batch: RawBatch, opened: Opened) -> Checked:
        """Sort a batch's rows.

        Raises:
            SourceError: time stamps with and without UTC offset are mixed in the file.
        """
        parsed, troubles = self.parse(batch.rows, opened)
        reasons = self._reasons(parsed, troubles)
        bad = np.zeros(batch.rows.num_rows, bool)
        bad[list(reasons)] = True
        for row in self._repeated(parsed, bad, reasons):
            bad[row] = True
        refused = [Refused(m.number, [m.reason], _raw_text(m.raw)) for m in batch.malformed]
        refused += [
            Refused(int(batch.numbers[i]), reasons[i], _raw(batch, i)) for i in sorted(reasons)
        ]
        good = parsed.filter(pa.array(~bad))
        return Checked(good, batch.numbers[~bad], refused)

    def parse(
        self, rows: pa.RecordBatch, opened: Opened
    ) -> tuple[pa.RecordBatch, dict[str, dict[int, str]]]:
        """The stored columns, and by column why which rows' cells could not be read."""
        arrays: list[pa.Array] = []
        troubles: dict[str, dict[int, str]] = {}
        for name, column in self.columns.items():
            cells = self._cells(rows, name)
            if column.role == "numeric":
                values, unreadable = numbers(cells)
                troubles[name] = dict.fromkeys(np.flatnonzero(unreadable).tolist(), NOT_A_NUMBER)
            elif column.role == "time":
                stamps = times(cells, column.timezone)
                self._note_offsets(name, stamps)
                values, unreadable = stamps.values, stamps.unreadable
                troubles[name] = dict.fromkeys(np.flatnonzero(unreadable).tolist(), NOT_A_TIME)
            elif column.role == "image":
                shape = whole_shape(column.shape or ())
                pixels, troubles[name] = read_cells(plain(cells), shape, opened.folder)
                values = as_stored(pixels, troubles[name])
            elif opened.cells_are_text:
                values = text_categories(cells, column.role == "binary", opened.words_for_null)
            else:
                values = texts(cells)
            arrays.append(values)
        return pa.RecordBatch.from_arrays(arrays, schema=columns_schema(self.config)), troubles

    def _cells(self, rows: pa.RecordBatch, name: str) -> pa.Array:
        if name in rows.schema.names:
            return rows.column(name)
        return pa.nulls(rows.num_rows, pa.string())  # a label, or a key of JSON lines

    def _note_offsets(self, name: str, stamps: Times) -> None:
        self.with_offset += int(stamps.aware.sum())
        self.without_offset += int((~stamps.aware & stamps.values.is_valid().to_numpy(False)).sum())
        self.offsets |= stamps.offsets
        if self.with_offset and self.without_offset:
            raise SourceError(
                f"column `{name}` mixes time stamps with a UTC offset ({self.with_offset:,} rows "
                f"so far) and without ({self.without_offset:,})",
                hint="Write all of them with an offset, or none (`timezone` says which zone is "
                "meant then).",
            )

    def _reasons(
        self, parsed: pa.RecordBatch, troubles: dict[str, dict[int, str]]
    ) -> dict[int, list[str]]:
        """Reasons by position in the batch; only rows that have one."""
        reasons: dict[int, list[str]] = {}
        for name, wrong in troubles.items():
            for row, what in wrong.items():
                reasons.setdefault(row, []).append(f"`{name}`: {what}")
        for name, check, row in self._failures(parsed):
            if check == NOT_NULLABLE:
                if row in troubles.get(name, {}):
                    continue  # null because it was unreadable, which is said already
                check = MISSING
            reasons.setdefault(row, []).append(f"`{name}`: {check}")
        return reasons

    def _failures(self, parsed: pa.RecordBatch) -> Iterable[tuple[str, str, int]]:
        from pandera.errors import SchemaErrors

        self._learn_domains(parsed)
        try:
            schema = self._row_schema()
            schema.validate(_frame(parsed, list(schema.columns)), lazy=True)
        except SchemaErrors as errors:
            cases = errors.failure_cases
            return zip(cases["column"], cases["check"], cases["index"].astype(int), strict=True)
        return ()

    def _row_schema(self) -> Any:
        import pandera.pandas as pandera

        def column(name: str, settings: ColumnSettings) -> Any:
            checks = []
            if settings.role == "numeric":
                finite = pandera.Check(lambda s: ~np.isinf(s), name=INFINITE, error=INFINITE)
                checks.append(finite)
            if settings.role == "binary" and self.domains[name]:
                known = sorted(self.domains[name])
                error = f"neither {' nor '.join(known)}" if len(known) == 2 else "a third value"
                checks.append(pandera.Check.isin(known, error=error))
            return pandera.Column(None, checks, nullable=settings.may_be_missing, name=name)

        # pictures were read cell by cell: nothing is left to check of them
        checked = {n: s for n, s in self.columns.items() if s.role != "image"}
        return pandera.DataFrameSchema({n: column(n, s) for n, s in checked.items()})

    def _learn_domains(self, parsed: pa.RecordBatch) -> None:
        for name, domain in self.domains.items():
            if len(domain) < 2:
                for value in parsed.column(name).unique().to_pylist():
                    if value is not None and value not in domain and len(domain) < 2:
                        domain.append(value)

    def _repeated(
        self, parsed: pa.RecordBatch, bad: np.ndarray, reasons: dict[int, list[str]]
    ) -> list[int]:
        """Rows whose id an earlier good row holds; the first one keeps its place."""
        names = self.config.ids
        if not names:
            return []
        keys = list(zip(*(parsed.column(n).to_pylist() for n in names), strict=True))
        rows = [i for i in range(len(keys)) if not bad[i] and None not in keys[i]]
        known = self.known_ids([keys[i] for i in rows]) if self.known_ids else set()
        quoted = ", ".join(f"`{n}`" for n in names)
        repeated = []
        for row in rows:
            if keys[row] in known or keys[row] in self.ids:
                why = KNOWN_ID if keys[row] in known else REPEATED
                reasons.setdefault(row, []).append(f"{quoted}: {why}")
                repeated.append(row)
            self.ids.add(keys[row])
        return repeated


def _frame(parsed: pa.RecordBatch, names: list[str]) -> pd.DataFrame:
    import pandas as pd

    cells = {n: parsed.column(n).to_numpy(zero_copy_only=False) for n in names}
    return pd.DataFrame(cells, index=pd.RangeIndex(parsed.num_rows))


def _raw(batch: RawBatch, row: int) -> str:
    if batch.raw is not None:
        return batch.raw[row]
    cells = batch.rows.slice(row, 1).to_pylist()[0]
    return json.dumps(cells, ensure_ascii=False, default=_json)


def _raw_text(text: str) -> str:
    return json.dumps({"_text": text}, ensure_ascii=False)


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"data:;base64,{base64.b64encode(value).decode()}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
