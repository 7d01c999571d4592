"""MLflow runs: one per train, calibrate and score, each with config, data, metrics and figures.

Everything goes through ``MlflowClient`` with an explicit store, so that threads and several homes
in one process do not meet in MLflow's global state.
"""

from __future__ import annotations

import json
import math
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline.errors import TrackingError
from pipeline.mlflow_store import connect, pyfunc
from pipeline.provenance import code_version

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

    from pipeline.config import Config
    from pipeline.home import Home

__all__ = [
    "Run",
    "TrackingError",
    "connect",
    "find_runs",
    "newest_run",
    "pyfunc",
    "resume",
    "start",
    "without_nan",
]

_BATCH = 1000


@dataclass(frozen=True)
class Run:
    """One MLflow run under way.

    Attributes:
        client: of the tracking store.
        run_id: of this run.
        experiment_id: of the data set's experiment.
    """

    client: MlflowClient
    run_id: str
    experiment_id: str

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Tags of the run."""
        from mlflow.entities import RunTag

        self.client.log_batch(self.run_id, tags=[RunTag(k, str(v)) for k, v in tags.items()])

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters, in batches; values longer than MLflow takes are cut."""
        from mlflow.entities import Param

        items = [Param(metric_name(k), str(v)[:6000]) for k, v in params.items()]
        for start in range(0, len(items), 100):
            self.client.log_batch(self.run_id, params=items[start : start + 100])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Final metrics in one batch; values that are not finite are left out."""
        self._log([(metric_name(k), float(v), step) for k, v in metrics.items()])

    def log_history(self, history: Sequence[Mapping[str, float]], prefix: str = "") -> None:
        """Metrics of every entry at its ``step``, all in batches.

        Args:
            history: dicts with ``step`` (or ``epoch``) and metrics, as training reports them.
            prefix: put before each name.
        """
        rows = []
        for index, entry in enumerate(history):
            step = int(entry.get("step", entry.get("epoch", index)))
            rows += [
                (metric_name(prefix + key), float(value), step)
                for key, value in entry.items()
                if key != "step"
            ]
        self._log(rows)

    def log_figure(self, figure: Figure, name: str) -> None:
        """A figure as ``figures/NAME.png``; letters that its font lacks are drawn as boxes."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
            self.client.log_figure(self.run_id, figure, f"figures/{name}.png")

    def log_text(self, text: str, path: str) -> None:
        """A text file among the artifacts."""
        self.client.log_text(self.run_id, text, path)

    def log_json(self, value: Any, path: str) -> None:
        """A JSON file among the artifacts; NaN becomes null."""
        self.log_text(json.dumps(without_nan(value), indent=1, ensure_ascii=False), path)

    def log_file(self, file: str | Path, folder: str | None = None) -> None:
        """An existing file or folder as artifact, within ``folder``."""
        path = Path(file)
        if path.is_dir():
            self.client.log_artifacts(self.run_id, str(path), folder)
        else:
            self.client.log_artifact(self.run_id, str(path), folder)

    def log_rows(
        self, context: str, name: str, uri: str, digest: str, profile: Mapping[str, Any]
    ) -> None:
        """Which rows the run read, as an MLflow data set.

        Args:
            context: ``training``, ``validation``, ``calibration`` or ``scoring``.
            name: of the data set.
            uri: of the Delta table.
            digest: hash of the rows' content.
            profile: first and last row id, count, … shown by MLflow.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # The entity itself rather than mlflow.data.from_…: those guess the source from a path,
        # and a Delta folder can be read as several kinds.
        data = Dataset(
            name=name,
            digest=digest[:36],
            source_type="delta_table",
            source=json.dumps({"path": uri}),
            profile=json.dumps(dict(profile)),
        )
        self.client.log_inputs(
            self.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])]
        )

    def _log(self, rows: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(key, value, now, step) for key, value, step in rows if math.isfinite(value)
        ]
        for start in range(0, len(metrics), _BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + _BATCH])


@contextmanager
def start(
    home: Home, config: Config, stage: str, tags: Mapping[str, Any] | None = None
) -> Iterator[Run]:
    """Open a run in the data set's experiment; it ends FINISHED, FAILED or KILLED.

    Logs the resolved config as parameters and as ``config.yaml``, stage and code version as tags.

    Args:
        home: holds the tracking store, unless ``MLFLOW_TRACKING_URI`` names another.
        config: its name is the experiment's.
        stage: ``train``, ``calibrate``, ``score``, …
        tags: further tags.

    Raises:
        TrackingError: the store cannot be reached.
    """
    client = connect(home)
    experiment = _experiment(client, home, config.name)
    named = {
        "mlflow.runName": f"{stage}-{time.strftime('%Y%m%d-%H%M%S')}",
        "stage": stage,
        "code_version": code_version(),
        **(tags or {}),
    }
    created = client.create_run(experiment, tags={k: str(v) for k, v in named.items()})
    run = Run(client, created.info.run_id, experiment)
    with _ended(run):
        run.log_params(flatten(_params(config)))
        run.log_text(resolved_yaml(config), "config.yaml")
        yield run


@contextmanager
def resume(home: Home, run: MlflowRun) -> Iterator[Run]:
    """Go on under a run that has ended, or that a killed process left RUNNING; it ends as others.

    Raises:
        TrackingError: the store cannot be reached.
    """
    client = connect(home)
    client.update_run(run.info.run_id, status="RUNNING")
    again = Run(client, run.info.run_id, run.info.experiment_id)
    with _ended(again):
        yield again


@contextmanager
def _ended(run: Run) -> Iterator[None]:
    """Whatever happens inside, but the end of the process itself, gives the run its status."""
    status = (
        "KILLED"  # by what is no Exception: a key, a signal that Prefect or Python turns into one
    )
    try:
        yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        run.client.set_terminated(run.run_id, status)


def newest_run(home: Home, name: str, stage: str) -> str | None:
    """Id of the newest finished run of a stage; None if there is none."""
    where = f"tags.stage = '{stage}' and attributes.status = 'FINISHED'"
    runs = find_runs(connect(home), name, where, most=1)
    return runs[0].info.run_id if runs else None


def find_runs(client: MlflowClient, name: str, where: str, most: int = 1000) -> list[MlflowRun]:
    """Runs of a data set, newest first; none while it has no experiment.

    Args:
        client: of the tracking store.
        name: of the data set.
        where: MLflow's filter, such as ``tags.stage = 'train'``.
        most: runs at most.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    newest = ["attributes.start_time DESC"]
    return list(client.search_runs([experiment.experiment_id], where, 1, most, newest))


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots."""
    result: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping):
            result |= flatten(inner, f"{name}.")
        else:
            result[name] = inner
    return result


def metric_name(name: str) -> str:
    """The name with characters that MLflow refuses replaced by underscores."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII).strip("/. ")[:250] or "_"


def resolved_yaml(config: Config) -> str:
    """The config with every default filled in."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _params(config: Config) -> dict[str, Any]:
    """The config but for its columns: there may be thousands, and ``config.yaml`` has them."""
    values: dict[str, Any] = config.model_dump(mode="json", exclude={"columns"})
    roles = [column.role for column in config.columns.values()]
    return values | {"columns": {role: roles.count(role) for role in dict.fromkeys(roles)}}


def _experiment(client: MlflowClient, home: Home, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the MLflow experiment {name!r} was deleted",
            hint=f"Restore it: mlflow experiments restore --experiment-id {found.experiment_id}",
        )
    if found is not None:
        return str(found.experiment_id)
    # A tracking server keeps artifacts where it was told to; without one they lie in the home.
    remote = home.mlflow_uri.startswith(("http://", "https://", "databricks"))
    location = None if remote else f"{home.mlflow_artifacts_uri}/{quote(name)}"
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        # Two runs may find none and create it at once.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def without_nan(value: Any) -> Any:
    """For JSON, which has no NaN: null in its place."""
    if isinstance(value, Mapping):
        return {str(k): without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
