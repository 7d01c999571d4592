"""A working config from a data file: a role for every column, guessed and said so."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.config import FEATURES, Config, absolute, load_config
from pipeline.credentials import holds_secret
from pipeline.delta_source import is_delta
from pipeline.errors import ConfigError, SourceError
from pipeline.guesses import Guess, guess, settle
from pipeline.picture_guesses import beside_pictures, guess_pictures
from pipeline.sample import Sample, sample_of_delta, sample_of_files, sample_of_sql
from pipeline.source_settings import Source

HISTORY_SHARE = 0.8
PLAIN_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]*$")
YAML_WORDS = {"null", "true", "false"}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
FEWEST_ROWS = 3  # least value of `split.until`
DATABASE = re.compile(r"(?:postgresql|sqlite)(?:\+\w+)?://|\$\{\w+\}$")
SQLITE_FILE = re.compile(r"sqlite:///(.+)")


def write_config(
    data: str | Path,
    path: str | Path,
    name: str | None = None,
    force: bool = False,
    sql: dict[str, str | None] | None = None,
) -> Config:
    """Look at data and write a commented config for it.

    Args:
        data: a file, a folder, a glob, a Delta table, the URI of one of these, or a database URL.
        path: the YAML file to write.
        name: of the data set; None makes one of the data's name.
        force: overwrite an existing file.
        sql: of a database: `table` or `query`, and `watermark`.

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
    text = config_text(data, target, name, sql)
    target.write_text(text, encoding="utf-8")
    return load_config(target)


def config_text(
    data: str | Path,
    target: Path,
    name: str | None = None,
    sql: dict[str, str | None] | None = None,
) -> str:
    """The YAML that `write_config` writes to `target`.

    Raises:
        SourceError: there is no data, it cannot be read, or it has no usable column.
    """
    given = {k: v for k, v in (sql or {}).items() if v is not None}
    if given or DATABASE.match(str(data)):
        sample, place = _of_database(str(data), given, target)
    else:
        place = absolute(str(data), Path.cwd())
        sample = sample_of_delta(place) if is_delta(place, {}) else sample_of_files(place)
    text, words = sample.cells_are_text, sample.words_for_null
    found = {n: guess_pictures(c, sample.folder) for n, c in sample.columns.items()}
    guesses = {n: found[n] or guess(n, c, text, words) for n, c in sample.columns.items()}
    guesses = settle(beside_pictures(guesses))
    if not any(g.role in FEATURES for g in guesses.values()):
        raise SourceError(
            f"{place} has no column to learn from: {', '.join(guesses)}",
            hint="Anomalies show in numbers and categories; ids and times alone do not do.",
        )
    return "\n".join(_lines(place, target, name or slug(place), sample, guesses)) + "\n"


def _of_database(url: str, given: dict[str, str], target: Path) -> tuple[Sample, str]:
    """Rows of a database, and what gives the data set its name."""
    if holds_secret(url):
        raise ConfigError(
            "the database URL holds a password, which no config should",
            hint="Put it into an environment variable, and name that between single quotes: "
            "'postgresql://reader:${SHOP_PASSWORD}@host/shop'.",
        )
    if ("table" in given) == ("query" in given):
        raise ConfigError(
            "which rows of the database are meant?", hint="Give either --table or --query."
        )
    if found := SQLITE_FILE.fullmatch(url):
        file = absolute(found[1], Path.cwd())
        url = f"sqlite:///{_relative(file, target)}"
    sample = sample_of_sql({"url": url, **given}, target.parent)
    database = re.split(r"[/?]", url.partition("://")[2] + "//")[1].partition(".")[0]
    return sample, given.get("table", database).rpartition(".")[2]


def slug(place: str) -> str:
    """A data set's name made of its file's or folder's name."""
    path = Path(place)
    while any(mark in path.name for mark in "*?["):
        path = path.parent
    stem = path.name if path.is_dir() else path.name.split(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:64] or "data"


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
    yield from _source(place, target, sample.source)
    if sample.source.encoding != "utf-8":
        yield f"  encoding: {sample.source.encoding}"
    if sample.source.delimiter != ",":
        yield f"  delimiter: {json.dumps(sample.source.delimiter)}"
    pictures = any(one.role == "image" for one in guesses.values())
    if pictures:
        yield "# An image is the only column that the model sees; `role: condition` for what is"
        yield "# known of each picture, with `model: {variant: conditional, prior: conditional}`."
    yield "# role: numeric, categorical, binary (the model sees these); id, time, label (kept with"
    yield "# the rows, never seen by the model); ignore. nullable: missing cells are data; where it"
    yield "# is not said, a row with a missing cell goes to quarantine."
    yield "columns:"
    for column, one in guesses.items():
        comment = f"   # {one.comment}" if one.comment else ""
        yield f"  {_quoted(column)}: {{{_settings(one)}}}{comment}"
    yield "split:"
    yield f"  until: {until}   # {part} train and calibrate; later rows are scored"
    if pictures:
        yield "model:   # `network: conv` sees shapes better and takes many times as long"
        yield "  latent_dim: 32"
        yield "training: {max_steps: 3000}"
    yield "threshold:"
    yield "  alpha: 0.05   # at most this share of normal rows is flagged"
    yield "alerts:"
    yield "  expected_anomaly_share: 0.0   # true anomalies you expect, as a share of all rows"
    yield "schedule:   # cron lines; null for never"
    yield '  ingest: "0 1 * * *"'
    yield '  score: "0 2 * * *"'
    yield '  retrain: "0 3 * * 0"'
    yield "  timezone: UTC"


def _source(place: str, target: Path, source: Source) -> Iterable[str]:
    if source.sql:
        yield "  sql:"
        for key, value in source.sql.model_dump(exclude_defaults=True).items():
            yield f"    {key}: {_quoted(value)}"
    elif source.delta:
        yield f"  delta: {{path: {_quoted(_relative(place, target))}}}   # read version by version"
    else:
        yield f"  path: {_quoted(_relative(place, target))}   # a file, a folder or a glob"


def _settings(one: Guess) -> str:
    parts = [f"role: {one.role}"]
    if one.nullable and one.role != "ignore":
        parts.append("nullable: true")
    if one.timezone:
        parts.append(f"timezone: {one.timezone}")
    if one.normal is not None:
        parts.append(f"normal: {json.dumps(one.normal, ensure_ascii=False)}")
    if one.shape:
        parts.append(f"shape: {list(one.shape)}")
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
