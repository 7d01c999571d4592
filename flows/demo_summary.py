"""What the demo says at its end, read from the tables and the registry that it leaves behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline import finishing, nights, registry, report
from pipeline.config import load_config
from pipeline.guarantee import beta_binomial_interval
from pipeline.home import Home
from pipeline.lake import Lake

if TYPE_CHECKING:
    from pipeline.finishing import NightResult
    from vae_core import Threshold


def show(console: Console, config_path: Path, home_path: Path, folder: Path) -> None:
    """Print the nights, whether each kept its promise, and how to look at everything."""
    config, home = load_config(config_path), Home.resolve(home_path)
    lake = Lake(config, home)
    page = report.path_of(home, config.name, 1)
    results = [finishing.result_of(lake, night, page) for night in nights.history(lake)]
    scorer = registry.load_scorer(home, config.name, results[-1].model_version, device="cpu")
    threshold = scorer.thresholds["anomaly_score"]
    console.print()
    console.print(_nights(results, threshold))
    _verdict(console, results, threshold)
    _totals(console, lake, results)
    _commands(console, home, folder, report.path_of(home, config.name, results[-1].night_id))


def _nights(results: list[NightResult], threshold: Threshold) -> Table:
    table = Table(title="Nights", title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.padding = (0, 1, 0, 0)
    headers = (
        *("night", "rows in", "scored", "flagged"),
        *("attacks\nfound", "false\nalarms", "chance\nallows"),
    )
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("promise", no_wrap=True)
    for result in results:
        labels = result.labels
        assert labels is not None
        low, high = beta_binomial_interval(threshold.rank, threshold.n, labels.normal)
        broken = result.guarantee in ("broken", "suspended")
        table.add_row(
            str(result.night_id),
            f"{result.ingested + result.quarantined:,}",
            f"{result.rows_scored:,}",
            f"{result.flagged:,}",
            f"{labels.found:,}/{labels.anomalies:,}",
            f"{labels.false_alarms:,}/{labels.normal:,}",
            f"{low:,}–{high:,}",
            f"[{'bold red' if broken else 'green'}]{result.guarantee}[/]",
        )
    return table


def _verdict(console: Console, results: list[NightResult], threshold: Threshold) -> None:
    console.print(
        f"Promised: {threshold.alpha:.0%} of normal rows flagged; chance allows the 99.9 % "
        "beta-binomial\ninterval of false alarms for the night's number of normal rows.",
        highlight=False,
    )
    for result in results:
        if result.guarantee == "broken":
            console.print(
                f"Night {result.night_id}: {result.alert_rate:.1%} of its rows were flagged, more "
                f"than the {result.limit:.1%} that the promise explains. Its rows no longer look "
                "like those the model was calibrated on, and the report says so without a label.",
                highlight=False,
                style="bold",
            )


def _totals(console: Console, lake: Lake, results: list[NightResult]) -> None:
    ingested, quarantined = lake.last_row_id(), lake.count("quarantine")
    scored = sum(result.rows_scored for result in results)
    flagged = sum(result.flagged for result in results)
    console.print(
        f"\nIn all {ingested + quarantined:,} rows in, {quarantined:,} quarantined, "
        f"{scored:,} scored, {flagged:,} flagged.",
        highlight=False,
    )


def _commands(console: Console, home: Home, folder: Path, page: Path) -> None:
    tools = Path(sys.executable).parent
    lines = {
        "last night's report": f"python3 -m webbrowser {page.as_uri()}",
        "MLflow": f"{tools}/mlflow server --port 5000 --backend-store-uri {home.mlflow_uri}",
        "Prefect": f"PREFECT_HOME={folder / 'prefect'} {tools}/prefect server start --port 4200",
    }
    console.print(f"\nReports of all nights: {page.parent}", highlight=False, soft_wrap=True)
    console.print("To look at", highlight=False)
    for what, command in lines.items():
        console.print(f"  {what}:", highlight=False)
        console.print(f"    {command}", markup=False, highlight=False, soft_wrap=True)
