"""A Delta table as a source: which versions there are, what each one added, and its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from pipeline.credentials import expanded, masked
from pipeline.errors import SourceError
from pipeline.readers import Opened, RawBatch
from pipeline.readers.base import BATCH_ROWS
from pipeline.readers.parquet import flat, flat_schema
from pipeline.stores import reason


@dataclass(frozen=True)
class Added:
    """What a version did.

    Attributes:
        paths: files whose rows it added.
        changes: what it did to rows that were there, by Delta's name for it; None for nothing.
    """

    paths: frozenset[str]
    changes: str | None


@dataclass(frozen=True)
class SourceTable:
    """A Delta table that others write.

    Attributes:
        uri: absolute path or URI.
        options: of its store, with placeholders.
    """

    uri: str
    options: dict[str, Any]

    def newest(self) -> tuple[int, str]:
        """The newest version, and the id that the table was given when it was made."""
        with self.told():
            table = self._at(None)
            return table.version(), str(table.metadata().id)

    def added(self, version: int) -> Added:
        """What a version added, out of the table's log.

        Raises:
            SourceError: the log does not reach back that far.
        """
        try:
            with self._files.open_input_file(f"_delta_log/{version:020d}.json") as log:
                actions = [json.loads(line) for line in log.read().splitlines() if line.strip()]
        except FileNotFoundError:
            raise SourceError(
                f"has no log of version {version:,} any more, which was not read yet",
                hint="The log is kept for `delta.logRetentionDuration`: ingest more often than "
                "that. To go on now, start a new data set under another `name`.",
            ) from None
        except (DeltaError, OSError) as error:
            raise self._said(error) from None
        told: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
        adds = [a["add"] for a in actions if "add" in a and a["add"].get("dataChange", True)]
        removed = any(a["remove"].get("dataChange", True) for a in actions if "remove" in a)
        operation = str(told.get("operation", "rows removed"))
        changes = operation if removed or operation == "RESTORE" else None
        return Added(frozenset(unquote(add["path"]) for add in adds), changes)

    def rows(self, version: int, paths: frozenset[str] | None) -> Opened:
        """Rows of some files of a version, or of all of them."""
        with self.told():
            whole = self._at(version).to_pyarrow_dataset()
            found = sorted(
                (f for f in whole.get_fragments() if paths is None or f.path in paths),
                key=lambda fragment: fragment.path,
            )
        if paths is not None and len(found) != len(paths):
            raise SourceError(
                f"names {len(paths):,} files in its log and holds {len(found):,} of them",
                hint="Is somebody repairing the table? Run again afterwards.",
            )
        chosen = ds.FileSystemDataset(found, whole.schema, whole.format, whole.filesystem)
        return Opened(flat_schema(whole.schema), self._batches(chosen))

    def _batches(self, chosen: ds.Dataset) -> Iterator[RawBatch]:
        scanner = chosen.scanner(
            batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1, use_threads=False
        )
        done = 0
        with self.told():
            for rows in scanner.to_batches():
                yield RawBatch(flat(rows), np.arange(done + 1, done + rows.num_rows + 1))
                done += rows.num_rows

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say Delta's and the store's errors without keys.

        Raises:
            SourceError: the table cannot be read.
        """
        try:
            yield
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise self._said(error) from None

    def _said(self, error: Exception) -> SourceError:
        return SourceError(
            f"cannot be read as a Delta table ({masked(reason(error), self.options)[:300]})",
            hint="Check `source.delta.path`, `source.options`, and whether files of the table were "
            "vacuumed before they were read.",
        )

    def _at(self, version: int | None) -> DeltaTable:
        return DeltaTable(self.uri, version=version, storage_options=self._keys)

    @cached_property
    def _files(self) -> pafs.FileSystem:
        return pafs.PyFileSystem(DeltaStorageHandler(self.uri, self._keys))

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {k: str(v) for k, v in expanded(self.options, "source.options").items()}


def is_delta(place: str, options: dict[str, Any]) -> bool:
    """Whether a Delta table lies at an absolute path or URI."""
    table = SourceTable(place, options)
    try:
        return DeltaTable.is_deltatable(place, table._keys)
    except (DeltaError, OSError, ValueError):
        return False
