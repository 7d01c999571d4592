"""Where everything of one installation lies: tables, tracking store, databases, reports."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import TrackingError, UserError

HOME_VARIABLE = "VAE_ANOMALY_HOME"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT = ".vae-anomaly"


@dataclass(frozen=True)
class Home:
    """One place that holds all state; every path and URI it gives is absolute.

    Attributes:
        path: the folder; it need not exist yet. Of a home in an object store: a folder on this
            machine for what can be made again, such as reports and fetched models.
        uri: of the place in an object store, without a slash at its end; None for a folder.
    """

    path: Path
    uri: str | None = None

    @classmethod
    def resolve(cls, place: str | Path | None = None) -> Home:
        """The given place, else `$VAE_ANOMALY_HOME`, else `./.vae-anomaly`, made absolute.

        Args:
            place: a folder, or the URI of one in an object store, such as `s3://bucket/folder`.

        Raises:
            UserError: a URI that names no place, or holds a password.
        """
        chosen = str(place or os.environ.get(HOME_VARIABLE) or DEFAULT)
        if "://" in chosen and not chosen.startswith("file://"):
            uri = _checked(chosen)
            return cls(_local_folder(uri), uri)
        if chosen.startswith("file://"):
            chosen = unquote(urlsplit(chosen).path)
        return cls(Path(os.path.abspath(Path(chosen).expanduser())))  # noqa: PTH100 (keeps links)

    @property
    def place(self) -> str:
        """URI or absolute path: what `resolve` turns into this home on any machine."""
        return self.uri or str(self.path)

    def table(self, name: str, table: str) -> str:
        """URI of the Delta table `table` of the data set `name`."""
        return f"{self.place}/tables/{name}/{table}"

    def reports(self, name: str) -> Path:
        """Folder of the nightly reports of the data set `name`."""
        return self.path / "reports" / name

    @property
    def mlflow_uri(self) -> str:
        """Tracking store: `$MLFLOW_TRACKING_URI` if set, else SQLite in the home.

        Raises:
            TrackingError: not set, and the home is in an object store, where no SQLite can be.
        """
        given = os.environ.get(TRACKING_VARIABLE)
        if not given and self.uri:
            raise TrackingError(
                f"the home {self.uri} needs an MLflow server, and {TRACKING_VARIABLE} is not set",
                hint=f"Set {TRACKING_VARIABLE} to its address. Without one the registry would be a "
                "file in the home folder, and an object store holds no database.",
            )
        return given or f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        """Folder of MLflow's artifacts, where the tracking store is the home's own."""
        return self.path / "mlartifacts"

    @property
    def mlflow_artifacts_uri(self) -> str:
        """URI of MLflow's artifacts where no MLflow server decides about it."""
        return f"{self.uri}/mlartifacts" if self.uri else self.mlflow_artifacts.as_uri()

    @property
    def prefect_db(self) -> Path:
        """Prefect's SQLite database."""
        return self.path / "prefect" / "prefect.db"


def _checked(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.password is not None or ("@" in parts.netloc and parts.scheme in ("s3", "s3a")):
        raise UserError(
            f"{HOME_VARIABLE} holds a key or a password",
            hint="Give the place alone, such as s3://bucket/folder, and the keys by the store's "
            "own variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if not parts.netloc or parts.query or parts.fragment:
        raise UserError(
            f"{HOME_VARIABLE}={uri} names no place in an object store",
            hint="Give scheme, bucket and folder alone, such as s3://bucket/folder.",
        )
    return uri.rstrip("/")


def _local_folder(uri: str) -> Path:
    """This machine's folder for a home in an object store; the same for every process of a user."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", uri)
    unlike_others = hashlib.sha256(uri.encode()).hexdigest()[:8]
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        base = Path(cache).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"no folder on this machine for reports and fetched models of {uri}: {error}",
            hint="Set HOME or XDG_CACHE_HOME to a folder that may be written to.",
        ) from error
    return Path(os.path.abspath(base / "vae-anomaly" / f"{name}-{unlike_others}"))  # noqa: PTH100
