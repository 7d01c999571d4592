"""The MLflow store of a home: made where there is none, and reached or reported within seconds."""

from __future__ import annotations

import os
import re
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipeline.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from pipeline.home import Home

__all__ = ["connect", "described", "pyfunc"]

_PROBE_SECONDS = 5.0
# MLflow reads these when it is imported; what the user has set stays.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


def connect(home: Home) -> MlflowClient:
    """A client of the tracking store and registry, made sure to answer.

    Raises:
        TrackingError: it does not; said within seconds, with its address (without password).
    """
    uri = home.mlflow_uri
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    _probe(uri, home)
    import mlflow
    from mlflow.exceptions import MlflowException

    _use(uri)
    try:
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise _refusal(uri, error) from error
    return client


def _refusal(uri: str, error: MlflowException) -> TrackingError:
    """Why the store that answers cannot be used; a server's pages of HTML are not quoted."""
    said = re.sub(r"<[^>]*>", " ", error.message.splitlines()[0]).strip()
    hint = "Check MLFLOW_TRACKING_URI, or unset it to use the store in the home folder."
    status = re.search(r"\b(401|403)\b|not authenticated|Permission denied", error.message)
    if uri.startswith("http") and status:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        said = f"it refuses the user {user!r}" if user else "it asks for a user and a password"
        hint = (
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or let its administrator "
            "give that user the rights. A server also refuses names of its host that are not in "
            "its `--allowed-hosts`."
        )
    elif "schema" in error.message:
        hint = "Stop what uses it, make a backup, and run `mlflow db upgrade` on it."
    return TrackingError(f"the MLflow store at {_masked(uri)} cannot be used: {said}", hint=hint)


def described(home: Home) -> tuple[str | None, str]:
    """Who answers at the tracking store.

    Returns:
        Version of the server, None for a database; and a sentence for people, with the database's
        migration where it can be seen.

    Raises:
        TrackingError: it does not answer, or refuses.
    """
    uri = home.mlflow_uri
    if uri.startswith("sqlite:") and not Path(uri.removeprefix("sqlite:///")).exists():
        return None, f"{uri}: not there yet, made by the first training"
    if re.match(r"(sqlite|postgresql|mysql|mssql)", uri):
        if not uri.startswith("sqlite:"):
            _probe_database(uri)
        # asked first: MLflow's own client would fill an empty database
        revision = _revision(uri)
        if revision is None:
            return None, f"{_masked(uri)}: a database without tables, made by the first training"
        connect(home)
        return None, f"{_masked(uri)}: a database at migration {revision}, the newest"
    connect(home)
    if not uri.startswith("http"):
        return None, f"{_masked(uri)} answers"
    import requests

    answer = requests.get(f"{uri.rstrip('/')}/version", timeout=_PROBE_SECONDS)
    version = answer.text.strip() if answer.ok and len(answer.text) < 40 else "unknown"
    return version, f"{_masked(uri)}: MLflow {version} answers, the user is accepted"


def _revision(uri: str) -> str | None:
    """Migration that a database is at; None where it has no tables of MLflow's."""
    import sqlalchemy
    from alembic.runtime.migration import MigrationContext

    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise TrackingError(
            f"{_masked(uri)} is no database that MLflow can use: {getattr(error, 'orig', error)}",
            hint="Check MLFLOW_TRACKING_URI, or unset it to use the store in the home folder.",
        ) from error
    finally:
        engine.dispose()


def pyfunc() -> ModuleType:
    """``mlflow.pyfunc``, imported so that it works where warnings are errors.

    Its own import warns, and silences that for everybody but those who turn warnings into errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        import mlflow.pyfunc
    return mlflow.pyfunc


def _probe(uri: str, home: Home) -> None:
    """Fail at once where MLflow itself would retry for minutes."""
    if uri.startswith(("http://", "https://")):
        _probe_server(uri)
    elif uri.startswith("sqlite:"):
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            _make_store(uri, home)
    elif re.match(r"(postgresql|mysql|mssql)", uri):
        _probe_database(uri)
    elif not uri.startswith("databricks"):
        raise TrackingError(
            f"MLFLOW_TRACKING_URI={_masked(uri)} is not a store that holds a model registry",
            hint="Give http(s)://…, sqlite:///…, postgresql+psycopg2://…, or unset it.",
        )


def _probe_server(uri: str) -> None:
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_PROBE_SECONDS)
    except requests.RequestException as error:
        raise TrackingError(
            f"no MLflow server answers at {_masked(uri)}",
            hint="Start it (`mlflow server`), correct MLFLOW_TRACKING_URI, or unset it to use the "
            "store in the home folder.",
        ) from error


def _probe_database(uri: str) -> None:
    import sqlalchemy

    try:
        timeout = {"connect_timeout": int(_PROBE_SECONDS)} if "mssql" not in uri else {}
        engine = sqlalchemy.create_engine(uri, connect_args=timeout)
        with engine.connect():
            pass
        engine.dispose()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise TrackingError(
            f"the MLflow database at {_masked(uri)} does not answer: {reason}",
            hint="Start it, install its driver, or correct MLFLOW_TRACKING_URI.",
        ) from error


def _make_store(uri: str, home: Home) -> None:
    """Make the home's SQLite store whole or not at all: two first runs may come together."""
    file = Path(uri.removeprefix("sqlite:///"))
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    import mlflow

    part = file.with_name(f".{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{part}")
        client.search_experiments(max_results=1)
        _release(f"sqlite:///{part}")
        try:
            os.link(part, file)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _release(uri: str) -> None:
    """Close MLflow's connections to a store, so that its file can be moved."""
    from mlflow.tracking._tracking_service.utils import _get_store

    engine = getattr(_get_store(uri), "engine", None)
    if engine is not None:
        engine.dispose()


def _use(uri: str) -> None:
    """Point MLflow's global functions at the store, without the variable that it sets for it.

    MLflow writes ``MLFLOW_TRACKING_URI`` into this process's environment, where it would pass for
    the user's wish and outrank the next home.
    """
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _masked(uri: str) -> str:
    return re.sub(r"//([^:/@]+):[^@]+@", r"//\1:***@", uri)
