"""What a closed night amounts to, in sentences: promise, drift, weights, threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.fdr import fewest_alerts
from pipeline.wording import number, percent

if TYPE_CHECKING:
    from pipeline.config import Config
    from vae_core import Scorer, Threshold

POOR_FIT = 0.01
CHANGE = (
    "Look for a change in the sources first; if the change is here to stay, calibrate or train "
    "anew."
)


def verdict(
    closing: dict[str, Any], alerts: int, threshold: Threshold, config: Config
) -> dict[str, str]:
    """State, headline and body of the page's first lines.

    Args:
        closing: the night's closing row.
        alerts: rows in the alerts table.
        threshold: of the night's model.
        config: of the data set.
    """
    if by_weights(closing):
        return _weighted(closing, alerts, threshold, config)
    share, rate = percent(closing["alpha"]), percent(closing["alert_rate"])
    were = "row was" if closing["scored"] == 1 else "rows were"
    count = f"{closing['flagged']:,} of {closing['scored']:,} {were} flagged, {rate}"
    most, who = percent(limit(closing, config)), _who(config)
    state, headline = "calm", _deserve(alerts, closing["scored"], closing["flagged"])
    if closing["guarantee"] == "broken":
        state = "broken"
        headline = f"The promise of at most {share} false alarms does not hold tonight"
        body = (
            f"{count}, but {who} at most {most}: rows no longer look like the "
            f"calibration rows, so a flag says less than it should. {CHANGE}"
        )
    elif closing["guarantee"] == "suspended":
        state = "suspended"
        headline = f"The promise of at most {share} false alarms is suspended tonight"
        body = (
            f"{count}, no more than {who}. But by row {closing['drift_row_id']:,} it was "
            "plain that the scores no longer lie as those of the calibration rows do: a flag may "
            f"say less than it should, or miss what it should find. {CHANGE}"
        )
    elif closing["guarantee"] == "none":
        body = f"{count}. The method of this threshold ({threshold.method}) promises no rate."
    else:
        body = (
            f"The promise of at most {share} false alarms holds: {count}, and {who} up to {most}."
        )
    return {
        "state": state,
        "headline": headline,
        "body": body + _chosen(closing, alerts, threshold, config),
    }


def _weighted(
    closing: dict[str, Any], alerts: int, threshold: Threshold, config: Config
) -> dict[str, str]:
    """The same of a night whose alerts were chosen by weighted calibration rows."""
    share, most, who = percent(closing["alpha"]), percent(limit(closing, config)), _who(config)
    count = (
        f"{alerts:,} of {closing['scored']:,} rows lie above tonight's weighted cut-off of "
        f"{number(closing['cut_off'])}, {percent(closing['alert_rate'])}"
    )
    plain = _beside(closing, alerts, threshold)
    if closing["guarantee"] == "broken":
        return {
            "state": "broken",
            "headline": f"The promise of about {share} false alarms does not hold tonight, even "
            "though calibration rows are weighted",
            "body": f"{count}, but {who} about {most} at most: rows do not look like calibration "
            f"rows of their kind, so an alert says less than it should. {plain} {CHANGE}",
        }
    return {
        "state": "calm",
        "headline": _deserve(alerts, closing["scored"]),
        "body": f"{count}, and {who} up to about {most}. That at most {share} of the normal rows "
        "become alerts is approximate: calibration rows count by how common their kind is tonight, "
        f"which is estimated. {plain}",
    }


def _beside(closing: dict[str, Any], alerts: int, threshold: Threshold) -> str:
    """What the plain threshold makes of a weighted night, and why that is something else."""
    flagged, scored = closing["flagged"], closing["scored"]
    said = (
        f"The model's own threshold of {number(threshold.value)} knows nothing of tonight's mix of "
        f"rows and would have flagged {flagged:,}, {percent(flagged / scored if scored else 0.0)}"
    )
    if flagged == alerts:
        return f"{said}, as many."
    often = "more" if flagged > alerts else "less"
    return f"{said}: kinds that score high are {often} common tonight than in calibration."


def _who(config: Config) -> str:
    if config.alerts.expected_anomaly_share:
        return "chance and the expected share of true anomalies explain"
    return "chance alone explains"


def _deserve(alerts: int, scored: int, flagged: int = 0) -> str:
    if not alerts and flagged:
        return f"No alerts, though {flagged:,} of {scored:,} rows are flagged"
    if not alerts:
        return "No row deserves a look tonight"
    rows, deserve = ("row", "deserves") if alerts == 1 else ("rows", "deserve")
    return f"{alerts:,} of {scored:,} {rows} {deserve} a look"


def _chosen(closing: dict[str, Any], alerts: int, threshold: Threshold, config: Config) -> str:
    """How FDR control chose the alerts; else empty, since the flags are the alerts."""
    if not by_fdr(closing, config):
        return ""
    level = closing.get("alerts_level") or closing["alpha"]
    said = (
        " The alerts are chosen over the whole night so that of them, on average, at most "
        f"{percent(level)} are false"
    )
    fewest = fewest_alerts(closing["scored"], threshold.n, level)
    if not alerts and fewest > closing["scored"]:
        said += f"; {threshold.n:,} calibration rows are too few to choose any"
    elif not alerts and fewest > 1:
        said += (
            f"; with {threshold.n:,} calibration rows that takes at least {fewest:,} rows that "
            "score higher than all of them, however high. More calibration rows lower that number"
        )
    if closing["guarantee"] in ("broken", "suspended"):
        return f"{said}; that, too, holds only for rows like the calibration rows."
    return f"{said}."


def looks(closing: dict[str, Any], config: Config) -> list[str]:
    """What the tests and weights of the whole night say, where it was looked at."""
    said, evidence = [], closing.get("drift_log10_capital")
    if evidence is not None:
        row, level = closing["drift_row_id"], config.alerts.drift_level
        enough = f"; {1 / level:,.0f} to 1 suspend the promise" if level and row is None else ""
        where = f"; it sufficed at row {row:,}" if row is not None else enough
        said.append(
            "The strongest evidence that unflagged rows drifted away from the calibration rows was "
            f"{_odds(evidence)}{where}."
        )
        if row is not None and by_weights(closing):
            said.append("Another mix of rows, which the weights are for, has that effect too.")
    effective = closing.get("effective_rows")
    if effective is not None and effective < 1 / closing["alpha"] - 1:
        said.append(
            "Tonight's kinds of rows are hardly among the calibration rows: weighted, those are "
            f"worth {effective:,.0f} rows, too few, so the model's own threshold chose the alerts."
        )
    elif effective is not None:
        said.append(
            "The alerts weigh calibration rows by how common their kind is tonight; weighted, they "
            f"are worth {effective:,.0f} rows. The weights are estimated, so the rate of these "
            "alerts is approximate."
        )
    return said


def by_weights(closing: dict[str, Any]) -> bool:
    """Whether weighted calibration rows chose a night's alerts, so that it was judged by these.

    An earlier release, which did not write that down, judged every night by its flags.
    """
    return closing.get("alerts_by") == "weights"


def by_fdr(closing: dict[str, Any], config: Config) -> bool:
    """Whether FDR control chose a night's alerts; an earlier release did not write that down."""
    by = closing.get("alerts_by")
    return by == "fdr" if by else config.alerts.fdr


