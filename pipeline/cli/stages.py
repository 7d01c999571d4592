"""The commands of the main job, each by itself and all in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import DEFAULT_CONFIG, ConfigPath, load, terminal

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.home import Home


def ingest(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take new files into the tables, each exactly once.

    Rows that do not fit the schema go to quarantine with the reason; a file that cannot be used
    at all is left in place and named, the others go on, and the command ends with exit code 1.
    Files known already are skipped.

    Example:

        vae-anomaly ingest payments.yaml
    """
    loaded, home = load(config)
    _ingest(terminal(), loaded, home).raise_if_refused()


def train(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Fit a scorer on the training rows and log it with MLflow.

    The newest rows by event time are kept for calibration and never seen here. The scorer is not
    registered yet: that is what `calibrate` does. A training that was interrupted goes on.

    Examples:

        vae-anomaly train payments.yaml

        torchrun --nproc-per-node 4 -m pipeline.cli train payments.yaml
    """
    from pipeline import team

    loaded, home = load(config)
    if team.follows():
        team.follow(home, loaded)
        return
    _train(terminal(), loaded, home)


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
    loaded, home = load(config)
    _calibrate(terminal(), loaded, home, run, champion)


def score(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Score what was ingested since the last night and write the night's report.

    Continues a night that was interrupted. Each row is scored once by the champion of its night,
    however often and by however many processes this is run.

    Example:

        vae-anomaly score payments.yaml
    """
    loaded, home = load(config)
    _score(terminal(), loaded, home)


def run(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Do all four: ingest, train, calibrate, score.

    For the first time on new data. Afterwards `ingest` and `score` are what each night needs,
    and `train` and `calibrate` what a new model needs.

    Example:

        vae-anomaly init payments.csv && vae-anomaly run
    """
    loaded, home = load(config)
    console = terminal()
    ingested = _ingest(console, loaded, home)
    trained = _train(console, loaded, home)
    _calibrate(console, loaded, home, trained.run_id, False)
    _score(console, loaded, home)
    ingested.raise_if_refused()


def tune(
    config: ConfigPath = DEFAULT_CONFIG,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, your own settings being the first.")
    ] = 30,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds after which no further trial begins.", show_default="none"
        ),
    ] = None,
) -> None:
    """Search latent size, width and beta, without labels, and say what was found.

    Each trial trains on training rows and is judged on others of them: by the ELBO, and by how
    well it tells four kinds of synthetic anomalies from normal rows. Trials are MLflow runs below
    one parent run. The config is never changed: the best settings are printed as YAML to be put
    into it by hand. The same command again goes on where an interrupted one stopped.

    The defaults are meant to need none of this; `docs/sensitivity.md` shows what it brings.

    Examples:

        vae-anomaly tune payments.yaml

        vae-anomaly tune payments.yaml --trials 100 --timeout 3600
    """
    from pipeline.cli import output
    from pipeline.progress import shown
    from pipeline.tuning import tune as work

    loaded, home = load(config)
    console = terminal()
    with shown(console, "tune") as progress:
        result = work(home, loaded, trials=trials, timeout=timeout, progress=progress)
    output.tuned(console, loaded, result)


def rescore(
    config: ConfigPath = DEFAULT_CONFIG,
    version: Annotated[
        str, typer.Option(help="Number of the version, `champion` or `challenger`.")
    ] = "challenger",
    first: Annotated[int, typer.Option("--from", min=1, help="First row, by `_row_id`.")] = 1,
    last: Annotated[
        int | None, typer.Option("--to", help="Last row, included.", show_default="the newest")
    ] = None,
) -> None:
    """Score past rows again with another version, and compare with their nights.

    The nights keep their scores, alerts and reports: these go to the table `rescored`, one row for
    each row and version, however often this is run.

    Examples:

        vae-anomaly rescore payments.yaml

        vae-anomaly rescore payments.yaml --version 3 --from 100001 --to 250000
    """
    from pipeline.cli import output
    from pipeline.progress import shown
    from pipeline.rescoring import rescore as work

    loaded, home = load(config)
    console = terminal()
    wanted = int(version) if version.isdecimal() else version
    with shown(console, "rescore") as progress:
        result = work(home, loaded, wanted, first, last, progress=progress)
    output.rescored(console, loaded.name, result)


def _ingest(console: Console, config: Config, home: Home) -> Any:
    from pipeline.cli import output
    from pipeline.ingest import ingest as work
    from pipeline.progress import shown

    with shown(console, "ingest") as progress:
        result = work(home, config, progress=progress)
    output.ingested(console, result)
    return result


def _train(console: Console, config: Config, home: Home) -> Any:
    from pipeline.cli import output
    from pipeline.progress import shown
    from pipeline.training import train as work

    with shown(console, "train") as progress:
        result = work(home, config, progress=progress)
    output.trained(console, config.name, result)
    return result


def _calibrate(
    console: Console, config: Config, home: Home, run_id: str | None, champion: bool
) -> None:
    from pipeline.calibration import calibrate as work
    from pipeline.cli import output
    from pipeline.progress import shown

    with shown(console, "calibrate") as progress:
        result = work(home, config, run_id=run_id, recalibrate_champion=champion, progress=progress)
    output.calibrated(console, config.name, result)


def _score(console: Console, config: Config, home: Home) -> None:
    from pipeline.cli import output
    from pipeline.progress import shown
    from pipeline.scoring import score as work

    with shown(console, "score") as progress:
        night = work(home, config, progress=progress)
    output.scored(console, config.name, night)
