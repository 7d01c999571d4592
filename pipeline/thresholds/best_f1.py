"""The cut-off with the best F-score on labelled calibration rows."""

from __future__ import annotations

import numpy as np

from pipeline.errors import ThresholdError
from vae_core import Threshold

from .counted import counted


def fit_best_f1(
    scores: np.ndarray, alpha: float, labels: np.ndarray | None = None, f_beta: float = 1.0
) -> Threshold:
    """The cut-off that maximises F_β = (1 + β²) P R / (β² P + R) of precision P and recall R.

    It lies halfway between two scores; of equally good ones the highest is taken. The share of
    anomalies among the calibration rows decides with: it must be that of later nights.

    Args:
        scores: (n,) calibration scores, higher is more anomalous.
        alpha: not used for the choice; kept as the rate that reports and FDR control refer to.
        labels: (n,) true for anomalies.
        f_beta: weight β of recall, > 0; 1 is F1, 2 holds recall twice as important.

    Raises:
        ThresholdError: no labels, or not both classes.

    Reference: van Rijsbergen (1979), Information Retrieval, chapter 7.
    """
    if labels is None:
        raise ThresholdError(
            "threshold method best_f1 needs labels, and the config has no label column",
            hint="Give the label column `role: label`, or choose a method without labels.",
        )
    truth = np.asarray(labels, dtype=bool)
    anomalies = int(truth.sum())
    if len(truth) == 0:
        raise ThresholdError(
            "threshold method best_f1 needs labelled rows of both classes; no calibration row has "
            "a label",
            hint="Widen the calibration rows (`split.calibration`, `split.until`), or choose a "
            "method without labels.",
        )
    if not 0 < anomalies < len(truth):
        one = "anomalies" if anomalies else "normal rows"
        raise ThresholdError(
            f"threshold method best_f1 needs labelled rows of both classes; all {len(truth):,} "
            f"labelled calibration rows are {one}",
            hint="Widen the calibration rows (`split.calibration`, `split.until`), or choose a "
            "method without labels.",
        )
    order = np.argsort(-scores, kind="stable")
    ordered = np.asarray(scores, dtype=np.float64)[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    found, flagged = np.cumsum(truth[order])[ends], ends + 1.0
    # F_β with precision and recall written out: (1 + β²) TP / (β² · anomalies + flagged)
    f = (1 + f_beta**2) * found / (f_beta**2 * anomalies + flagged)
    best = int(np.argmax(f))
    at = ends[best]
    below = ordered[at + 1] if at + 1 < len(ordered) else -np.inf
    middle = (ordered[at] + below) / 2
    # halfway, unless there is nothing below or rounding would reach the flagged score itself
    value = float(middle if below < middle < ordered[at] else np.nextafter(ordered[at], -np.inf))
    return counted(
        value,
        np.asarray(scores)[~truth],
        "best_f1",
        alpha,
        f_beta=float(f_beta),
        f_score=float(f[best]),
        precision=float(found[best] / flagged[best]),
        recall=float(found[best] / anomalies),
        anomalies=anomalies,
    )
