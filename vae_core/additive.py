"""Scores as sums over columns, from the terms of a model and the means of validation rows.

Legend: N rows, D columns in the encoding's grouped order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from .columns import Encoding
from .models import Model
from .scores import row_terms


class ColumnStatistics(NamedTuple):
    """Means over validation rows, grouped column order.

    Attributes:
        value: (D,) −log p of observed cells, nats of the original columns.
        elbo_term: (D,) value and mask terms together, missing cells filled.
        error: (D,) squared error of observed cells.
        error_term: (D,) squared error, missing cells filled.
        kl: scalar.
    """

    value: np.ndarray
    elbo_term: np.ndarray
    error: np.ndarray
    error_term: np.ndarray
    kl: float


class AdditiveScore(NamedTuple):
    """One additive score: total = contributions.sum(1) + latent + expected."""

    total: np.ndarray
    contributions: np.ndarray
    latent: np.ndarray
    expected: float

    @property
    def excess(self) -> np.ndarray:
        """(N,) above the mean of validation rows."""
        return self.total - self.expected


class RowScores(NamedTuple):
    elbo: np.ndarray
    kl: np.ndarray
    elbo_score: AdditiveScore
    error: AdditiveScore

    @property
    def scores(self) -> tuple[AdditiveScore, AdditiveScore]:
        return self.elbo_score, self.error

    @staticmethod
    def of(
        model: Model, x: torch.Tensor, log_jacobian: np.ndarray, statistics: ColumnStatistics
    ) -> RowScores:
        terms = row_terms(model, x)
        value, mask, kl, error = (t.numpy() for t in terms)
        value = value.copy()
        value[:, : log_jacobian.shape[1]] -= log_jacobian
        elbo = -(value.sum(1) + mask.sum(1)) - kl
        observed = model.likelihood.observed(x)
        if observed is not None:
            missing = observed.numpy() < 0.5
            value = np.where(missing, statistics.value, value)
            error = np.where(missing, statistics.error, error)
        elbo_score = additive(value + mask, statistics.elbo_term, kl, statistics.kl)
        columns = error.shape[1]
        none = np.zeros(len(kl))
        error_score = additive(error / columns, statistics.error_term / columns, none, 0.0)
        if not model.has_elbo:
            elbo = np.full(len(kl), np.nan)
        return RowScores(elbo, kl, elbo_score, error_score)


def additive(
    terms: np.ndarray, mean_terms: np.ndarray, kl: np.ndarray, mean_kl: float
) -> AdditiveScore:
    return AdditiveScore(
        total=terms.sum(1) + kl,
        contributions=terms - mean_terms,
        latent=kl - mean_kl,
        expected=float(mean_terms.sum() + mean_kl),
    )


def column_statistics(
    encoding: Encoding, model: Model, data: Mapping[str, np.ndarray]
) -> ColumnStatistics:
    """Validation means that scores of missing cells and explanations refer to.

    Args:
        data: validation rows; a column missing in all of them gets 0.
    """
    x, log_jacobian = encoding.encode(data)
    terms = row_terms(model, torch.from_numpy(x))
    value, mask, kl, error = (t.numpy() for t in terms)
    value = value.copy()
    value[:, : log_jacobian.shape[1]] -= log_jacobian
    observed = model.likelihood.observed(torch.from_numpy(x))
    seen = np.ones_like(value) if observed is None else observed.numpy().astype(np.float64)
    counts = np.maximum(seen.sum(0), 1.0)
    mean_value = (value * seen).sum(0) / counts
    mean_error = (error * seen).sum(0) / counts
    missing = 1.0 - seen
    return ColumnStatistics(
        value=mean_value,
        elbo_term=(value * seen + missing * mean_value + mask).mean(0),
        error=mean_error,
        error_term=(error * seen + missing * mean_error).mean(0),
        kl=float(kl.mean()),
    )
