"""Scores as sums over columns, from the terms of a model and the means of validation rows.

Legend: N rows, D columns in the encoding's grouped order, constant columns last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from .complexity import complexity
from .encoding import Encoding
from .heat import Heat, heat
from .joining import JOINED
from .models import Model
from .references import References
from .scores import RowTerms, in_chunks, row_terms


class ColumnStatistics(NamedTuple):
    """Means over validation rows, grouped column order.

    Attributes:
        value: (D,) −log p of observed cells, nats of the original columns.
        elbo_term: (D,) value and mask terms together, missing cells filled.
        error: (D,) squared error of observed cells.
        error_term: (D,) squared error, missing cells filled.
        kl: scalar.
        latent_distance: scalar, to training codes, see `Neighbours`.
        row_term: (D,) each column's part in the distance to training rows, see `Rows.shares`.
        complexity: scalar, of pictures, nats; see `complexity`.
        pixels: (2, H, W) of pictures, −log p and squared error of each pixel; empty for tables.
    """

    value: np.ndarray
    elbo_term: np.ndarray
    error: np.ndarray
    error_term: np.ndarray
    kl: float
    latent_distance: float
    row_term: np.ndarray
    complexity: float = 0.0
    pixels: np.ndarray = np.zeros((2, 0, 0))


class AdditiveScore(NamedTuple):
    """One additive score: total = contributions.sum(1) + latent + expected.

    Attributes:
        total: (N,).
        terms: (N, D) what each column adds.
        means: (D,) the same over validation rows.
        latent: (N,).
        expected: the mean score of validation rows.
    """

    total: np.ndarray
    terms: np.ndarray
    means: np.ndarray
    latent: np.ndarray
    expected: float

    @property
    def contributions(self) -> np.ndarray:
        """(N, D) what each column adds above its mean."""
        return self.terms - self.means

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
    latent_distance: AdditiveScore
    row_distance: AdditiveScore
    further: AdditiveScore | None

    @property
    def joined(self) -> tuple[AdditiveScore, AdditiveScore, AdditiveScore, AdditiveScore]:
        """In the order of `joining.JOINED`."""
        return self.elbo_score, self.error, self.latent_distance, self.row_distance

    @property
    def scores(self) -> tuple[AdditiveScore, ...]:
        """In the order of `joining.JOINED`, and one more where it is the primary one."""
        return self.joined if self.further is None else (*self.joined, self.further)

    @staticmethod
    def of(
        encoding: Encoding,
        model: Model,
        references: References | None,
        data: Mapping[str, np.ndarray],
        statistics: ColumnStatistics,
        ratio: bool = False,
        explained: bool = False,
    ) -> RowScores:
        """Scores of rows; without references no distances.

        Args:
            ratio: against a compressor too.
            explained: the terms of `row_distance` too, which are NaN where nobody asks for them.
        """
        terms = column_terms(encoding, model, data, lambda x: row_terms(model, references, x))
        elbo = -(terms.value.sum(1) + terms.mask.sum(1)) - terms.kl
        value, error = terms.value, terms.error
        if not terms.observed.all():
            value = np.where(terms.observed, value, statistics.value)
            error = np.where(terms.observed, error, statistics.error)
        elbo_score = additive(value + terms.mask, statistics.elbo_term, terms.kl, statistics.kl)
        columns = error.shape[1]
        none = np.zeros(len(elbo))
        return RowScores(
            elbo=elbo if model.has_elbo else np.full(len(elbo), np.nan),
            kl=terms.kl,
            elbo_score=elbo_score,
            error=additive(error / columns, statistics.error_term / columns, none, 0.0),
            latent_distance=AdditiveScore(
                total=terms.latent_distance,
                terms=np.broadcast_to(0.0, error.shape),
                means=np.zeros(columns),
                latent=terms.latent_distance - statistics.latent_distance,
                expected=statistics.latent_distance,
            ),
            row_distance=AdditiveScore(
                total=terms.row_distance,
                terms=_row_terms(model, references, terms, explained),
                means=statistics.row_term,
                latent=none,
                expected=float(statistics.row_term.sum()),
            ),
            further=_less_complexity(
                elbo_score,
                complexity(encoding.layout, terms.x),
                statistics.complexity,
                encoding.layout.columns - 1,  # a picture is the last modelled column
            )
            if ratio
            else None,
        )


def additive(
    terms: np.ndarray, mean_terms: np.ndarray, latent: np.ndarray, mean_latent: float
) -> AdditiveScore:
    """The score of rows whose column terms (N, D) and latent's part (N,) add up to it.

    Args:
        terms: of each row and column.
        mean_terms: (D,) validation means of these.
        latent: of each row.
        mean_latent: its validation mean.
    """
    return AdditiveScore(
        total=terms.sum(1) + latent,
        terms=terms,
        means=mean_terms,
        latent=latent - mean_latent,
        expected=float(mean_terms.sum() + mean_latent),
    )


def _row_terms(
    model: Model, references: References | None, terms: ColumnTerms, explained: bool
) -> np.ndarray:
    """(N, D) what each column has in the distance to training rows; constant columns nothing."""
    rows = None if references is None else references.rows
    if rows is None or not explained:
        return np.broadcast_to(0.0 if rows is None else np.nan, terms.error.shape)
    shares = in_chunks(model, terms.x, rows.shares, torch.float64).numpy()
    constant = terms.error.shape[1] - shares.shape[1]
    return np.pad(shares * terms.row_distance[:, None], ((0, 0), (0, constant)))


def column_statistics(
    encoding: Encoding, model: Model, references: References, data: Mapping[str, np.ndarray]
) -> ColumnStatistics:
    """Validation means that scores of missing cells and explanations refer to.

    Args:
        data: validation rows; a column missing in all of them gets 0.
    """
    terms = column_terms(encoding, model, data, lambda x: row_terms(model, references, x))
    value, elbo_term = means(terms, terms.value, terms.mask)
    error, error_term = means(terms, terms.error, np.zeros_like(terms.error))
    return ColumnStatistics(
        value=value,
        elbo_term=elbo_term,
        error=error,
        error_term=error_term,
        kl=float(terms.kl.mean()),
        latent_distance=float(terms.latent_distance.mean()),
        row_term=_row_terms(model, references, terms, explained=True).mean(0),
        complexity=_mean_complexity(encoding, terms.x),
        pixels=_pixel_means(encoding, model, terms.x),
    )


def means(
    terms: ColumnTerms, values: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(D,) mean of the observed cells, and of all cells with their mask term, the missing ones
    filled with the first."""
    seen = terms.observed.astype(np.float64)
    mean = (values * seen).sum(0) / np.maximum(seen.sum(0), 1.0)
    return mean, (values * seen + (1.0 - seen) * mean + mask).mean(0)


