"""What a night's report says: every sentence, figure and row of it, from tables and scorer."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import nights, sketches, tally, verdict
from pipeline.frames import inputs, to_columns
from pipeline.guarantee import NIGHT_CONFIDENCE, beta_binomial_interval, effective_rank
from pipeline.made import made
from pipeline.wording import number, percent

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.lake import Lake
    from pipeline.nights import Night
    from vae_core import Scorer, Threshold

SHOWN_NIGHTS = 30
UNITS = {
    "elbo": "nats",
    "likelihood_ratio": "nats",
    "reconstruction_error": "scaled squared error per column",
}


def collect(lake: Lake, night: Night, scorer: Scorer) -> dict[str, Any]:
    """Everything the page says, as text and drawings."""
    config = lake.config
    closing: dict[str, Any] = night.closing or {}
    threshold = scorer.thresholds["anomaly_score"]
    past = [n for n in nights.history(lake) if n.is_closed and n.night_id <= night.night_id]
    before = past[-2] if len(past) > 1 else None
    alerts = lake.count("alerts", ds.field("night_id") == night.night_id)
    return {
        "name": config.name,
        "night_id": night.night_id,
        "date": _when(closing["at"], config),
        "verdict": verdict.verdict(closing, alerts, threshold, config),
        "facts": _facts(closing, alerts, config),
        "rate": _rate(closing, threshold, config),
        "labels": _labels(lake, night, threshold),
        "scores": _scores(lake, night, scorer),
        "alerts": _alerts(lake, night, scorer, alerts),
        "quarantine": _quarantine(tally.quarantined(lake, night, before)),
        "nights": _nights(past[-SHOWN_NIGHTS:], config),
        "model": _model(night, scorer, threshold, config),
        "made": made(lake, scorer),
        "unit": UNITS.get(scorer.score_kind, "standardised units"),
        "origin": f"Rows {night.first:,} to {night.last:,} of {config.name}. This page can be "
        f"written again from the tables: vae-anomaly report {config.path.name} "
        f"--night {night.night_id}.",
    }


def _facts(closing: dict[str, Any], alerts: int, config: Config) -> list[dict[str, Any]]:
    broken, weighted = closing["guarantee"] == "broken", verdict.by_weights(closing)
    counts = ["rows_in", "ingested", "quarantined", "scored", *([] if weighted else ["flagged"])]
    facts = [
        {"label": c.replace("_", " "), "value": f"{closing[c]:,}", "alarm": False} for c in counts
    ]
    if weighted or verdict.by_fdr(closing, config):
        facts.append({"label": "alerts", "value": f"{alerts:,}", "alarm": False})
    rate = {"label": "alert rate", "value": percent(closing["alert_rate"]), "alarm": broken}
    return [*facts, rate]


def _rate(closing: dict[str, Any], threshold: Threshold, config: Config) -> dict[str, Any]:
    share = percent(closing["alpha"])
    note = (
        f"Of rows like the calibration rows, {share} at most are flagged in the long run. One "
        f"night of {closing['scored']:,} rows varies around that by chance, and true anomalies "
        "add to it."
    )
    if verdict.by_weights(closing):
        note = (
            f"Of normal rows in tonight's mix, about {share} at most become alerts in the long "
            f"run. One night of {closing['scored']:,} rows varies around that by chance, and true "
            "anomalies add to it."
        )
    elif closing["guarantee"] == "none":
        counted = percent(threshold.rank / (threshold.n + 1))
        note = (
            f"The share of rows flagged, beside what chance makes of {counted}, the share of the "
            f"calibration rows above the threshold. The method ({threshold.method}) promises no "
            "rate."
        )
    expected = config.alerts.expected_anomaly_share
    return {
        "note": " ".join([note, *verdict.looks(closing, config)]),
        "figure": sketches.rate_strip(
            closing["alert_rate"],
            closing["interval_low"],
            closing["interval_high"],
            verdict.limit(closing, config),
        ),
        "confidence": f"{100 * NIGHT_CONFIDENCE:g} %",
        "expected": percent(expected) if expected else "",
    }


def _labels(lake: Lake, night: Night, threshold: Threshold) -> dict[str, Any] | None:
    counts = tally.against_labels(lake, night)
    if counts is None:
        return None
    closing, rank, n, were = night.closing or {}, threshold.rank, threshold.n, "were flagged"
    if verdict.by_weights(closing):
        were = "became alerts"
        rank, n = effective_rank(closing["effective_rows"], closing["alpha"])
    interval = beta_binomial_interval(rank, n, counts.normal)
    low, high = (c / counts.normal if counts.normal else 0.0 for c in interval)
    rate = counts.false_alarm_rate
    found = (
        f"{counts.found:,} of {counts.anomalies:,} labelled anomalies {were} "
        f"({percent(counts.recall)})."
        if counts.recall is not None
        else "No row is labelled an anomaly."
    )
    if counts.unlabelled:
        found = f"{counts.unlabelled:,} rows have no label and are left out here. {found}"
    part = "The labels had no part in training, calibration or scoring."
    if "f_score" in threshold.parameters:
        part = (
            "The labels of the calibration rows chose the threshold; labels had no part in "
            "training or scoring."
        )
    place = "within" if low <= rate <= high else ("above" if rate > high else "below")
    return {
        "note": f"{found} Of {counts.normal:,} normal rows, {counts.false_alarms:,} "
        f"{were}, {percent(rate)}: {place} what chance allows ({percent(low)} to "
        f"{percent(high)}). {part}",
        "figure": sketches.rate_strip(rate, low, high, high, "false-alarm rate"),
    }


def _scores(lake: Lake, night: Night, scorer: Scorer) -> dict[str, Any]:
    calibration = scorer.calibration["anomaly_score"]
    closing: dict[str, Any] = night.closing or {}
    weighted, own = verdict.by_weights(closing), scorer.thresholds["anomaly_score"].value
    cut = closing["cut_off"] if weighted else own
    summed = tally.scored(lake, night)
    lowest, highest = min(summed.lowest, own), max(summed.highest, own)
    axis = sketches.ScoreAxis(calibration, lowest, highest, cut)
    counts = sum((axis.count(piece) for piece in tally.scores(lake, night)), np.zeros(1, np.int64))
    return {
        "note": "All rows of the night by anomaly score, with logarithmic counts. The axis is "
        "linear about the calibration rows and logarithmic away from them.",
        "cut": "tonight's weighted cut-off" if weighted else "the threshold",
        "outline": "as the calibration rows would lie" + (", unweighted" if weighted else ""),
        "figure": sketches.score_histogram(
            axis.edges,
            counts,
            axis.count(calibration) * (summed.rows / len(calibration)),
            cut,
            axis.positions,
            axis.threshold_at,
            axis.ticks(),
            "weighted cut-off" if weighted else "threshold",
            (own, axis.at(own)) if weighted else None,
        ),
    }


def _alerts(lake: Lake, night: Night, scorer: Scorer, total: int) -> dict[str, Any]:
    shown = min(total, lake.config.alerts.report_rows)
    where = (ds.field("night_id") == night.night_id) & (ds.field("rank") <= shown)
    rows = lake.read("alerts", where=where).sort_by("rank").to_pylist()
    order = "most abnormal first: smallest p-value, then highest score"
    if not total:
        note = "None tonight."
    elif shown < total:
        note = f"The first {shown:,} of {total:,}, {order}. All are in the alerts table."
    else:
        note = f"All {total:,}, {order}."
    if total and verdict.by_weights(night.closing or {}):
        note += " The p-values are those of equal calibration rows."
    if lake.config.image and rows:
        note += (
            " Each is drawn beside what the model expected in its place, and where the two differ: "
            "the redder a pixel, the larger its squared error."
        )
    return {"note": note, "rows": [_alert(row, lake.config, scorer) for row in rows]}


def _alert(row: dict[str, Any], config: Config, scorer: Scorer) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(row["raw"])
    picture = _picture(raw, config, scorer)
    raw.pop(config.image or "", None)  # it is drawn
    reasons = row["reasons"] or []
    telling = [*config.ids, *(name for r in reasons if (name := _column_of(r, raw)) is not None)]
    telling = [name for name in dict.fromkeys(telling) if name in raw]
    return {
        "row_id": f"{row['_row_id']:,}",
        "p_value": number(row["p_value"], 2),
        "score": number(row["anomaly_score"]),
        "when": _when(row["event_time"], config) if row["event_time"] else "",
        "reasons": reasons,
        "picture": picture,
        "telling": [{"name": n, "value": _cell(raw[n])} for n in telling],
        "rest": [{"name": n, "value": _cell(v)} for n, v in raw.items()],
    }


def _picture(raw: dict[str, Any], config: Config, scorer: Scorer) -> str | None:
    """Where rows are pictures: the row, what was expected, and their difference, as a data URI."""
    if config.image is None:
        return None
    from pipeline.heatmap import draw_explanation, figure_uri

    cells = to_columns(pa.table({n: [raw[n]] for n in inputs(scorer.encoding)}), scorer.encoding)
    return figure_uri(draw_explanation(scorer, cells))


def _column_of(reason: str, raw: dict[str, Any]) -> str | None:
    """The column that a reason speaks of: reasons start with its name."""
    names = [name for name in raw if reason.startswith(f"{name} ")]
    return max(names, key=len, default=None)


def _cell(value: Any) -> str:
    if value is None:
        return "missing"
    return number(value, 6) if isinstance(value, float) else str(value)


def _quarantine(found: tally.Quarantined) -> dict[str, Any]:
    reasons = [
        {"text": text, "rows": f"{rows:,}", "files": _names(found.files[text])}
        for text, rows in found.by_reason.most_common()
    ]
    reasons += [
        {"text": f"file refused: {why}", "rows": "all", "files": _names({source})}
        for source, why in sorted(found.refused.items())
    ]
    if not reasons:
        note = "Nothing was set aside: every row that came in was valid."
    else:
        files = len(found.refused)
        whole = f", and {files} {'file' if files == 1 else 'files'} refused whole" if files else ""
        note = f"{found.rows:,} rows were set aside as they came{whole}."
    return {"note": note, "reasons": reasons}


def _names(sources: set[str], most: int = 3) -> str:
    names = sorted({source.rstrip("/").rsplit("/", 1)[-1] for source in sources})
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _nights(past: list[Night], config: Config) -> dict[str, Any]:
    closings = [dict(n.closing or {}) for n in past]
    limits = [verdict.limit(c, config) for c in closings]
    rows = [
        {
            "night_id": n.night_id,
            "closed": _when(c["at"], config, short=True),
            "rows": f"{c['scored']:,}",
            "flagged": verdict.counted(c),
            "rate": percent(c["alert_rate"]),
            "limit": percent(limit),
            "state": c["guarantee"],
            "model": n.model_version,
            "now": n is past[-1],
        }
        for n, c, limit in zip(past, closings, limits, strict=True)
    ]
    return {
        "figure": sketches.nights_line([c["alert_rate"] for c in closings], limits),
        "rows": rows[::-1],
    }


def _model(
    night: Night, scorer: Scorer, threshold: Threshold, config: Config
) -> list[dict[str, str]]:
    low, high = threshold.interval
    entries = {
        "model": f"{config.name}, version {night.model_version}",
        "calibrated on": _calibrated_on(scorer, threshold),
        "threshold": verdict.threshold_in_words(threshold),
        "its true rate": f"{percent(low)} to {percent(high)} (90 % interval)",
        **verdict.cut_tonight(night.closing or {}),
        **verdict.calibration_notes(scorer),
        "score": scorer.score_kind.replace("_", " "),
        "columns read": f"{len(inputs(scorer.encoding)):,}",
    }
    return [{"label": label, "value": value} for label, value in entries.items()]


def _calibrated_on(scorer: Scorer, threshold: Threshold) -> str:
    rows = scorer.metadata.get("calibration")
    if isinstance(rows, dict) and {"first", "last"} <= set(rows):
        return f"rows {rows['first']:,} to {rows['last']:,} ({threshold.n:,} rows)"
    return f"{threshold.n:,} rows"


def _when(at: datetime, config: Config, short: bool = False) -> str:
    zone = ZoneInfo(config.schedule.timezone)
    local = at.astimezone(zone)
    if short:
        return local.strftime("%Y-%m-%d %H:%M")
    return f"{local.day} {local.strftime('%B %Y, %H:%M')} {local.tzname()}"
