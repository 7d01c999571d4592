"""The `vae-anomaly report` command: find a night's report, writing it where it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import DEFAULT_CONFIG, ConfigPath, load
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home


def report(
    config: ConfigPath = DEFAULT_CONFIG,
    night: Annotated[int | None, typer.Option(help="Night. Default: the last one.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Write it anew from the tables.")] = False,
) -> None:
    """Say where a night's report is, or open it.

    It is one HTML file that needs nothing else: send it, print it, put it on a page. Written from
    the tables where it is missing.

    Examples:

        vae-anomaly report payments.yaml

        vae-anomaly report payments.yaml --night 12 --open
    """
    loaded, home = load(config)
    path = find(home, loaded, night, again)
    typer.echo(path)
    if show:
        typer.launch(path.as_uri())


def find(home: Home, config: Config, night_id: int | None, again: bool = False) -> Path:
    """Path of a night's report.

    Args:
        home: holds tables and reports
        config: of the data set
        night_id: the night; the last closed one when left out
        again: write it anew from the tables even where it is there

    Raises:
        UserError: no such night, or none closed yet
    """
    from pipeline import nights, report
    from pipeline.lake import Lake

    if night_id is None:
        closed = [n.night_id for n in nights.history(Lake(config, home)) if n.is_closed]
        if not closed:
            raise UserError(
                f"no night of {config.name!r} has been scored yet, so there is no report",
                hint="`vae-anomaly score` scores one, once there is a model and new rows.",
            )
        night_id = closed[-1]
    path = report.path_of(home, config.name, night_id)
    if again or not path.exists():
        report.write(home, config, night_id)
    return path
