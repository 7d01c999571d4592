"""What a closed night amounts to, in sentences: promise, drift, weights, threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.explain import number, percent

if TYPE_CHECKING:
    from pipeline.config import Config
    from vae_core import Threshold

POOR_FIT = 0.01


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
    share, rate = percent(closing["alpha"]), percent(closing["alert_rate"])
    count = f"{closing['flagged']:,} of {closing['scored']:,} rows were flagged, {rate}"
    most = percent(limit(closing, config))
    expected = config.alerts.expected_anomaly_share
    who = (
        "chance and the expected share of true anomalies explain"
        if expected
        else ("chance alone explains")
    )
    change = (
        "Look for a change in the sources first; if the change is here to stay, calibrate or train "
        "anew."
    )
    if closing["guarantee"] == "broken":
        return {
            "state": "broken",
            "headline": f"The promise of at most {share} false alarms does not hold tonight",
            "body": f"{count}, but {who} at most {most}: rows no longer look like the "
            f"calibration rows, so a flag says less than it should. {change}",
        }
    if closing["guarantee"] == "suspended":
        return {
            "state": "suspended",
            "headline": f"The promise of at most {share} false alarms is suspended tonight",
            "body": f"{count}, no more than {who}. But by row {closing['drift_row_id']:,} it was "
            "plain that the scores no longer lie as those of the calibration rows do: a flag may "
            f"say less than it should, or miss what it should find. {change}",
        }
    rows = "row" if alerts == 1 else "rows"
    headline = (
        f"{alerts:,} of {closing['scored']:,} {rows} deserve{'s' if alerts == 1 else ''} a look"
        if alerts
        else "No row deserves a look tonight"
    )
    if closing["guarantee"] == "none":
        body = f"{count}. The method of this threshold ({threshold.method}) promises no rate."
    else:
        body = (
            f"The promise of at most {share} false alarms holds: {count}, and {who} up to {most}."
        )
    if by_fdr(closing, config):
        body += (
            f" The alerts are chosen over the whole night so that of them, on average, at most "
            f"{percent(closing.get('alerts_level') or closing['alpha'])} are false."
        )
    return {"state": "calm", "headline": headline, "body": body}


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
