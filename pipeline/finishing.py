"""The end of a closed night: its report, its MLflow run, its result.

Both are made from the tables and can be made again, so they come last: a store that is down costs
no score, and whatever a killed run left out, the next run makes good.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.dataset as ds

from pipeline import nights, recording, report, tally
from pipeline.progress import report as tell

if TYPE_CHECKING:
    from pipeline.lake import Lake
    from pipeline.nights import Night
    from pipeline.progress import Progress
    from vae_core import Scorer


@dataclass(frozen=True)
class NightResult:
    """A closed night. Rates are shares of the rows scored.

    Attributes:
        night_id: 1, 2, ….
        first_row_id, last_row_id: its rows, both included.
        model_version: that scored them.
        rows_scored: number of them.
        flagged: rows above the per-row threshold.
        alerts: rows in the alerts table; differs from `flagged` under FDR control and by weights.
        cut_off: the largest anomaly score that is no alert; under FDR control the largest p-value
            selected (0 where none is).
        guarantee: "in force", "broken", "suspended" where the rows drifted away from the
            calibration rows, "approximate" where weights chose the alerts, or "none" where the
            threshold promises nothing.
        alert_rate: what the guarantee was judged by: flagged / rows_scored, or alerts /
            rows_scored where weights chose the alerts.
        interval: false-alarm rates that chance allows a night of this size (99.9 %).
        limit: upper end of the interval plus the expected share of anomalies; "broken" is beyond.
        drift_log10_capital: evidence against exchangeability, see `pipeline.drift`; None if not
            tested.
        drift_row_id: row at which that sufficed to suspend the promise; None where it did not.
        effective_rows: what the weighted calibration rows are worth; None if not weighted.
        alerts_by: what chose the alerts, "threshold", "fdr" or "weights"; None where an earlier
            release closed the night.
        alerts_level: the level q of "fdr", else alpha; None as `alerts_by`.
        ingested, quarantined: rows of the files that the night covers.
        trouble: one line for each source with trouble.
        labels: flags, or alerts by weights, against labels; None where no row has one.
        report_path: of the HTML report.
        mlflow_run_id: of the run that records the night.
    """

    night_id: int
    first_row_id: int
    last_row_id: int
    model_version: int
    rows_scored: int
    flagged: int
    alerts: int
    cut_off: float
    guarantee: str
    alert_rate: float
    interval: tuple[float, float]
    limit: float
    drift_log10_capital: float | None
    drift_row_id: int | None
    effective_rows: float | None
    alerts_by: str | None
    alerts_level: float | None
    ingested: int
    quarantined: int
    trouble: tuple[str, ...]
    labels: tally.Labels | None
    report_path: str
    mlflow_run_id: str | None


def finish(
    lake: Lake, night: Night, scorer: Scorer | None = None, progress: Progress | None = None
) -> NightResult:
    """Write the report and the MLflow run of a closed night, unless they are there.

    Runs side by side wait for each other here, so that neither is made twice.

    Args:
        lake: of the data set.
        night: closed.
        scorer: its model, where it is loaded already.
        progress: told what is being made.

    Returns:
        What became of the night.

    Raises:
        TrackingError: MLflow cannot be reached; tables and report are complete by then.
    """
    home, config = lake.home, lake.config
    page = report.path_of(home, config.name, night.night_id)
    with _alone(page.parent):
        if scorer is None and not (page.exists() and _mark(page).exists()):
            from pipeline import registry

            scorer = registry.load_scorer(home, config.name, night.model_version, device="cpu")
        if not page.exists():
            tell(progress, night.rows, night.rows, "writing the report")
            report.write(home, config, night.night_id, scorer)
        result = result_of(lake, night, page)
        if _mark(page).exists():
            run_id = _mark(page).read_text(encoding="utf-8").strip()
        else:
            assert scorer is not None
            tell(progress, night.rows, night.rows, "recording the night in MLflow")
            run_id = recording.record(lake, night, scorer, result)
            _mark(page).write_text(f"{run_id}\n", encoding="utf-8")
    return replace(result, mlflow_run_id=run_id)


def repair(lake: Lake, progress: Progress | None = None) -> NightResult | None:
    """Finish the last night, if a killed run left its report or its MLflow run out.

    Returns:
        That night, or None where nothing was missing.
    """
    past = nights.history(lake)
    if not past or not past[-1].is_closed:
        return None
    page = report.path_of(lake.home, lake.config.name, past[-1].night_id)
    if page.exists() and _mark(page).exists():
        return None
    return finish(lake, past[-1], None, progress)


def result_of(lake: Lake, night: Night, page: Path) -> NightResult:
    """The result of a closed night, from the tables."""
    closing = night.closing or {}
    high = closing["interval_high"]
    return NightResult(
        night_id=night.night_id,
        first_row_id=night.first,
        last_row_id=night.last,
        model_version=night.model_version,
        rows_scored=closing["scored"],
        flagged=closing["flagged"],
        alerts=lake.count("alerts", ds.field("night_id") == night.night_id),
        cut_off=closing["cut_off"],
        guarantee=closing["guarantee"],
        alert_rate=closing["alert_rate"],
        interval=(closing["interval_low"], high),
        limit=high + lake.config.alerts.expected_anomaly_share,
        # a night that an earlier release closed lacks these
        drift_log10_capital=closing.get("drift_log10_capital"),
        drift_row_id=closing.get("drift_row_id"),
        effective_rows=closing.get("effective_rows"),
        alerts_by=closing.get("alerts_by"),
        alerts_level=closing.get("alerts_level"),
        ingested=closing["ingested"],
        quarantined=closing["quarantined"],
        trouble=tuple(closing["trouble_sources"] or ()),
        labels=tally.against_labels(lake, night),
        report_path=str(page),
        mlflow_run_id=None,
    )


def _mark(page: Path) -> Path:
    """Holds the id of the MLflow run that records the night; absent until it is complete."""
    return page.with_name(f".{page.stem}.mlflow")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One run at a time; a killed one lets go by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
