"""A working config from a data file: a role for every column, guessed and said so."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.config import FEATURES, Config, load_config
from pipeline.errors import ConfigError, SourceError
from pipeline.guesses import Guess, guess, settle
from pipeline.settings import Source
from pipeline.sources import find_files, fingerprint, open_file
from pipeline.values import is_text, plain, texts

SAMPLE_ROWS = 200_000
HISTORY_SHARE = 0.8
DELIMITERS = (",", ";", "\t", "|")
PLAIN_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]*$")
YAML_WORDS = {"null", "true", "false"}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
FEWEST_ROWS = 3  # least value of `split.until`
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Sample:
    """The first rows of a source.

    Attributes:
        source: how they were read.
        columns: cells by name, in the first file's order.
        rows: how many there are.
        complete: whether these are all rows of the source.
        cells_are_text, words_for_null: as `readers.Opened` has them.
    """

    source: Source
    columns: dict[str, pa.Array]
    rows: int
    complete: bool
    cells_are_text: bool
    words_for_null: bool


def write_config(
    data: str | Path, path: str | Path, name: str | None = None, force: bool = False
) -> Config:
    """Look at data and write a commented config for it.

    Args:
        data: a file, a folder or a glob.
        path: the YAML file to write.
        name: of the data set; None makes one of the data's name.
        force: overwrite an existing file.

    Returns:
        the config, read back.

    Raises:
        ConfigError: the file exists already, or the name is not usable.
        SourceError: there is no data, it cannot be read, or it has no usable column.
    """
    if name is not None and not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a data set",
            hint="Use small letters, digits and dashes only, at most 64.",
        )
    target = Path(os.path.abspath(path))  # noqa: PTH100 (keeps links)
    if target.exists() and not force:
        raise ConfigError(
            f"{target} exists already", hint="Choose another file, or overwrite it with --force."
        )
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent}", hint="Make it first.")
    text = config_text(data, target, name)
    target.write_text(text, encoding="utf-8")
    return load_config(target)


def config_text(data: str | Path, target: Path, name: str | None = None) -> str:
    """The YAML that `write_config` writes to `target`.

    Raises:
        SourceError: there is no data, it cannot be read, or it has no usable column.
    """
    place = os.path.abspath(Path(data).expanduser())  # noqa: PTH100 (keeps links and globs)
    sample = read_sample(place)
    text, words = sample.cells_are_text, sample.words_for_null
    guesses = settle({n: guess(n, c, text, words) for n, c in sample.columns.items()})
    if not any(g.role in FEATURES for g in guesses.values()):
        raise SourceError(
            f"{place} has no column to learn from: {', '.join(guesses)}",
            hint="Anomalies show in numbers and categories; ids and times alone do not do.",
        )
    return "\n".join(_lines(place, target, name or slug(place), sample, guesses)) + "\n"


def read_sample(place: str) -> Sample:
    """The first `SAMPLE_ROWS` rows, with encoding and delimiter found out.

    Raises:
        SourceError: no file, or the first one cannot be read.
    """
    files, _ = find_files(place, "auto", "Check the path; put a glob between quotes.")
    if not files:
        raise SourceError(
            f"{place} holds no CSV, Parquet or JSON lines file", hint="Name a file or a glob."
        )
    chunks: dict[str, list[pa.Array]] = {}
    unreadable = ""
    rows, source, complete = 0, Source.model_validate({"path": place}), True
    text, words = False, False
    for number, path in enumerate(files):
        try:
            if number == 0:
                source = _reading(path, place)
            opened = open_file(path, source)
            text, words = opened.cells_are_text, opened.words_for_null
            for batch in opened.batches:
                if rows >= SAMPLE_ROWS:
                    complete = False
                    break
                for name in batch.rows.schema.names:
                    chunks.setdefault(name, []).append(batch.rows.column(name))
                rows += batch.rows.num_rows
                unreadable = unreadable or next((m.reason for m in batch.malformed), "")
        except SourceError as error:
            if number == 0:
                raise SourceError(f"{path} {error.message}", hint=error.hint) from None
            # later files are judged one by one when they are ingested
        if not complete:
            break
    if rows == 0 and unreadable:
        raise SourceError(
            f"{files[0]} has no row that can be read (the first is {unreadable})",
            hint="JSON data must have one object on each line.",
        )
    if rows == 0:
        raise SourceError(f"{files[0]} has no rows", hint="Name data that has some.")
    columns = {n: _joined(c) for n, c in chunks.items()}
    return Sample(source, columns, rows, complete, text, words)


def slug(place: str) -> str:
    """A data set's name made of its file's or folder's name."""
    path = Path(place)
    while any(mark in path.name for mark in "*?["):
        path = path.parent
    stem = path.name if path.is_dir() else path.name.split(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:64] or "data"


