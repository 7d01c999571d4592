"""Scores as sums over columns, from the terms of a model and the means of validation rows.

Legend: N rows, D columns in the encoding's grouped order, constant columns last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from .columns import Encoding
from .models import Model
from .neighbours import Codes
from .scores import row_terms


class ColumnStatistics(NamedTuple):
    """Means over validation rows, grouped column order.

    Attributes:
        value: (D,) −log p of observed cells, nats of the original columns.
        elbo_term: (D,) value and mask terms together, missing cells filled.
        error: (D,) squared error of observed cells.
        error_term: (D,) squared error, missing cells filled.
        kl: scalar.
        distance: scalar, distance to the nearest training codes.
    """

    value: np.ndarray
    elbo_term: np.ndarray
    error: np.ndarray
    error_term: np.ndarray
    kl: float
    distance: float


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
    """The scores of rows, each (N,) or made of (N,) and (N, D) parts."""

    elbo: np.ndarray
    kl: np.ndarray
    elbo_score: AdditiveScore
    error: AdditiveScore
    distance: AdditiveScore

    @property
    def scores(self) -> tuple[AdditiveScore, AdditiveScore, AdditiveScore]:
        """In the order of `joining.SINGLE_SCORES`."""
        return self.elbo_score, self.error, self.distance

    @staticmethod
    def of(
        encoding: Encoding,
        model: Model,
        codes: Codes,
        data: Mapping[str, np.ndarray],
        statistics: ColumnStatistics,
    ) -> RowScores:
        terms = _column_terms(encoding, model, codes, data)
        elbo = -(terms.value.sum(1) + terms.mask.sum(1)) - terms.kl
        value = np.where(terms.observed, terms.value, statistics.value)
        error = np.where(terms.observed, terms.error, statistics.error)
        elbo_score = additive(value + terms.mask, statistics.elbo_term, terms.kl, statistics.kl)
        columns = error.shape[1]
        none = np.zeros(len(elbo))
        return RowScores(
            elbo=elbo if model.has_elbo else np.full(len(elbo), np.nan),
            kl=terms.kl,
            elbo_score=elbo_score,
            error=additive(error / columns, statistics.error_term / columns, none, 0.0),
            distance=additive(
                np.zeros_like(error), np.zeros(columns), terms.distance, statistics.distance
            ),
        )


def additive(
    terms: np.ndarray, mean_terms: np.ndarray, latent: np.ndarray, mean_latent: float
) -> AdditiveScore:
    return AdditiveScore(
        total=terms.sum(1) + latent,
        contributions=terms - mean_terms,
        latent=latent - mean_latent,
        expected=float(mean_terms.sum() + mean_latent),
    )


def column_statistics(
    encoding: Encoding, model: Model, codes: Codes, data: Mapping[str, np.ndarray]
) -> ColumnStatistics:
    """Validation means that scores of missing cells and explanations refer to.

    Args:
        data: validation rows; a column missing in all of them gets 0.
    """
    terms = _column_terms(encoding, model, codes, data)
    seen = terms.observed.astype(np.float64)
    counts = np.maximum(seen.sum(0), 1.0)
    mean_value = (terms.value * seen).sum(0) / counts
    mean_error = (terms.error * seen).sum(0) / counts
    missing = 1.0 - seen
    return ColumnStatistics(
        value=mean_value,
        elbo_term=(terms.value * seen + missing * mean_value + terms.mask).mean(0),
        error=mean_error,
        error_term=(terms.error * seen + missing * mean_error).mean(0),
        kl=float(terms.kl.mean()),
        distance=float(terms.distance.mean()),
    )


class _ColumnTerms(NamedTuple):
    """(N, D) each but kl and distance (N,); values in nats of the original columns."""

    value: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    observed: np.ndarray
    kl: np.ndarray
    distance: np.ndarray


def _column_terms(
    encoding: Encoding, model: Model, codes: Codes, data: Mapping[str, np.ndarray]
) -> _ColumnTerms:
    """What the model says of its columns, and the constant ones beside them."""
    encoded, log_jacobian = encoding.encode(data)
    x = torch.from_numpy(encoded)
    value, mask, kl, error, distance = (t.numpy() for t in row_terms(model, codes, x))
    value = value.copy()
    value[:, : log_jacobian.shape[1]] -= log_jacobian
    seen = model.likelihood.observed(x)
    observed = np.ones(value.shape, dtype=bool) if seen is None else seen.numpy() > 0.5
    nats, squared = encoding.constants.terms(data, len(x))
    if nats.size:
        value, error = np.hstack([value, nats]), np.hstack([error, squared])
        mask = np.hstack([mask, np.zeros_like(nats)])
        observed = np.hstack([observed, np.ones(nats.shape, dtype=bool)])
    return _ColumnTerms(value, mask, error, observed, kl, distance)
