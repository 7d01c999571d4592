"""What the command line prints about the result of each stage."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.calibration import CalibrateResult
    from pipeline.config import Config
    from pipeline.finishing import NightResult
    from pipeline.ingest import IngestResult
    from pipeline.rescoring import RescoreResult
    from pipeline.training import TrainResult
    from pipeline.tuning import TuneResult

PROMISES = {
    "in force": "in force",
    "approximate": "approximate: calibration rows are weighted by estimates",
    "broken": "BROKEN: more alerts than chance and the expected anomalies explain; see the report",
    "suspended": "SUSPENDED: rows have drifted away from the calibration rows; see the report",
    "none": "none: this threshold's method makes none",
}


def facts(console: Console, title: str, pairs: Mapping[str, Any]) -> None:
    """Print a title and a table of two columns without lines."""
    from rich.markup import escape
    from rich.table import Table

    heading(console, title)
    table = Table(box=None, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, value in pairs.items():
        table.add_row(escape(label), escape(text(value)))
    console.print(table)


def heading(console: Console, title: str) -> None:
    """Print the title of a table on a line of its own: a table's own would wrap to its width."""
    console.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)


def text(value: Any) -> str:
    """A value as tables show it: thousands separated, six significant digits, – for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def ingested(console: Console, result: IngestResult) -> None:
    """Print what an ingest did, one line for each file that was not skipped."""
    from rich.markup import escape
    from rich.table import Table

    shown = [file for file in result.files if file.status != "skipped"]
    # what all paths share is said once, so that what tells them apart is not cut off
    folder = os.path.commonprefix([f.path for f in shown]).rpartition("/")[0]  # noqa: RUF071
    first = "file" if folder else "source"
    table = Table(first, "status", "rows in", "ingested", "quarantined", box=None)
    table.columns[0].overflow = "fold"
    for column in table.columns[2:5]:
        column.justify = "right"
    for file in shown:
        table.add_row(
            escape(file.path.removeprefix(f"{folder}/")),
            file.status,
            text(file.rows_in),
            text(file.ingested),
            text(file.quarantined),
        )
    if folder:
        console.print(f"Files in {folder}", markup=False, highlight=False)
    if shown:
        console.print(table)
    for note in [*result.notes, *(note for file in result.files for note in file.notes)]:
        console.print(f"Note: {note}", markup=False, highlight=False)
    skipped = Counter(file.reason for file in result.files if file.status == "skipped")
    console.print(
        f"{text(result.rows_in)} rows in: {text(result.ingested)} ingested, "
        f"{text(result.quarantined)} quarantined"
        + "".join(f"; {count:,} skipped ({reason})" for reason, count in skipped.items()),
        markup=False,
        highlight=False,
    )


# of a training's metrics; `vae-anomaly quality` shows them all beside what real rows reach
HEADLINES = (
    *("elbo", "kl", "active_units", "reconstruction_error", "generation_shape_similarity"),
    *("generation_coverage", "training_rows", "training_seconds", "skipped_steps", "best_epoch"),
)


def trained(console: Console, name: str, result: TrainResult) -> None:
    """Print where the new scorer is and how well it fits."""
    split = result.split
    headlines = {name: result.metrics[name] for name in HEADLINES if name in result.metrics}
    facts(
        console,
        f"Trained {name}",
        {
            "MLflow run": result.run_id,
            "training rows": f"{split.train.first:,} to {split.train.last:,}",
            "validation rows": f"{split.validation.first:,} to {split.validation.last:,}",
            "kept for calibration": f"{split.calibration.first:,} to {split.calibration.last:,}",
            **headlines,
        },
    )


def calibrated(console: Console, name: str, result: CalibrateResult) -> None:
    """Print the version, its thresholds with their intervals, and its gates."""
    from pipeline.verdict import warning

    facts(
        console,
        f"Calibrated {name}, version {result.version}: "
        + ("champion" if result.promoted else "challenger, not promoted"),
        {
            kind: f"{t.value:.6g}  {t.method}, alpha {t.alpha:g}, {t.n:,} rows; true rate "
            f"{t.interval[0]:.3g} to {t.interval[1]:.3g}{warning(t)}"
            for kind, t in result.thresholds.items()
        },
    )
    for note in result.notes:
        console.print(f"Note: {note}", markup=False, highlight=False)
    for gate in result.gates:
        mark = "passed" if gate.passed else ("FAILED" if gate.blocking else "warns ")
        console.print(f"  {mark}  {gate.name}: {gate.detail}", markup=False, highlight=False)


def scored(console: Console, name: str, night: NightResult | None) -> None:
    """Print the night's counts, whether the promise held, and where the report is."""
    if night is None:
        console.print(f"Nothing new to score for {name}.", markup=False, highlight=False)
        return
    facts(
        console,
        f"Night {night.night_id} of {name}",
        {
            "rows": f"{night.first_row_id:,} to {night.last_row_id:,}",
            "quarantined": night.quarantined,
            "scored": night.rows_scored,
            "flagged": _flagged(night),
            "alerts": _alerts(night),
            "promise": PROMISES[night.guarantee],
            **_looks(night),
            "model version": night.model_version,
            **({"trouble": "; ".join(night.trouble)} if night.trouble else {}),
            "report": night.report_path,
        },
    )


