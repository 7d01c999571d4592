"""Threshold methods: one file each, one line here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vae_core import Threshold

from .best_f1 import fit_best_f1
from .conformal import fit_conformal
from .mad import fit_mad
from .pot import fit_pot
from .quantile import fit_quantile

THRESHOLDS: dict[str, Callable[..., Threshold]] = {
    "conformal": fit_conformal,
    "quantile": fit_quantile,
    "mad": fit_mad,
    "pot": fit_pot,
    "best_f1": fit_best_f1,
}


def fit_threshold(
    method: str,
    scores: np.ndarray,
    alpha: float,
    labels: np.ndarray | None = None,
    labelled: np.ndarray | None = None,
    **parameters: Any,
) -> Threshold:
    """Fit one of `THRESHOLDS` on calibration scores (n,), higher is more anomalous.

    Args:
        method: key of `THRESHOLDS`.
        scores: (n,) calibration scores.
        alpha: target false-positive rate in (0, 1).
        labels: (n,) true for anomalies; only methods that take labels see them.
        labelled: (n,) false where the label is missing: these methods do not see such scores.
        parameters: of the method, by name; None stands for its default.

    Raises:
        ValueError: the method is unknown, or a parameter belongs to another one.
        NotEnoughCalibrationRows: it cannot keep its promise with so few rows.
        ThresholdError: it cannot work with these scores or labels.
    """
    given = {k: v for k, v in parameters.items() if v is not None}
    check_parameters(method, given)
    if needs_labels(method):
        if labels is not None and labelled is not None:
            scores, labels = scores[labelled], labels[labelled]
        given["labels"] = labels
    return THRESHOLDS[method](scores, alpha, **given)


def needs_labels(method: str) -> bool:
    """Whether a method of `THRESHOLDS` chooses by labels."""
    return "labels" in inspect.signature(THRESHOLDS[method]).parameters


def check_parameters(method: str, given: Mapping[str, Any]) -> None:
    """The method exists and takes these parameters.

    Raises:
        ValueError: it does not; says which method they belong to.
    """
    if method not in THRESHOLDS:
        raise ValueError(f"unknown threshold method {method!r}; known: {', '.join(THRESHOLDS)}")
    for name in given:
        owners = [m for m, f in THRESHOLDS.items() if name in inspect.signature(f).parameters]
        if method not in owners:
            whose = f"belongs to method {', '.join(owners)}" if owners else "is no parameter"
            raise ValueError(f"{name!r} {whose}; {method} does not take it")


__all__ = [
    "THRESHOLDS",
    "check_parameters",
    "fit_best_f1",
    "fit_conformal",
    "fit_mad",
    "fit_pot",
    "fit_quantile",
    "fit_threshold",
    "needs_labels",
]
