"""What `vae-anomaly doctor` looks at, but for Prefect: packages, home, MLflow, data sets.

A check answers with findings and never raises for what a person can mend; it changes nothing.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.home import Home

OK, WARNING, WRONG = "ok", "warning", "wrong"
SHOWN = ("vae-anomaly", "torch", "mlflow", "prefect", "deltalake")


class Finding(NamedTuple):
    """One thing looked at.

    Attributes:
        about: what was looked at, in a word.
        state: `ok`, `warning` or `wrong`.
        detail: what was found.
        hint: what to do about it.
    """

    about: str
    state: str
    detail: str
    hint: str | None = None


def guarded(about: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a look; an error for people that it raises is one of them."""
    try:
        yield from look()
    except UserError as error:
        yield Finding(about, WRONG, error.message, error.hint)


def packages() -> Iterator[Finding]:
    """Installed versions, and those that this product does not work with."""
    wrong = unmet(metadata.requires("vae-anomaly") or [])
    shown = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN)
    yield Finding("packages", OK, f"Python {platform.python_version()}, {shown}")
    for said in wrong:
        yield Finding(
            "packages", WRONG, said, "Install again under the constraints: `make venv`, or "
            "`pip install -c constraints.txt vae-anomaly`."
        )  # fmt: skip


def unmet(requirements: Iterable[str]) -> list[str]:
    """In words, the requirements that the installed packages do not fulfil; extras do not count."""
    found = []
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            found.append(f"{wanted.name} is not installed, {wanted.specifier or 'any'} is needed")
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            found.append(f"{wanted.name} is {version}, needed is {wanted.specifier}")
    return found


def home(place: Home) -> Iterator[Finding]:
    """Whether the home can be read and written, and keeps writers apart."""
    from pipeline.probe import one_writer_commits

    if place.uri is None and not place.path.is_dir():
        yield Finding(
            "home",
            WRONG,
            f"there is no folder {place.path}",
            "`vae-anomaly init DATA` makes it; or set VAE_ANOMALY_HOME to the one that is there.",
        )
        return
    one_writer_commits(place)
    yield Finding("home", OK, f"{place.place}: read, written, and of several writers one commits")


def tracking(place: Home) -> Iterator[Finding]:
    """Whether MLflow answers and takes the user, its version and its database's migration."""
    from pipeline.mlflow_store import described

    version, detail = described(place)
    installed = metadata.version("mlflow")
    if version is not None and _minor(version) != _minor(installed):
        yield Finding(
            "mlflow",
            WARNING,
            f"{detail}; this machine has MLflow {installed}",
            "Install the same minor version on both sides: what one logs the other may not read.",
        )
    else:
        yield Finding("mlflow", OK, detail)


def data_set(place: Home, path: Path) -> Iterator[Finding]:
    """Config, tables, nights and champion of one data set."""
    from pipeline import nights
    from pipeline.config import load_config
    from pipeline.lake import Lake

    config = load_config(path)
    lake = Lake(config, place)
    lake.check_columns()
    for table in ("quarantine", "scores", "alerts", "nights"):
        lake.open(table)
    rows = lake.last_row_id()
    past = nights.history(lake)
    state = f"{len(past):,} nights" + ("" if not past or past[-1].is_closed else ", one open")
    yield Finding(config.name, OK, f"{rows:,} rows ingested, {state}")
    yield from _champion(place, config, rows)


def _champion(place: Home, config: Config, rows: int) -> Iterator[Finding]:
    from pipeline import registry

    version = registry.champion(place, config.name)
    if version is None:
        yield Finding(
            config.name,
            WARNING,
            "no champion yet: nights cannot be scored",
            "Run `vae-anomaly train` and `vae-anomaly calibrate`.",
        )
        return
    if version.calibration.last > rows:
        yield Finding(
            config.name,
            WRONG,
            f"the champion, version {version.version}, was calibrated on rows up to "
            f"{version.calibration.last:,}, and the tables hold {rows:,}: registry and tables are "
            "of different installations",
            "Set VAE_ANOMALY_HOME and MLFLOW_TRACKING_URI to the pair that belongs together.",
        )
        return
    registry.load_scorer(place, config.name, version.version, device="cpu")
    yield Finding(config.name, OK, f"champion is version {version.version}, and it loads")


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