def _mean_complexity(encoding: Encoding, x: torch.Tensor) -> float:
    return float(complexity(encoding.layout, x).mean()) if encoding.image else 0.0


def _less_complexity(
    score: AdditiveScore, nats: np.ndarray, mean: float, place: int
) -> AdditiveScore:
    """An ELBO score less the nats that a compressor needs for the picture in column `place`."""
    terms, means = score.terms.copy(), score.means.copy()
    terms[:, place] -= nats
    means[place] -= mean
    return AdditiveScore(score.total - nats, terms, means, score.latent, score.expected - mean)


def _pixel_means(encoding: Encoding, model: Model, x: torch.Tensor) -> np.ndarray:
    if encoding.image is None:
        return np.zeros((2, 0, 0))
    maps = heat(model, x)
    return torch.stack([maps.surprise.mean(0), maps.error.mean(0)]).numpy()


def by_pixel(
    contributions: np.ndarray,
    weights: np.ndarray,
    maps: Heat,
    statistics: ColumnStatistics,
    values: int,
) -> np.ndarray:
    """Contributions of pictures, each spread over its pixels.

    A pixel counts by what it adds above its own mean over validation pictures.

    Args:
        contributions: (N,) of the pictures to the anomaly score.
        weights: (A, N) of the scores in it, see `joining`.
        maps: of the pictures.
        statistics: validation means.
        values: C·H·W of a picture.

    Returns:
        (N, H, W) float64, positive = more anomalous; sums to the contributions.
    """
    usual = statistics.pixels if statistics.pixels.size else np.zeros((2, 1, 1))
    columns = len(statistics.error)
    parts = (
        (maps.surprise.numpy() - usual[0], 1.0),
        (maps.error.numpy() - usual[1], 1.0 / (values * columns)),
    )
    spread = np.zeros(maps.error.shape)
    # a ratio is an ELBO score less what belongs to the whole picture
    for (part, unit), weight in zip(
        parts, (weights[0] + weights[len(JOINED) :].sum(0), weights[1]), strict=True
    ):
        if weight.any():  # a model without an ELBO has no surprise
            spread += weight[:, None, None] * unit * part
    # what rounding and constants leave, to all pixels alike
    left = contributions - spread.sum((1, 2))
    return spread + left[:, None, None] / spread[0].size if len(spread) else spread


class ColumnTerms(NamedTuple):
    """(N, D) each but kl and distances (N,); values in nats of the original columns; x (N, W) are
    the encoded rows that they are of."""

    x: torch.Tensor
    value: np.ndarray
    mask: np.ndarray
    error: np.ndarray
    observed: np.ndarray
    kl: np.ndarray
    latent_distance: np.ndarray
    row_distance: np.ndarray


def column_terms(
    encoding: Encoding,
    model: Model,
    data: Mapping[str, np.ndarray],
    of: Callable[[torch.Tensor], RowTerms],
) -> ColumnTerms:
    """What the model says of its columns, and the constant ones beside them."""
    encoded, left_out = encoding.encode(data)
    x = torch.from_numpy(encoded)
    value, mask, kl, error, *distances = (t.numpy() for t in of(x))
    value, error = value.astype(np.float64), error.astype(np.float64)
    value[:, : left_out.shape[1]] -= left_out
    image = model.likelihood.image
    if image is not None:
        value[:, -1] -= image.log_jacobian
    seen = model.likelihood.observed(x)
    observed = np.ones(value.shape, dtype=bool) if seen is None else seen.numpy() > 0.5
    nats, squared = encoding.constants.terms(data, len(x))
    if nats.size:
        value, error = np.hstack([value, nats]), np.hstack([error, squared])
        mask = np.hstack([mask, np.zeros_like(nats)])
        observed = np.hstack([observed, np.ones(nats.shape, dtype=bool)])
    return ColumnTerms(x, value, mask, error, observed, kl, *distances)
