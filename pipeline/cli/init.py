"""The `vae-anomaly init` command: a working config from data, and the tables."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFAULT_CONFIG, terminal

if TYPE_CHECKING:
    from rich.console import Console


def init(
    data: Annotated[
        str,
        typer.Argument(
            help="A file, a folder, a quoted glob, a Delta table, the URI of one of these, the URL "
            "of a database, or an existing config."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the data set, its tables and its model. Default: from DATA."),
    ] = None,
    config: Annotated[Path, typer.Option(help="Where to write the config.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing config.")] = False,
    table: Annotated[str | None, typer.Option(help="Of a database: TABLE or SCHEMA.TABLE.")] = None,
    query: Annotated[str | None, typer.Option(help="Of a database: a SELECT instead.")] = None,
    watermark: Annotated[
        str | None,
        typer.Option(help="Of a database: the column that grows with each new row."),
    ] = None,
) -> None:
    """Look at data, write a working config, and make the tables.

    Reads the schema and a sample of DATA and decides each column's role: numeric, categorical,
    binary, id, time, label or ignore. Read the config before going on: the roles are guesses, and
    a column that only looks like a number is better told so.

    Given an existing `.yaml` instead of data, makes the tables that it names and writes nothing
    else.

    Examples:

        vae-anomaly init payments.csv

        vae-anomaly init 'landing/*.parquet' --name payments --config payments.yaml

        vae-anomaly init 's3://bucket/landing/*.csv.gz' --name payments

        vae-anomaly init 'postgresql://reader:${PASSWORD}@host/shop' --table orders --watermark id

        vae-anomaly init configs/network.yaml
    """
    if Path(data).suffix in {".yaml", ".yml"}:
        make_tables(terminal(), Path(data))
    else:
        sql = {"table": table, "query": query, "watermark": watermark}
        write_config(terminal(), data, name, config, force, sql)


def make_tables(console: Console, config: Path) -> None:
    """Make the tables that a config names; those that are there stay as they are.

    Data that is not where the config says may still come: that is said, and no error.
    """
    from pipeline.config import is_uri, load_config
    from pipeline.errors import SourceError
    from pipeline.home import Home
    from pipeline.lake import Lake
    from pipeline.sources import list_files

    loaded, home = load_config(config), Home.resolve()
    Lake(loaded, home).create()
    console.print(
        f"Tables of {loaded.name!r} are in {home.place}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if loaded.source.kind == "path" and not is_uri(loaded.source_path):
        try:
            list_files(loaded)
        except SourceError as missing:
            console.print(
                f"No data yet: {missing}\n{missing.hint}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def write_config(
    console: Console,
    data: str,
    name: str | None,
    target: Path,
    force: bool = False,
    sql: dict[str, str | None] | None = None,
) -> None:
    """Look at data, write a config for it, make its tables, and say what was guessed."""
    from collections import defaultdict

    from pipeline.cli.output import facts
    from pipeline.inference import write_config as write

    with console.status("looking at the data") if console.is_terminal else nullcontext():
        config = write(data, target, name, force, sql)
    by_role: dict[str, list[str]] = defaultdict(list)
    for column, settings in config.columns.items():
        by_role[settings.role].append(column)
    facts(
        console,
        f"Data set {config.name}: {len(config.columns)} columns",
        {role: ", ".join(columns) for role, columns in by_role.items()},
    )
    console.print(f"Config   {config.path}", markup=False, highlight=False, soft_wrap=True)
    make_tables(console, target)
    console.print(
        "The roles are guesses: read the config, then `vae-anomaly run`.", highlight=False
    )
