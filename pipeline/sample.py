"""The first rows of files, a Delta table or a database, for `init` to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.delta_source import SourceTable
from pipeline.errors import SourceError
from pipeline.files import Content
from pipeline.ledger import digest
from pipeline.readers import RawBatch
from pipeline.source_settings import Source, SqlSource
from pipeline.sources import by_kind, find_files, fingerprint, format_of, open_file
from pipeline.values import is_text, plain, texts

SAMPLE_ROWS = 200_000
SAMPLE_BYTES = 256 << 20
DELIMITERS = (",", ";", "\t", "|")
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Sample:
    """The first rows of a source.

    Attributes:
        source: how they were read.
        columns: cells by name, in the first file's order.
        rows: how many there are.
        complete: whether these are all rows of the source.
        cells_are_text, words_for_null, folder: as `readers.Opened` has them.
    """

    source: Source
    columns: dict[str, pa.Array]
    rows: int
    complete: bool
    cells_are_text: bool = False
    words_for_null: bool = False
    folder: Path | None = None


class _Chunks:
    """Cells by column, until there are enough rows."""

    def __init__(self) -> None:
        self.cells: dict[str, list[pa.Array]] = {}
        self.rows, self.bytes, self.full = 0, 0, False

    def add(self, rows: pa.RecordBatch) -> bool:
        """Keep some rows; False once there are enough."""
        if self.rows >= SAMPLE_ROWS or self.bytes >= SAMPLE_BYTES:
            self.full = True
            return False
        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            self.cells.setdefault(name, []).append(column)
        self.rows += rows.num_rows
        self.bytes += rows.nbytes
        return True

    def joined(self) -> dict[str, pa.Array]:
        return {name: _joined(chunks) for name, chunks in self.cells.items()}


def sample_of_files(place: str) -> Sample:
    """The first `SAMPLE_ROWS` rows, with encoding and delimiter found out.

    Raises:
        SourceError: no file, or the first one cannot be read.
    """
    files, _ = find_files(place, "auto", "Check the path; put a glob between quotes.")
    if not files:
        raise SourceError(
            f"{place} holds no CSV, Parquet, JSON lines, .npz, PNG or JPEG file",
            hint="Name a file or a glob.",
        )
    chunks, unreadable = _Chunks(), ""
    source, text, words = Source.model_validate({"path": place}), False, False
    folder: Path | None = None
    tables, pictures = by_kind(files, source)
    files = tables or sorted(pictures, key=lambda one: digest(one.name))  # as they are ingested
    for number, file in enumerate(files):
        try:
            with file.content() as content:
                if number == 0:
                    source = _reading(content, place)
                opened = open_file(content, source)
                text, words = opened.cells_are_text, opened.words_for_null
                folder = opened.folder if tables else None
                for batch in _until_full(opened.batches, chunks):
                    unreadable = unreadable or next((m.reason for m in batch.malformed), "")
        except SourceError as error:
            if number == 0:
                raise SourceError(f"{file.name} {error.message}", hint=error.hint) from None
            # later files are judged one by one when they are ingested
        if chunks.full:
            break
    if chunks.rows == 0 and unreadable:
        raise SourceError(
            f"{files[0].name} has no row that can be read (the first is {unreadable})",
            hint="JSON data must have one object on each line.",
        )
    return _sample(source, chunks, files[0].name, text, words, folder)


def sample_of_delta(place: str) -> Sample:
    """The first rows of a Delta table's newest version.

    Raises:
        SourceError: it cannot be read.
    """
    table, chunks = SourceTable(place, {}), _Chunks()
    try:
        newest, _ = table.newest()
        for _ in _until_full(table.rows(newest, None).batches, chunks):
            pass
    except SourceError as error:
        raise SourceError(f"{place} {error.message}", hint=error.hint) from None
    return _sample(Source.model_validate({"delta": {"path": place}}), chunks, place)


def sample_of_sql(settings: SqlSource | dict[str, Any], folder: Path) -> Sample:
    """The first rows of a table or query in order of its watermark.

    Args:
        settings: without `watermark`, the columns that could be one are listed.
        folder: at which relative paths of SQLite files start.

    Raises:
        SourceError: it cannot be read, or the watermark is missing.
    """
    from pipeline.databases import name_of, opened

    unmarked = {"watermark": "?", **dict(settings)}
    asked = SqlSource.model_validate({k: v for k, v in unmarked.items() if v is not None})
    chunks = _Chunks()
    try:
        with opened(asked, folder) as table:
            if asked.watermark not in table.types:
                fit = table.watermarks()
                raise SourceError(
                    "needs a watermark: a column that grows with each new row",
                    hint=f"Name it with --watermark. By its cells it could be: {', '.join(fit)}."
                    if fit
                    else "None of its columns holds whole numbers, dates or time stamps alone; "
                    "make one in a --query.",
                )
            for rows in table.sample(SAMPLE_ROWS + 1):
                if not chunks.add(rows):
                    break
    except SourceError as error:
        raise SourceError(f"{name_of(asked)} {error.message}", hint=error.hint) from None
    return _sample(Source.model_validate({"sql": asked.model_dump()}), chunks, name_of(asked))


def _sample(
    source: Source,
    chunks: _Chunks,
    name: str,
    text: bool = False,
    words: bool = False,
    folder: Path | None = None,
) -> Sample:
    if chunks.rows == 0:
        raise SourceError(f"{name} has no rows", hint="Name data that has some.")
    return Sample(source, chunks.joined(), chunks.rows, not chunks.full, text, words, folder)


def _until_full(batches: Iterator[RawBatch], chunks: _Chunks) -> Iterator[RawBatch]:
    for batch in batches:
        if not chunks.add(batch.rows):
            return
        yield batch


def _reading(content: Content, place: str) -> Source:
    """Encoding and delimiter that fit the first file."""
    source = Source.model_validate({"path": place})
    try:
        fingerprint(content, source)
    except SourceError as error:
        if " text" not in error.message:
            raise
        source = source.model_copy(update={"encoding": _other_encoding(content)})
        fingerprint(content, source)
    if format_of(content, source) != "csv":
        return source
    with content.stream() as stream:
        head = stream.read(65_536).decode(source.encoding, errors="replace").split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    return source.model_copy(update={"delimiter": delimiter if delimiter in head else ","})


def _other_encoding(content: Content) -> str:
    with content.stream() as stream:
        return "utf-16" if stream.read(2) in UTF_16_MARKS else "latin-1"


def _joined(chunks: list[pa.Array]) -> pa.Array:
    arrays = [plain(chunk) for chunk in chunks]
    kinds = {a.type for a in arrays if not pa.types.is_null(a.type)}
    if len(kinds) > 1:
        nested = any(pa.types.is_nested(kind) for kind in kinds)
        arrays = [
            a if nested else (a.cast(pa.string()) if is_text(a.type) else texts(a)) for a in arrays
        ]
        if nested:
            return arrays[0]
    elif kinds:
        (kind,) = kinds
        arrays = [a.cast(kind) for a in arrays]
    return pa.concat_arrays(arrays)
