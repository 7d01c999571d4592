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

    from pipeline.home import Home

__all__ = ["connect", "pyfunc"]

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
        raise TrackingError(
            f"the MLflow store at {_masked(uri)} cannot be used: {error.message.splitlines()[0]}",
            hint="Check MLFLOW_TRACKING_URI, or unset it to use the store in the home folder.",
        ) from error
    return client


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
