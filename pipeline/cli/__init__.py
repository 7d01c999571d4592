"""The `vae-anomaly` command.

Every command calls the function that the flow of the same name calls, and imports what it needs
when it runs: `--help` is there at once.
"""

from __future__ import annotations

import sys

import typer

from pipeline.cli.app import app
from pipeline.cli.champion import promote, rollback
from pipeline.cli.init import init
from pipeline.cli.making import (
    compress,
    denoise,
    generate,
    impute,
    interpolate,
    reconstruct,
    traverse,
)
from pipeline.cli.quality import quality
from pipeline.cli.report import report
from pipeline.cli.servers import deploy, doctor, serve
from pipeline.cli.stages import calibrate, ingest, rescore, run, score, train, tune

__all__ = ["main"]

# in the order of the help
COMMANDS = (
    *(init, ingest, train, calibrate, score, run),
    *(generate, reconstruct, traverse, interpolate, denoise, impute, compress),
    *(tune, quality, rescore, promote, rollback, report, serve, deploy, doctor),
)
for command in COMMANDS:
    app.command()(command)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `vae-anomaly` command; ends by `SystemExit`.

    Args:
        arguments: the words after `vae-anomaly`; those of this process when left out
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(given, prog_name="vae-anomaly")
    except Exception as error:
        if "--debug" in given:
            raise
        typer.echo(
            f"Unexpected error, {type(error).__name__}: {error}\n"
            "This should not happen. Run the command again as `vae-anomaly --debug …` and "
            "report what it prints.",
            err=True,
        )
        sys.exit(1)
