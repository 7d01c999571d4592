"""Where everything of one installation lies: tables, tracking store, databases, reports."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "VAE_ANOMALY_HOME"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT = ".vae-anomaly"


@dataclass(frozen=True)
class Home:
    """One folder that holds all state; every path it gives is absolute.

    Attributes:
        path: the folder; it need not exist yet.
    """

    path: Path

    @classmethod
    def resolve(cls, path: str | Path | None = None) -> Home:
        """The given folder, else `$VAE_ANOMALY_HOME`, else `./.vae-anomaly`, made absolute."""
        chosen = path or os.environ.get(HOME_VARIABLE) or DEFAULT
        return cls(Path(os.path.abspath(Path(chosen).expanduser())))  # noqa: PTH100 (keeps links)

    def table(self, name: str, table: str) -> str:
        """URI of the Delta table `table` of the data set `name`."""
        return str(self.path / "tables" / name / table)

    def reports(self, name: str) -> Path:
        """Folder of the nightly reports of the data set `name`."""
        return self.path / "reports" / name

    @property
    def mlflow_uri(self) -> str:
        """Tracking store: `$MLFLOW_TRACKING_URI` if set, else SQLite in the home."""
        return os.environ.get(TRACKING_VARIABLE) or f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        """Folder of MLflow's artifacts, where the tracking store is the home's own."""
        return self.path / "mlartifacts"

    @property
    def prefect_db(self) -> Path:
        """Prefect's SQLite database."""
        return self.path / "prefect" / "prefect.db"
