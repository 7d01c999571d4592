"""Which rows of a night become alerts, and by which rows its promise is judged.

By the threshold, or by a look at the whole night.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from pipeline import fdr, tally
from pipeline.guarantee import Guarantee, effective_rank, judge_night
from pipeline.sampling import Rows, read_rows
from pipeline.split import Range

if TYPE_CHECKING:
    from pipeline.lake import Lake
    from pipeline.nights import Night
    from vae_core import Scorer, Threshold

WEIGHED_ROWS = 20_000
"""Most calibration rows and most rows of the night that the weights are estimated from."""


By = Literal["threshold", "fdr", "weights"]


@dataclass(frozen=True)
class Decision:
    """Which rows of a night are selected.

    Attributes:
        keep: batch of `scores` (p_value, anomaly_score, is_anomaly) to a mask of its rows.
        cut_off: largest anomaly score not selected; under FDR control the largest p-value that is
            (0 where none is).
        by: what selected them: the model's own threshold, FDR control or weighted calibration
            rows.
        level: false alarms allowed for among all normal rows; under FDR control among the alerts.
        effective_rows: what the weighted calibration rows are worth, less than 1/alpha − 1 where
            that is too few and the model's own threshold decides; None where nothing is weighed.
    """

    keep: Callable[[pa.RecordBatch], pa.Array]
    cut_off: float
    by: By
    level: float
    effective_rows: float | None = None


def decide(lake: Lake, scorer: Scorer, night: Night, summed: tally.Scored) -> Decision:
    """The decision that the config asks for.

    `alerts.fdr`: Benjamini-Hochberg over the night's p-values, at the level that `threshold.alpha`
    has now: p-values do not depend on the one that the model was calibrated for.
    `alerts.covariate_shift`: a cut-off from calibration rows weighted as tonight's mix of rows asks
    for; the model's own threshold where too few of them are effective. Neither: what the model's
    threshold flagged.

    Args:
        lake: of the data set.
        scorer: of the night.
        night: scored in full.
        summed: its scores; with the histogram of p-values under FDR control.
    """
    threshold = scorer.thresholds["anomaly_score"]
    if summed.p_counts is not None:
        return _by_rank(summed.p_counts, lake.config.threshold.alpha)
    effective = None
    if lake.config.alerts.covariate_shift:
        cut, effective = _weighted(lake, scorer, night)
        if cut is not None:
            return Decision(
                lambda batch: pa.array(_scores(batch) > cut),
                cut,
                "weights",
                threshold.alpha,
                effective,
            )
    return Decision(_flagged, threshold.value, "threshold", threshold.alpha, effective)


def judge(
    lake: Lake,
    night: Night,
    threshold: Threshold,
    summed: tally.Scored,
    decision: Decision,
    drifted: bool,
) -> Guarantee:
    """The promise held against the night's flags, or against its alerts where weights chose them.

    Args:
        lake: of the data set.
        night: scored in full, its alerts written.
        threshold: of its model.
        summed: its scores.
        decision: that chose the alerts.
        drifted: whether the drift test found that exchangeability broke.
    """
    flagged, rank, n = summed.flagged, threshold.rank, threshold.n
    weighted = decision.by == "weights"
    if weighted:
        assert decision.effective_rows is not None
        flagged = lake.count("alerts", ds.field("night_id") == night.night_id)
        rank, n = effective_rank(decision.effective_rows, threshold.alpha)
    return judge_night(
        flagged=flagged,
        rows=summed.rows,
        rank=rank,
        n=n,
        alpha=threshold.alpha,
        promised=threshold.guarantee,
        drifted=drifted,
        weighted=weighted,
        expected_share=lake.config.alerts.expected_anomaly_share,
    )


def _by_rank(p_counts: np.ndarray, q: float) -> Decision:
    n = len(p_counts) - 1
    rank = fdr.cut_off_rank(p_counts, q)

    def keep(batch: pa.RecordBatch) -> pa.Array:
        return pa.array(fdr.ranks(batch.column("p_value").to_numpy(), n) <= rank)

    return Decision(keep, rank / (n + 1), "fdr", q)


def _weighted(lake: Lake, scorer: Scorer, night: Night) -> tuple[float | None, float]:
    """The weighted cut-off, None where it cannot be had, and the effective calibration rows."""
    from pipeline import registry
    from pipeline.covariate_shift import density_ratio, largest_weight, weighted_cut

    def read(rows: Range) -> Rows:
        return read_rows(lake, lake.config, rows, most=WEIGHED_ROWS, seed=lake.config.seed)

    version = registry.get(lake.home, lake.config.name, night.model_version)
    calibration, tonight = read(version.calibration), read(Range(night.first, night.last))
    alpha = scorer.thresholds["anomaly_score"].alpha
    weights = density_ratio(
        scorer.embed(calibration.columns),
        scorer.embed(tonight.columns),
        clip=largest_weight(len(calibration), alpha),
    )
    scores = scorer.raw_scores(calibration.columns).anomaly_score
    cut = weighted_cut(scores, weights, alpha)
    if cut is not None:
        return cut, weights.effective
    # where a row's own weight is too much for alpha, that many rows of its weight are there
    return None, min(weights.effective, weights.calibration.sum() / weights.largest)


def _flagged(batch: pa.RecordBatch) -> pa.Array:
    return batch.column("is_anomaly")


def _scores(batch: pa.RecordBatch) -> np.ndarray:
    return np.asarray(batch.column("anomaly_score").to_numpy(), dtype=np.float64)
