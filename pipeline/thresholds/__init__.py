"""Threshold methods: one file each, one line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vae_core import Threshold

from .conformal import fit_conformal
from .quantile import fit_quantile

THRESHOLDS: dict[str, Callable[..., Threshold]] = {
    "conformal": fit_conformal,
    "quantile": fit_quantile,
}


def fit_threshold(method: str, scores: np.ndarray, alpha: float, **parameters: Any) -> Threshold:
    """Fit one of `THRESHOLDS` on calibration scores (n,), higher is more anomalous.

    Raises:
        ValueError: the method is unknown.
        NotEnoughCalibrationRows: it cannot keep its promise with so few rows.
    """
    if method not in THRESHOLDS:
        raise ValueError(f"unknown threshold method {method!r}; known: {', '.join(THRESHOLDS)}")
    given = {k: v for k, v in parameters.items() if v is not None}
    return THRESHOLDS[method](scores, alpha, **given)


__all__ = ["THRESHOLDS", "fit_conformal", "fit_quantile", "fit_threshold"]