def limit(closing: dict[str, Any], config: Config) -> float:
    """The largest alert rate that the promise explains."""
    return float(closing["interval_high"] + config.alerts.expected_anomaly_share)


def threshold_in_words(threshold: Threshold) -> str:
    """Value, method, and what the method aims at or chose by."""
    value = f"{number(threshold.value, 6)} by {threshold.method}"
    if "f_score" in threshold.parameters:
        found = threshold.parameters
        return (
            f"{value}, for the best F-score on labels: precision {percent(found['precision'])}, "
            f"recall {percent(found['recall'])}"
        )
    aim = "for at most" if threshold.guarantee else "aiming at"
    return f"{value}, {aim} {percent(threshold.alpha)} false alarms{warning(threshold)}"


def cut_tonight(closing: dict[str, Any]) -> dict[str, str]:
    """Label and words of a night's own cut-off, where weights made one."""
    if not by_weights(closing):
        return {}
    return {
        "cut-off tonight": f"{number(closing['cut_off'], 6)} by weighted calibration rows, for "
        f"about {percent(closing['alerts_level'])} false alarms"
    }


def calibration_notes(scorer: Scorer) -> dict[str, str]:
    """Label and words of what calibration found to say; versions of earlier releases hold none."""
    notes = scorer.metadata.get("calibration_notes")
    return {"beware": " ".join(notes)} if notes else {}


def counted(closing: dict[str, Any]) -> str:
    """The rows that a night's alert rate counts."""
    if by_weights(closing):
        return f"{round(closing['alert_rate'] * closing['scored']):,} weighted"
    return f"{closing['flagged']:,}"


def warning(threshold: Threshold) -> str:
    """What a `pot` threshold whose tail is none must not be shown without; else empty."""
    fit = threshold.parameters.get("fit_p_value")
    if fit is None or fit >= POOR_FIT:
        return ""
    return f"; its tail fits badly (p = {fit:.2g}), do not rely on it"


def _odds(log10: float) -> str:
    """A capital as odds: 3 to 1, 20,000 to 1, 10^25 to 1."""
    if log10 >= 9:
        return f"10^{log10:.0f} to 1"
    return f"{10**log10:,.0f} to 1" if log10 >= 1 else f"{10**log10:.2g} to 1"
