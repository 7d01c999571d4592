"""Versions of the registered model: register, load, promote, roll back.

A data set's ``name`` is its registered model's. Two aliases tell versions apart: ``champion``
scores the nights, ``challenger`` is the newest one that is not champion. What happened to a version
stands in its own tags.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import tracking
from pipeline.errors import RegistryError
from pipeline.provenance import code_version
from pipeline.versions import CHALLENGER, CHAMPION, Version, by_alias, every, find, listed

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipeline.home import Home
    from pipeline.packaging import Columns
    from pipeline.split import Range
    from vae_core import Scorer

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "Version",
    "champion",
    "get",
    "load_scorer",
    "promote",
    "register",
    "rollback",
    "stream_start",
    "versions",
]

PREVIOUS, STREAM_START = "previous_champion", "stream_start"


def register(
    run: tracking.Run,
    name: str,
    scorer: Scorer,
    example: Columns,
    calibration: Range,
    tags: Mapping[str, Any] | None = None,
) -> int:
    """Log a calibrated scorer as a model of the run, register it, and make it challenger.

    Args:
        run: the calibrating run.
        name: of the registered model.
        scorer: calibrated.
        example: a few rows, (N,) per column.
        calibration: rows that calibrated it.
        tags: recorded with the version.

    Returns:
        The version's number.
    """
    from mlflow.exceptions import MlflowException

    from pipeline.packaging import log_model

    threshold = scorer.thresholds["anomaly_score"]
    facts = {
        "calibration_first": calibration.first,
        "calibration_last": calibration.last,
        "calibration_rows": threshold.n,
        "score": scorer.score_kind,
        "method": threshold.method,
        "alpha": repr(threshold.alpha),
        "threshold": repr(threshold.value),
        "code_version": code_version(),
        **(tags or {}),
    }
    texts = {key: str(value) for key, value in facts.items()}
    model_id = log_model(run, scorer, example, texts)
    client = run.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name, f"models:/{model_id}", run.run_id, tags=texts, model_id=model_id
    )
    client.set_registered_model_alias(name, CHALLENGER, created.version)
    return int(created.version)


def champion(home: Home, name: str) -> Version | None:
    """The version that scores the nights; None before the first."""
    return by_alias(tracking.connect(home), name, CHAMPION)


def get(home: Home, name: str, version: int | str) -> Version:
    """A version by number, ``"champion"`` or ``"challenger"``.

    Raises:
        RegistryError: there is none; the message lists those there are.
    """
    return find(tracking.connect(home), name, version)


def versions(home: Home, name: str) -> list[Version]:
    """All versions, oldest first."""
    return every(tracking.connect(home), name)


def load_scorer(
    home: Home, name: str, version: int | str = CHAMPION, device: str = "auto"
) -> Scorer:
    """A version's scorer, run by the core that is packaged with it.

    So a version scores as it did when it was registered, whatever is installed since.

    Args:
        home: holds the registry, and a cache of versions that lie on a server.
        name: of the registered model.
        version: number, ``"champion"`` or ``"challenger"``.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        RegistryError: there is no such version, or its files cannot be read.
    """
    client = tracking.connect(home)
    folder = _folder(client, home, find(client, name, version))
    tracking.pyfunc()
    from pipeline.model_code import load_package

    try:
        core = load_package(folder / "artifacts" / "vae_core")
        scorer: Scorer = core.Scorer.load(folder / "artifacts" / "scorer", device=device)
    except FileNotFoundError as error:
        raise RegistryError(
            f"the files of {name!r} version {version} are incomplete: {error.filename} is missing",
            hint="Calibrate again to register a whole version.",
        ) from error
    return scorer


def promote(home: Home, name: str, version: int | str | None = None) -> Version:
    """Make a version champion; the present one is remembered for ``rollback``.

    Args:
        home: holds the registry.
        name: of the registered model.
        version: the challenger if left out.

    Returns:
        The champion.

    Raises:
        RegistryError: there is no such version.
    """
    client = tracking.connect(home)
    chosen = find(client, name, CHALLENGER if version is None else version)
    present = by_alias(client, name, CHAMPION)
    if present is not None and present.version == chosen.version:
        return present
    now = _now()
    if present is not None:
        client.set_model_version_tag(name, str(chosen.version), PREVIOUS, str(present.version))
        _note(client, present, f"{now} replaced by version {chosen.version}")
    _crown(client, chosen, f"{now} promoted")
    if CHALLENGER in chosen.aliases:
        client.delete_registered_model_alias(name, CHALLENGER)
    return find(client, name, chosen.version)


def rollback(home: Home, name: str) -> Version:
    """Make the champion's predecessor champion again.

    Returns:
        The champion.

    Raises:
        RegistryError: there is no champion, or it had no predecessor.
    """
    client = tracking.connect(home)
    present = by_alias(client, name, CHAMPION)
    if present is None:
        raise RegistryError(
            f"{name!r} has no champion to roll back from",
            hint="Run `vae-anomaly train` and `vae-anomaly calibrate`, or promote a version.",
        )
    if PREVIOUS not in present.tags:
        raise RegistryError(
            f"version {present.version} of {name!r} is the first champion: there is none before it",
            hint=f"Promote another version: {listed(client, name)}.",
        )
    before = find(client, name, int(present.tags[PREVIOUS]))
    now = _now()
    _note(client, present, f"{now} rolled back to version {before.version}")
    _crown(client, before, f"{now} champion again, after version {present.version}")
    return find(client, name, before.version)


def stream_start(home: Home, name: str) -> int:
    """First row that nights score: the one after the first champion's calibration rows.

    Fixed when the first champion is crowned; later versions never move it.

    Raises:
        RegistryError: there has been no champion.
    """
    client = tracking.connect(home)
    present = find(client, name, CHAMPION)
    tags = client.get_registered_model(name).tags
    return int(tags.get(STREAM_START, present.calibration.last + 1))


def _crown(client: MlflowClient, version: Version, note: str) -> None:
    if STREAM_START not in client.get_registered_model(version.name).tags:
        client.set_registered_model_tag(
            version.name, STREAM_START, str(version.calibration.last + 1)
        )
    client.set_registered_model_alias(version.name, CHAMPION, str(version.version))
    _note(client, version, note)


def _note(client: MlflowClient, version: Version, text: str) -> None:
    """Append to the version's history, the newest last; MLflow keeps 5,000 characters of a tag."""
    tags = client.get_model_version(version.name, str(version.version)).tags
    history: list[str] = json.loads(tags.get("history", "[]"))
    history = [*history, text][-40:]
    client.set_model_version_tag(version.name, str(version.version), "history", json.dumps(history))


def _folder(client: MlflowClient, home: Home, version: Version) -> Path:
    """Where the version's files lie: in place if local, else in the home's cache."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    source = client.get_model_version_download_uri(version.name, str(version.version))
    if source.startswith(("file:", "/")):
        return Path(download_artifacts(artifact_uri=source))
    # A version never changes, and a name used again after deletion has another run.
    cached = home.path / "cache" / "models" / f"{version.name}-{version.version}-{version.run_id}"
    if not cached.exists():
        part = cached.with_name(f".{cached.name}.{uuid.uuid4().hex}")
        part.mkdir(parents=True)
        try:
            got = download_artifacts(
                artifact_uri=version.uri, dst_path=str(part), tracking_uri=home.mlflow_uri
            )
            Path(got).rename(cached)
        except MlflowException as error:
            raise RegistryError(
                f"the files of {version.name!r} version {version.version} cannot be fetched: "
                f"{error.message.splitlines()[0]}"
            ) from error
        except OSError:
            if not cached.exists():  # somebody else fetched it in this very moment
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return cached


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
