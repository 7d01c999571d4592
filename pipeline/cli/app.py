"""The `vae-anomaly` command itself: its options, its errors, and what its commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pipeline.errors import UserError, describe

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.home import Home

DEFAULT_CONFIG = Path("vae-anomaly.yaml")


class _Commands(TyperGroup):
    """Commands whose errors are a message and a hint; `--debug` shows where they came from."""

    def invoke(self, ctx: Any) -> Any:  # typer brings a click of its own in some versions
        try:
            return super().invoke(ctx)
        except UserError as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(describe(error), err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("\nInterrupted. Nothing is lost: run the same command again.", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""Watch data you already collect: which rows are abnormal, how sure, and why.

Learns what normal looks like with a variational autoencoder, without labels, and flags rows at a
false-alarm rate that it promises and checks.

**First time**, with a file or a folder of CSV, Parquet, JSON lines, or pictures:

    vae-anomaly init DATA      # looks at the data, writes vae-anomaly.yaml
    vae-anomaly run            # ingest, train, calibrate, score
    vae-anomaly report         # where the report is

**Every night**, by hand or by `vae-anomaly serve`:

    vae-anomaly ingest && vae-anomaly score

Everything is kept in one home: `$VAE_ANOMALY_HOME`, a folder or `s3://…`, else
`./.vae-anomaly`.
MLflow's store is there too unless `MLFLOW_TRACKING_URI` says otherwise.
""",
)

ConfigPath = Annotated[
    Path,
    typer.Argument(metavar="[CONFIG]", help="The data set's YAML.", show_default=True),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("vae-anomaly"))
        raise typer.Exit


@app.callback()
def options(
    home: Annotated[
        str | None,
        typer.Option(
            help="Home of tables, runs and reports: a folder, or s3://BUCKET/FOLDER and the like.",
            envvar="VAE_ANOMALY_HOME",
            show_default="./.vae-anomaly",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that go before the command."""
    if home is not None:
        from pipeline.home import Home

        given = Home.resolve(home)
        os.environ["VAE_ANOMALY_HOME"] = given.uri or str(given.path.resolve())
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # its migrations are no news


def terminal() -> Console:
    """Where commands print."""
    from rich.console import Console

    return Console()


def load(path: Path) -> tuple[Config, Home]:
    """The config at `path` and the home; says how to get a config where there is none."""
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.home import Home

    if path == DEFAULT_CONFIG and not path.exists():
        raise ConfigError(
            f"there is no {DEFAULT_CONFIG} here, and no config was named",
            hint="Write one with `vae-anomaly init DATA`, or name one: `vae-anomaly … CONFIG`.",
        )
    return load_config(path), Home.resolve()


def load_existing(config: Path) -> tuple[Config, Home]:
    """As `load`, and the home holds the data set: a wrong one must not grow a second store."""
    from pipeline.lake import Lake

    loaded, home = load(config)
    Lake(loaded, home).open("ingested")
    return loaded, home
