"""The `vae-anomaly` command.

Every command calls the function that the flow of the same name calls, and imports what it needs
when it runs: `--help` is there at once.
"""

from __future__ import annotations

import os
import sys
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

**First time**, with a file or a folder of CSV, Parquet or JSON lines:

    vae-anomaly init DATA      # looks at the data, writes vae-anomaly.yaml
    vae-anomaly run            # ingest, train, calibrate, score
    vae-anomaly report         # where the report is

**Every night**, by hand or by `vae-anomaly serve`:

    vae-anomaly ingest && vae-anomaly score

Everything is kept in one home folder: `$VAE_ANOMALY_HOME`, else `./.vae-anomaly`.
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
        Path | None,
        typer.Option(
            help="Home folder of tables, runs and reports.",
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
        os.environ["VAE_ANOMALY_HOME"] = str(home.expanduser().resolve())
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # its migrations are no news


@app.command()
def init(
    data: Annotated[
        str, typer.Argument(help="A file, a folder, a quoted glob, or an existing config.")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the data set, its tables and its model. Default: from DATA."),
    ] = None,
    config: Annotated[Path, typer.Option(help="Where to write the config.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing config.")] = False,
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

        vae-anomaly init configs/network.yaml
    """
    from pipeline import cli_init

    if Path(data).suffix in {".yaml", ".yml"}:
        cli_init.make_tables(_console(), Path(data))
    else:
        cli_init.write_config(_console(), data, name, config, force)


@app.command()
def ingest(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take new files into the tables, each exactly once.

    Rows that do not fit the schema go to quarantine with the reason; a file that cannot be used
    at all is left in place and named, the others go on, and the command ends with exit code 1.
    Files known already are skipped.

    Example:

        vae-anomaly ingest payments.yaml
    """
    loaded, home = _load(config)
    _ingest(_console(), loaded, home).raise_if_refused()


@app.command()
def train(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Fit a scorer on the training rows and log it with MLflow.

    The newest rows by event time are kept for calibration and never seen here. The scorer is not
    registered yet: that is what `calibrate` does.

    Example:

        vae-anomaly train payments.yaml
    """
    loaded, home = _load(config)
    _train(_console(), loaded, home)


@app.command()
def calibrate(
    config: ConfigPath = DEFAULT_CONFIG,
    run: Annotated[
        str | None,
        typer.Option(help="MLflow run of the scorer. Default: the newest finished one."),
    ] = None,
    champion: Annotated[
        bool,
        typer.Option(
            "--champion",
            help="Recalibrate the present champion on the config's `calibration_rows`.",
        ),
    ] = False,
) -> None:
    """Fit the thresholds, register the version and run its gates.

    A version that passes becomes champion where there is none yet, or where it is no worse than
    the present one. Refuses, with the number of rows it needs, where there are too few to keep
    the promised rate.

    Examples:

        vae-anomaly calibrate payments.yaml

        vae-anomaly calibrate payments.yaml --champion
    """
    loaded, home = _load(config)
    _calibrate(_console(), loaded, home, run, champion)


@app.command()
def score(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Score what was ingested since the last night and write the night's report.

    Continues a night that was interrupted. Each row is scored once by the champion of its night,
    however often and by however many processes this is run.

    Example:

        vae-anomaly score payments.yaml
    """
    loaded, home = _load(config)
    _score(_console(), loaded, home)


@app.command()
def run(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Do all four: ingest, train, calibrate, score.

    For the first time on new data. Afterwards `ingest` and `score` are what each night needs,
    and `train` and `calibrate` what a new model needs.

    Example:

        vae-anomaly init payments.csv && vae-anomaly run
    """
    loaded, home = _load(config)
    console = _console()
    ingested = _ingest(console, loaded, home)
    trained = _train(console, loaded, home)
    _calibrate(console, loaded, home, trained.run_id, False)
    _score(console, loaded, home)
    ingested.raise_if_refused()


@app.command()
def serve(
    configs: Annotated[
        list[Path] | None, typer.Argument(metavar="[CONFIG]...", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Prefect's port; 0: any free one.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="MLflow's port; 0: any free one.")] = 5000,
) -> None:
    """Run everything on this machine: Prefect server, MLflow pages, scheduled runs.

    Stays until Ctrl-C, which stops all of it. Times are the config's `schedule`. Servers named by
    `PREFECT_API_URL` and `MLFLOW_TRACKING_URI` are used instead of new ones.

    Examples:

        vae-anomaly serve

        vae-anomaly serve payments.yaml sensors.yaml --port 4300
    """
    _replace_by(
        "flows.serve",
        *[str(config) for config in configs or [DEFAULT_CONFIG]],
        *("--host", host, "--port", str(port), "--mlflow-port", str(mlflow_port)),
    )


@app.command()
def deploy(
    configs: Annotated[
        list[Path] | None, typer.Argument(metavar="[CONFIG]...", show_default=False)
    ] = None,
    pool: Annotated[str, typer.Option(help="Process work pool, made if missing.")] = "vae-anomaly",
    paused: Annotated[bool, typer.Option("--paused", help="Leave the schedules off.")] = False,
) -> None:
    """Deploy to the Prefect server at `PREFECT_API_URL`, for process workers.

    Makes the tables and the work pool, stores absolute paths, and sets the schedules of the
    config. The first data set's deployments are `ingest/nightly`, `score/nightly`,
    `retrain/weekly`, `train/manual` and `calibrate/manual`; each further one's are `…-NAME`.

    Examples:

        vae-anomaly deploy configs/network.yaml configs/taxi.yaml

        prefect worker start --pool vae-anomaly
    """
    _replace_by(
        "flows.deploy",
        *[str(config) for config in configs or [DEFAULT_CONFIG]],
        *("--pool", pool, *(["--paused"] if paused else [])),
    )


@app.command()
def promote(
    config: ConfigPath = DEFAULT_CONFIG,
    version: Annotated[
        int | None, typer.Option(help="Version to promote. Default: the challenger.")
    ] = None,
) -> None:
    """Make a version the champion: the one that nights and `models:/NAME@champion` use.

    Examples:

        vae-anomaly promote payments.yaml

        vae-anomaly promote payments.yaml --version 3
    """
    from pipeline import registry

    loaded, home = _load_existing(config)
    registry.promote(home, loaded.name, version)
    _say_champion(loaded, home)


@app.command()
def rollback(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Give the place of champion back to the version that had it before.

    Example:

        vae-anomaly rollback payments.yaml
    """
    from pipeline import registry

    loaded, home = _load_existing(config)
    registry.rollback(home, loaded.name)
    _say_champion(loaded, home)


@app.command()
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
    from pipeline import cli_report

    loaded, home = _load(config)
    path = cli_report.find(home, loaded, night, again)
    typer.echo(path)
    if show:
        typer.launch(path.as_uri())


def _console() -> Console:
    from rich.console import Console

    return Console()


def _load(path: Path) -> tuple[Config, Home]:
    from pipeline.config import load_config
    from pipeline.errors import ConfigError
    from pipeline.home import Home

    if path == DEFAULT_CONFIG and not path.exists():
        raise ConfigError(
            f"there is no {DEFAULT_CONFIG} here, and no config was named",
            hint="Write one with `vae-anomaly init DATA`, or name one: `vae-anomaly … CONFIG`.",
        )
    return load_config(path), Home.resolve()


def _load_existing(config: Path) -> tuple[Config, Home]:
    """As `_load`, and the home holds the data set: a wrong one must not grow a second store."""
    from pipeline.lake import Lake

    loaded, home = _load(config)
    Lake(loaded, home).open("ingested")
    return loaded, home


def _ingest(console: Console, config: Config, home: Home) -> Any:
    from pipeline import cli_output
    from pipeline.ingest import ingest as work
    from pipeline.progress import shown

    with shown(console, "ingest") as progress:
        result = work(home, config, progress=progress)
    cli_output.ingested(console, result)
    return result


def _train(console: Console, config: Config, home: Home) -> Any:
    from pipeline import cli_output
    from pipeline.progress import shown
    from pipeline.training import train as work

    with shown(console, "train") as progress:
        result = work(home, config, progress=progress)
    cli_output.trained(console, config.name, result)
    return result


def _calibrate(
    console: Console, config: Config, home: Home, run_id: str | None, champion: bool
) -> None:
    from pipeline import cli_output
    from pipeline.calibration import calibrate as work
    from pipeline.progress import shown

    with shown(console, "calibrate") as progress:
        result = work(home, config, run_id=run_id, recalibrate_champion=champion, progress=progress)
    cli_output.calibrated(console, config.name, result)


def _score(console: Console, config: Config, home: Home) -> None:
    from pipeline import cli_output
    from pipeline.progress import shown
    from pipeline.scoring import score as work

    with shown(console, "score") as progress:
        night = work(home, config, progress=progress)
    cli_output.scored(console, config.name, night)


def _say_champion(config: Config, home: Home) -> None:
    from pipeline import registry

    version = registry.champion(home, config.name)
    typer.echo(f"{config.name}: the champion is version {version.version if version else None}")


def _replace_by(module: str, *arguments: str) -> None:
    """Become `python -m module`: this package does not import what serves and deploys."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


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


if __name__ == "__main__":
    main()