def rescored(console: Console, name: str, result: RescoreResult) -> None:
    """Print what a version makes of past rows, beside what their nights made of them."""
    facts(
        console,
        f"Rescored {name} by version {result.version}",
        {
            "rows": f"{result.first_row_id:,} to {result.last_row_id:,}",
            "scored now": result.written,
            "flagged": f"{result.flagged:,}, {result.flagged / result.rows:.2%}",
            "scored by nights too": result.compared,
            "flagged then": result.flagged_then,
            "flagged then and now": result.flagged_both,
        },
    )


def tuned(console: Console, config: Config, result: TuneResult) -> None:
    """Print what the best settings and the config's own reached, and how to use the best."""
    from rich.table import Table

    from pipeline.tuning.snippet import in_words

    own = result.own
    heading(
        console, f"Tuned {config.name}: {len(result.trials)} trials, {len(result.failed)} failed"
    )
    table = Table("", "yours", "best", box=None)
    table.add_row("trial", "0", str(result.best.number))
    table.add_row("settings", in_words(own.settings), in_words(result.best.settings))
    for name, value in result.best.metrics.items():
        table.add_row(name, text(own.metrics.get(name)), text(value))
    console.print(table)
    console.print(f"MLflow run {result.run_id}", markup=False, highlight=False, soft_wrap=True)
    if result.snippet is None:
        said = "No other settings are better by both measures together: nothing to change."
    else:
        said = f"\n{result.snippet}"
    console.print(said, markup=False, highlight=False, soft_wrap=True)


def _flagged(night: NightResult) -> str:
    if night.alerts_by == "weights":
        return f"{night.flagged:,} by the model's own threshold, which the weights replace"
    return f"{night.flagged:,}, {_rate(night)}"


def _rate(night: NightResult) -> str:
    """The rate that the night is judged by, beside what chance allows it."""
    low, high = night.interval
    return f"{night.alert_rate:.2%} (chance allows {low:.2%} to {high:.2%} of normal rows)"


def _alerts(night: NightResult) -> str:
    """How many, and what they promise where the whole night chose them."""
    if night.alerts_by == "fdr" and night.alerts_level is not None and night.alerts:
        return f"{night.alerts:,}, of which on average at most {night.alerts_level:.2%} are false"
    if night.alerts_by == "weights":
        return f"{night.alerts:,}, {_rate(night)}, above a cut-off of {night.cut_off:.6g}"
    return text(night.alerts)


def _looks(night: NightResult) -> dict[str, str]:
    """What a look at the whole night found, where there was one."""
    found = {}
    if night.drift_row_id is not None:
        found["drift"] = f"from row {night.drift_row_id:,} on"
    if night.effective_rows is not None:
        found["weighted"] = f"calibration rows worth {night.effective_rows:,.0f}"
    return found
