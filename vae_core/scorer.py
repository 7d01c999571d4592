"""The Scorer: all that turns raw rows into scores, p-values and reasons, in one object.

It is what travels inside the registered model. Saved as a folder of JSON and safetensors.

Legend: N rows, D columns in the user's order, W encoded width, L latents, K members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from . import operations, storage
from .additive import AdditiveScore, ColumnStatistics, RowScores, by_pixel
from .calibration import NotCalibratedError, Threshold, conformal_cut, p_values
from .columns import Layout
from .encoding import Encoding
from .heat import Heat, heat
from .joining import JOINED, JOINS, OF_ROWS, SCORE_KINDS, robust_scale
from .models import Model, ModelConfig
from .references import References
from .regret import STEPS, likelihood_regret
from .rows import Rows
from .scores import ROWS_PER_TASK, over_cores
from .weighted import Weighted, weighted_score

RATIO = "likelihood_ratio"
WEIGHTED = "importance_weighted"
CALIBRATED = ("anomaly_score", "reconstruction_error", "elbo")
Data = Mapping[str, np.ndarray]


class RawScores(NamedTuple):
    """(N,) float64 each. Higher is more anomalous but for `elbo`.

    Attributes:
        anomaly_score: the primary score.
        reconstruction_error: scaled squared error / D.
        elbo: nats per row of the original columns, higher is better; NaN for an autoencoder.
        elbo_score: −elbo plus the validation mean of each missing cell.
        kl: nats per row.
        latent_distance: to training codes near it; about 1 is usual.
        row_distance: to training rows near it; about 1 is usual, unless most rows repeat others.
            0 where it tells nothing, see `Rows.fit`.
        latent: the part of the primary score that belongs to no column, KL and latent distance,
            above its validation mean.
    """

    anomaly_score: np.ndarray
    reconstruction_error: np.ndarray
    elbo: np.ndarray
    elbo_score: np.ndarray
    kl: np.ndarray
    latent_distance: np.ndarray
    row_distance: np.ndarray
    latent: np.ndarray


class Scored(NamedTuple):
    """(N,) each, what `Scorer.score` gives, in its order."""

    anomaly_score: np.ndarray
    reconstruction_error: np.ndarray
    elbo: np.ndarray
    latent: np.ndarray
    p_value: np.ndarray
    p_value_reconstruction_error: np.ndarray
    p_value_elbo: np.ndarray
    is_anomaly: np.ndarray


class Explanation(NamedTuple):
    """contributions.sum(1) + latent + expected == anomaly_score.

    Attributes:
        contributions: (N, D), positive = more anomalous than validation rows are on average.
        latent: (N,) what belongs to no column: the parts of the KL and of the latent distance.
        expected: the rest, the mean score of validation rows; 0 for joined scores.
        names: D column names.
    """

    contributions: np.ndarray
    latent: np.ndarray
    expected: float
    names: tuple[str, ...]


@dataclass
class Scorer:
    """Encoding, model, statistics, calibration and thresholds.

    Args:
        encoding: raw columns to encoded rows.
        model: trained.
        references: training rows and their codes, for the distances.
        config: the model's shape.
        statistics: validation means.
        score_kind: one of `SCORE_KINDS`.
        scales: for joins, the units of the ELBO score, of the root of the reconstruction error
            and of the distances of codes and of rows.
        calibration: sorted calibration scores by the names in `CALIBRATED`.
        thresholds: by the same names.
        weighted: what the score `importance_weighted` needs; see `fit_weighted`.
        diagnostics: see `diagnose`.
        metadata: JSON the owner attaches (rows that calibrated it, code version, …).

    Raises:
        ValueError: the score kind is unknown, is not of such rows, or needs an ELBO that the model
            does not have.
    """

    encoding: Encoding
    model: Model
    references: References
    config: ModelConfig
    statistics: ColumnStatistics
    score_kind: str = "elbo"
    scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    calibration: dict[str, np.ndarray] = field(default_factory=dict)
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    weighted: Weighted | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_score_kind(self.score_kind, self.model.has_elbo, self.config.variant)
        check_score_of(self.score_kind, self.encoding.layout)
        if self.score_kind == WEIGHTED and self.weighted is None:
            raise ValueError(f"this scorer was not fitted for score {WEIGHTED!r}")

    @property
    def names(self) -> tuple[str, ...]:
        return self.encoding.names

    @property
    def device(self) -> torch.device:
        return self.model.draws.device

    @property
    def is_calibrated(self) -> bool:
        return bool(self.calibration) and bool(self.thresholds)

    def raw_scores(self, data: Data) -> RawScores:
        """Scores without p-values; works before calibration.

        Raises:
            ValueError: the data does not fit the encoding, see `Encoding.encode`.
        """
        return RawScores(*self._in_pieces(data, self._raw_scores))

    def _raw_scores(self, data: Data, every: bool = True) -> RawScores:
        """`every`: those that the primary score is not made of too."""
        parts = self._parts(data, every)
        weights = self._weights(parts)
        return RawScores(
            anomaly_score=self._primary(parts, weights),
            reconstruction_error=parts.error.total,
            elbo=parts.elbo,
            elbo_score=parts.elbo_score.total if self.model.has_elbo else parts.elbo,
            kl=parts.kl,
            latent_distance=parts.latent_distance.total,
            row_distance=parts.row_distance.total,
            latent=_latent(parts, weights),
        )

    def score(self, data: Data, alpha: float | None = None) -> dict[str, np.ndarray]:
        """Everything a scored row carries.

        Args:
            data: (N,) per column.
            alpha: flag rows whose p-value is at most this, in place of the fitted threshold: the
                marginal conformal promise, whatever the threshold's method. Below 1 / (n + 1), n
                calibration rows, that is none.

        Returns:
            (N,) arrays: anomaly_score, reconstruction_error, elbo, latent, p_value,
            p_value_reconstruction_error, p_value_elbo, is_anomaly, in this order.

        Raises:
            NotCalibratedError: no calibration yet.
            ValueError: alpha is outside (0, 1) or the data does not fit.
        """
        if not self.is_calibrated:
            raise NotCalibratedError("this scorer is not calibrated: calibrate it before scoring")
        if alpha is not None and not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
        cut = (
            self.thresholds["anomaly_score"].value
            if alpha is None
            else conformal_cut(self.calibration["anomaly_score"], alpha)
        )
        return Scored(*self._in_pieces(data, lambda piece: self._scored(piece, cut)))._asdict()

    def _scored(self, data: Data, cut: float) -> Scored:
        raw, tables = self._raw_scores(data, every=False), self.calibration
        no_elbo = np.full(len(raw.elbo), np.nan)
        return Scored(
            anomaly_score=raw.anomaly_score,
            reconstruction_error=raw.reconstruction_error,
            elbo=raw.elbo,
            latent=raw.latent,
            p_value=p_values(tables["anomaly_score"], raw.anomaly_score),
            p_value_reconstruction_error=p_values(
                tables["reconstruction_error"], raw.reconstruction_error
            ),
            p_value_elbo=p_values(tables["elbo"], raw.elbo_score) if "elbo" in tables else no_elbo,
            is_anomaly=raw.anomaly_score > cut,
        )

    def explain(self, data: Data) -> Explanation:
        """How much each column adds to the anomaly score: (N, D) contributions, (N,) of the latent.

        Raises:
            ValueError: the data does not fit the encoding, see `Encoding.encode`.
        """
        contributions, latent, expected = self._in_pieces(data, self._explained)
        return Explanation(contributions, latent, float(expected[0]), self.names)

    def _explained(self, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = self._parts(data, every=False, explained=self.score_kind in OF_ROWS)
        weights = self._weights(parts)
        contributions = sum(
            w[:, None] * s.contributions for w, s in zip(weights, parts.scores, strict=True)
        )
        expected = np.array([self._expected(parts)])
        return contributions[:, self.encoding.order], _latent(parts, weights), expected

    def explain_pixels(self, data: Data) -> np.ndarray:
        """(N, H, W) how much each pixel adds to the anomaly score; sums to `explain`'s column.

        Raises:
            ValueError: the rows are no pictures.
        """
        maps, image = self.heat(data), self.encoding.image
        assert image is not None  # or there would be no heat
        parts = self._parts(data)
        weights = self._weights(parts)
        place = self.encoding.grouped.index(image)
        shares = [w * s.contributions[:, place] for w, s in zip(weights, parts.scores, strict=True)]
        return by_pixel(np.sum(shares, axis=0), weights, maps, self.statistics, image.pixels)

    def likelihood_regret(self, data: Data, steps: int = STEPS) -> np.ndarray:
        """(N,) nats ≥ 0, higher is more anomalous: how much better than the encoder's a row's own
        best posterior would be. Some hundred times the work of a score; see `regret`.

        Raises:
            ValueError: the posterior is no diagonal Gaussian, or the data does not fit.
        """
        x = torch.from_numpy(self.encoding.encode(data)[0])
        return likelihood_regret(self.model, x, steps).numpy()

    def heat(self, data: Data) -> Heat:
        """Error and surprise of each pixel of pictures; see `heat.heat`."""
        return heat(self.model, torch.from_numpy(self.encoding.encode(data)[0]))

    def reconstruct(self, data: Data) -> dict[str, np.ndarray]:
        """What the model expects in each cell, in raw units; the likeliest category."""
        return operations.reconstruct(self.encoding, self.model, data)

    def expected_probability(self, data: Data) -> dict[str, np.ndarray]:
        """(N,) model's probability of the observed value, per binary or categorical column."""
        return operations.expectation(self.encoding, self.model, data).probability

    def expectation_given_others(
        self, data: Data, hidden: Mapping[str, np.ndarray]
    ) -> operations.Expectation:
        """What the members behind the score expect in some cells of rows, given the others.

        Of the ELBO, which every default score has a part of, or of the reconstruction error where
        that is the score; see `operations.expectation_given_others`.
        """
        of_error = self.score_kind == "reconstruction_error"
        members = None if of_error else self.model.roles.generative
        return operations.expectation_given_others(self.encoding, self.model, data, hidden, members)

    def generate(self, n: int, seed: int = 0, **options: Any) -> dict[str, np.ndarray]:
        """n rows drawn from the model; options and errors of `operations.generate`."""
        return operations.generate(
            self.encoding, self.model, self.references.codes, n, seed=seed, **options
        )

    def embed(self, data: Data) -> np.ndarray:
        """(N, L) posterior means of the first member."""
        return operations.embed(self.encoding, self.model, data)

    def decode(
        self, codes: np.ndarray, condition: Mapping[str, object] | None = None
    ) -> dict[str, np.ndarray]:
        """What the first member expects of rows with codes (N, L): the way back from `embed`.

        `condition`: category by condition, for conditional models; not known where left out.
        """
        given = operations.conditions(self.encoding, condition, len(codes))
        return operations.decode(self.encoding, self.model, codes, given)

    def interpolate(self, start: Data, end: Data, **options: Any) -> dict[str, np.ndarray]:
        """Rows on the way from one to another; see `operations.interpolate`."""
        return operations.interpolate(self.encoding, self.model, start, end, **options)

    def traverse(self, base: Data | None = None, **options: Any) -> operations.Traversal:
        """One latent after another moved, by KL; see `operations.traverse`."""
        order = operations.latent_order(self.diagnostics, self.model, self.references.codes)
        options.setdefault("order", order)
        return operations.traverse(
            self.encoding, self.model, self.references.codes, base, **options
        )

    def denoise(self, data: Data) -> dict[str, np.ndarray]:
        """Noisy rows as the denoising members expect them; see `operations.denoise`."""
        return operations.denoise(self.encoding, self.model, data)

    def impute(self, data: Data, **options: Any) -> dict[str, np.ndarray]:
        """Rows with their missing cells filled in; see `operations.impute`."""
        return operations.impute(self.encoding, self.model, data, **options)

    def impute_draws(self, data: Data, draws: int, **options: Any) -> list[dict[str, np.ndarray]]:
        """Several times, the missing cells drawn; see `operations.impute_draws`."""
        return operations.impute_draws(self.encoding, self.model, data, draws, **options)

    def compress(self, data: Data, *, step: float = 0.5) -> operations.Compressed:
        """Rows as quantised codes, their bits and their loss; see `operations.compress`."""
        return operations.compress(
            self.encoding, self.model, self.references.codes, data, step=step
        )

    def save(self, folder: str | Path) -> None:
        """Write `scorer.json` and `scorer.safetensors` to a folder."""
        storage.write(self, folder)

    @staticmethod
    def load(folder: str | Path, device: str = "auto") -> Scorer:
        """Read a saved scorer, whatever device it was trained on.

        Raises:
            FileNotFoundError: no scorer there.
            ValueError: written by another version, or the device is not to be had.
        """
        return Scorer(**storage.read(folder, device))

    def fit_scales(self, validation: Data) -> None:
        """Take the units that joins standardise with from validation rows."""
        elbo_score, error, *distances = (s.total for s in self._parts(validation).joined)
        elbo = robust_scale(elbo_score) if self.model.has_elbo else 1.0
        of_codes, of_rows = map(robust_scale, distances)
        self.scales = (elbo, robust_scale(np.sqrt(error)), of_codes, of_rows)

    def _in_pieces(
        self, data: Data, compute: Callable[[Data], Sequence[np.ndarray]]
    ) -> list[np.ndarray]:
        """What `compute` gives for pieces of the rows, joined; a core works on one at a time.

        A piece stays in the cache from its raw cells to its scores.
        """
        rows = len(next(iter(data.values()), ()))
        starts = range(0, max(rows, 1), ROWS_PER_TASK)
        pieces = [{n: v[i : i + ROWS_PER_TASK] for n, v in data.items()} for i in starts]
        try:
            done = over_cores(compute, pieces, self.device)
        except ValueError:
            self.encoding.encode(data)  # the error that counts the rows of all pieces
            raise
        return [np.concatenate(part) for part in zip(*done, strict=True)]

    def _parts(self, data: Data, every: bool = True, explained: bool = False) -> RowScores:
        ratio = self.score_kind == RATIO
        references: References | None = None
        if every or self.score_kind in OF_ROWS:
            references = self.references
        elif self.score_kind == "latent_distance":
            references = self.references._replace(rows=None)
        parts = RowScores.of(
            self.encoding, self.model, references, data, self.statistics, ratio, explained
        )
        if self.score_kind != WEIGHTED:
            return parts
        assert self.weighted is not None
        bound = weighted_score(self.encoding, self.model, data, self.weighted)
        return parts._replace(further=bound)

    def _weights(self, parts: RowScores) -> np.ndarray:
        """(A, N) row weights of the scores' excess in the primary score."""
        rows = len(parts.kl)
        if self.score_kind not in JOINS:
            weights = np.zeros((len(parts.scores), rows))
            weights[self._place] = 1.0
            return weights
        # √e − √ē = (e − ē) / (√e + √ē): the root's excess stays a sum over columns
        root = np.sqrt(parts.error.total) + np.sqrt(parts.error.expected)
        slopes = np.ones((len(JOINED), rows))
        slopes[1] = 1.0 / np.maximum(root, np.finfo(np.float64).tiny)
        slopes /= np.array(self.scales)[:, None]
        return JOINS[self.score_kind](slopes * np.stack([s.excess for s in parts.scores])) * slopes

    def _primary(self, parts: RowScores, weights: np.ndarray) -> np.ndarray:
        if self.score_kind not in JOINS:
            return self._single(parts).total
        return sum(w * s.excess for w, s in zip(weights, parts.scores, strict=True))

    def _expected(self, parts: RowScores) -> float:
        return 0.0 if self.score_kind in JOINS else self._single(parts).expected

    def _single(self, parts: RowScores) -> AdditiveScore:
        return parts.scores[self._place]

    @property
    def _place(self) -> int:
        """Of a single primary score among those of rows; what is never joined comes last."""
        kind = self.score_kind
        return JOINED.index(kind) if kind in JOINED else len(JOINED)


