"""The `vae-anomaly init` command: a working config from data, and the tables."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def make_tables(console: Console, config: Path) -> None:
    """Make the tables that a config names; those that are there stay as they are."""
    from pipeline.config import load_config
    from pipeline.home import Home
    from pipeline.lake import Lake

    loaded, home = load_config(config), Home.resolve()
    Lake(loaded, home).create()
    console.print(
        f"Tables of {loaded.name!r} are in {home.path}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def write_config(
    console: Console, data: str, name: str | None, target: Path, force: bool = False
) -> None:
    """Look at data, write a config for it, make its tables, and say what was guessed."""
    from collections import defaultdict

    from pipeline.cli_output import facts
    from pipeline.inference import write_config as write

    with console.status("looking at the data") if console.is_terminal else nullcontext():
        config = write(data, target, name, force)
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
