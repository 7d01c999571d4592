"""Versions of a registered model as MLflow tells them: by number, by alias, all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.split import Range

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    Attributes:
        name: of the model and the data set.
        version: 1, 2, ….
        run_id: of the run that calibrated it.
        calibration: rows that calibrated it.
        alpha: promised false-positive rate.
        tags: all that is recorded of it.
        aliases: ``champion``, ``challenger`` or none.
    """

    name: str
    version: int
    run_id: str
    calibration: Range
    alpha: float
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        """Address for ``mlflow.pyfunc.load_model``."""
        return f"models:/{self.name}/{self.version}"

    @property
    def training_run(self) -> str:
        """The run that trained its scorer."""
        return self.tags.get("training_run", "")


def find(client: MlflowClient, name: str, version: int | str) -> Version:
    """A version by number, ``"champion"`` or ``"challenger"``.

    Raises:
        RegistryError: there is none; the message lists those there are.
    """
    from mlflow.exceptions import MlflowException

    if version in (CHAMPION, CHALLENGER):
        found = by_alias(client, name, str(version))
        if found is None:
            raise RegistryError(
                f"{name!r} has no {version}; versions: {listed(client, name)}",
                hint="Run `vae-anomaly train` and `vae-anomaly calibrate`, or promote a version.",
            )
        return found
    if not str(version).isdigit():
        raise RegistryError(
            f"{version!r} is no version of {name!r}: give a number, champion or challenger"
        )
    try:
        return _read(client.get_model_version(name, str(version)))
    except MlflowException as error:
        raise RegistryError(
            f"{name!r} has no version {version}; versions: {listed(client, name)}"
        ) from error


def by_alias(client: MlflowClient, name: str, alias: str) -> Version | None:
    """The version that bears an alias; None where none does."""
    from mlflow.exceptions import MlflowException

    try:
        return _read(client.get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def every(client: MlflowClient, name: str) -> list[Version]:
    """All versions, oldest first."""
    found = client.search_model_versions(f"name = '{name}'", max_results=1000)
    return sorted((_read(one) for one in found), key=lambda one: one.version)


def listed(client: MlflowClient, name: str) -> str:
    """The numbers there are, for messages."""
    return ", ".join(str(one.version) for one in every(client, name)) or "none yet"


def _read(stored: ModelVersion) -> Version:
    tags = dict(stored.tags)
    return Version(
        name=stored.name,
        version=int(stored.version),
        run_id=stored.run_id or "",
        calibration=Range(
            int(tags.get("calibration_first", 0)), int(tags.get("calibration_last", 0))
        ),
        alpha=float(tags.get("alpha", "nan")),
        tags=tags,
        aliases=tuple(stored.aliases),
    )