def _reading(path: Path, place: str) -> Source:
    """Encoding and delimiter that fit the first file."""
    source = Source.model_validate({"path": place})
    try:
        fingerprint(path, source)
    except SourceError as error:
        if " text" not in error.message:
            raise
        source = source.model_copy(update={"encoding": _other_encoding(path)})
        fingerprint(path, source)
    if path.suffix.lower() in {".parquet", ".pq", ".jsonl", ".ndjson", ".json"}:
        return source
    with pa.input_stream(str(path), compression="detect") as stream:
        head = stream.read(65_536).decode(source.encoding, errors="replace").split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=head.count)
    return source.model_copy(update={"delimiter": delimiter if delimiter in head else ","})


def _other_encoding(path: Path) -> str:
    with pa.input_stream(str(path), compression="detect") as stream:
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


def _lines(
    place: str, target: Path, name: str, sample: Sample, guesses: dict[str, Guess]
) -> Iterable[str]:
    until = int(sample.rows * HISTORY_SHARE) if sample.complete else sample.rows
    until = max(until, FEWEST_ROWS)
    part = f"the first {HISTORY_SHARE:.0%} of them" if sample.complete else "those looked at"
    yield f"# Written by `vae-anomaly init` after looking at {sample.rows:,} rows. The roles are"
    yield "# guesses: read them before the first ingest."
    yield f"name: {_quoted(name)}"
    yield "source:"
    yield f"  path: {_quoted(_relative(place, target))}   # a file, a folder or a glob"
    if sample.source.encoding != "utf-8":
        yield f"  encoding: {sample.source.encoding}"
    if sample.source.delimiter != ",":
        yield f"  delimiter: {json.dumps(sample.source.delimiter)}"
    yield "# role: numeric, categorical, binary (the model sees these); id, time, label (kept with"
    yield "# the rows, never seen by the model); ignore. nullable: missing cells are data; where it"
    yield "# is not said, a row with a missing cell goes to quarantine."
    yield "columns:"
    for column, one in guesses.items():
        comment = f"   # {one.comment}" if one.comment else ""
        yield f"  {_quoted(column)}: {{{_settings(one)}}}{comment}"
    yield "split:"
    yield f"  until: {until}   # {part} train and calibrate; later rows are scored"
    yield "threshold:"
    yield "  alpha: 0.05   # at most this share of normal rows is flagged"
    yield "alerts:"
    yield "  expected_anomaly_share: 0.0   # true anomalies you expect, as a share of all rows"
    yield "schedule:   # cron lines; null for never"
    yield '  ingest: "0 1 * * *"'
    yield '  score: "0 2 * * *"'
    yield '  retrain: "0 3 * * 0"'
    yield "  timezone: UTC"


def _settings(one: Guess) -> str:
    parts = [f"role: {one.role}"]
    if one.nullable and one.role != "ignore":
        parts.append("nullable: true")
    if one.timezone:
        parts.append(f"timezone: {one.timezone}")
    if one.normal is not None:
        parts.append(f"normal: {json.dumps(one.normal, ensure_ascii=False)}")
    if one.values:
        parts.append(f"values: {json.dumps(list(one.values), ensure_ascii=False)}")
    return ", ".join(parts)


def _quoted(text: str) -> str:
    if PLAIN_KEY.match(text) and text.lower() not in YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _relative(place: str, target: Path) -> str:
    path = Path(place)
    inside = path.is_relative_to(target.parent) and path != target.parent
    return path.relative_to(target.parent).as_posix() if inside else place