def _latent(parts: RowScores, weights: np.ndarray) -> np.ndarray:
    return sum(w * s.latent for w, s in zip(weights, parts.scores, strict=True))


def check_score_of(kind: str, layout: Layout) -> None:
    """Whether rows of a layout can have scores of this kind.

    Raises:
        ValueError: it is of pictures, and they are none, or of tables without conditions.
    """
    if kind == RATIO and not layout.image:
        raise ValueError(f"score {RATIO!r} is of pictures, and no column is an image")
    if kind == "row_distance" and not Rows.fit(layout):
        raise ValueError(f"score {kind!r} is of tables without conditions: use 'latent_distance'")


def check_score_kind(kind: str, has_elbo: bool, variant: str) -> None:
    """Whether models of a variant, with an ELBO or without, can give scores of this kind.

    Raises:
        ValueError: the kind is unknown, or needs an ELBO that there is none of.
    """
    if kind not in SCORE_KINDS:
        raise ValueError(f"unknown score {kind!r}; known: {', '.join(SCORE_KINDS)}")
    if (kind in ("elbo", RATIO, WEIGHTED) or kind in JOINS) and not has_elbo:
        raise ValueError(
            f"score {kind!r} needs an ELBO, and a model of variant {variant!r} has none: "
            "use 'reconstruction_error', 'latent_distance' or 'row_distance', or variant 'vae'"
        )
