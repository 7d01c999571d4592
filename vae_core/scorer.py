"""The Scorer: all that turns raw rows into scores, p-values and reasons, in one object.

It is what travels inside the registered model. Saved as a folder of JSON and safetensors.

Legend: N rows, D columns in the user's order, W encoded width, L latents, K members.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from .additive import AdditiveScore, ColumnStatistics, RowScores
from .calibration import NotCalibratedError, Threshold, conformal_cut, p_values
from .columns import Encoding
from .device import choose_device
from .joining import JOINS, SCORE_KINDS, SINGLE_SCORES, robust_scale
from .models import Model, ModelConfig, build_model
from .neighbours import Codes
from .scores import expected_rows, latent_means

SCHEMA_VERSION = 2
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
        latent_distance: to the nearest training codes.
        latent: the part of the primary score that belongs to no column, KL and latent distance,
            above its validation mean.
    """

    anomaly_score: np.ndarray
    reconstruction_error: np.ndarray
    elbo: np.ndarray
    elbo_score: np.ndarray
    kl: np.ndarray
    latent_distance: np.ndarray
    latent: np.ndarray


class Explanation(NamedTuple):
    """contributions.sum(1) + latent + expected == anomaly_score.

    Attributes:
        contributions: (N, D), positive = more anomalous than validation rows are on average.
        latent: (N,) what belongs to no column: the KL's part and the latent distance's.
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
        codes: of training rows, for the latent distance.
        config: the model's shape.
        statistics: validation means.
        score_kind: one of `SCORE_KINDS`.
        scales: for joins, the units of the ELBO score, of the root of the reconstruction error
            and of the latent distance.
        calibration: sorted calibration scores by the names in `CALIBRATED`.
        thresholds: by the same names.
        diagnostics: see `diagnose`.
        metadata: JSON the owner attaches (rows that calibrated it, code version, …).

    Raises:
        ValueError: the score kind is unknown, or needs an ELBO that the model does not have.
    """

    encoding: Encoding
    model: Model
    codes: Codes
    config: ModelConfig
    statistics: ColumnStatistics
    score_kind: str = "elbo"
    scales: tuple[float, float, float] = (1.0, 1.0, 1.0)
    calibration: dict[str, np.ndarray] = field(default_factory=dict)
    thresholds: dict[str, Threshold] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_score_kind(self.score_kind, self.model.has_elbo, self.config.variant)

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
        parts = self._parts(data)
        weights = self._weights(parts)
        return RawScores(
            anomaly_score=self._primary(parts, weights),
            reconstruction_error=parts.error.total,
            elbo=parts.elbo,
            elbo_score=parts.elbo_score.total if self.model.has_elbo else parts.elbo,
            kl=parts.kl,
            latent_distance=parts.distance.total,
            latent=_latent(parts, weights),
        )

    def score(self, data: Data, alpha: float | None = None) -> dict[str, np.ndarray]:
        """Everything a scored row carries.

        Args:
            data: (N,) per column.
            alpha: flag at this false-positive rate in place of the fitted threshold.

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
        raw = self.raw_scores(data)
        cut = (
            self.thresholds["anomaly_score"].value
            if alpha is None
            else conformal_cut(self.calibration["anomaly_score"], alpha)
        )
        tables = self.calibration
        no_elbo = np.full(len(raw.elbo), np.nan)
        return {
            "anomaly_score": raw.anomaly_score,
            "reconstruction_error": raw.reconstruction_error,
            "elbo": raw.elbo,
            "latent": raw.latent,
            "p_value": p_values(tables["anomaly_score"], raw.anomaly_score),
            "p_value_reconstruction_error": p_values(
                tables["reconstruction_error"], raw.reconstruction_error
            ),
            "p_value_elbo": p_values(tables["elbo"], raw.elbo_score)
            if "elbo" in tables
            else no_elbo,
            "is_anomaly": raw.anomaly_score > cut,
        }

    def explain(self, data: Data) -> Explanation:
        """How much each column adds to the anomaly score."""
        parts = self._parts(data)
        weights = self._weights(parts)
        contributions = sum(
            w[:, None] * s.contributions for w, s in zip(weights, parts.scores, strict=True)
        )
        return Explanation(
            contributions=contributions[:, self.encoding.order],
            latent=_latent(parts, weights),
            expected=self._expected(parts),
            names=self.names,
        )

    def reconstruct(self, data: Data) -> dict[str, np.ndarray]:
        """What the model expects in each cell, in raw units; the likeliest category."""
        expected = expected_rows(self.model, self._encode(data)).numpy()
        expected[:, self.encoding.layout.mask] = 1.0
        return self.encoding.decode(expected)

    def expected_probability(self, data: Data) -> dict[str, np.ndarray]:
        """(N,) model's probability of the observed value, per binary or categorical column."""
        x = self._encode(data)
        expected = expected_rows(self.model, x).numpy()
        layout, observed = self.encoding.layout, x.numpy()
        out: dict[str, np.ndarray] = {}
        for i, binary in enumerate(self.encoding.binary, start=layout.numeric):
            p = expected[:, i]
            out[binary.name] = np.where(observed[:, i] > 0.5, p, 1 - p)
        for one_hot, column in zip(layout.one_hots, self.encoding.categorical, strict=True):
            out[column.name] = (expected[:, one_hot] * observed[:, one_hot]).sum(1)
        return out

    @torch.no_grad()
    def generate(self, n: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Rows drawn from the model: z from the prior, x from p(x|z), members in turn.

        Raises:
            ValueError: the model has no prior to draw from.
        """
        if not self.model.has_elbo:
            raise ValueError(f"a {self.config.variant} has no prior: it cannot generate rows")
        members, latent = self.model.members, self.model.draws.shape[1]
        generative = self.model.roles.generative
        generator = torch.Generator(device=self.device).manual_seed(seed)
        each = -(-n // generative.stop)
        z = torch.randn(members, 1, each, latent, generator=generator, device=self.device)
        x = self.model.likelihood.sample(self.model.decode(z), generator)[generative]
        return self.encoding.decode(
            x.permute(2, 0, 1, 3).reshape(-1, x.shape[-1])[:n].cpu().numpy()
        )

    def embed(self, data: Data) -> np.ndarray:
        """(N, L) posterior means of the first member."""
        return latent_means(self.model, self._encode(data))[0].numpy()

    def save(self, folder: str | Path) -> None:
        """Write `scorer.json` and `scorer.safetensors`; the JSON last, so that it vouches."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v.cpu().contiguous() for k, v in self.model.state_dict().items()}
        for name, values in self.calibration.items():
            tensors[f"calibration.{name}"] = torch.from_numpy(values)
        for name, value in self.statistics._asdict().items():
            tensors[f"statistics.{name}"] = torch.as_tensor(value, dtype=torch.float64)
        tensors["codes.points"] = self.codes.points.cpu().contiguous()
        save_file(tensors, folder / "scorer.safetensors")
        document = {
            "schema_version": SCHEMA_VERSION,
            "columns": self.encoding.to_dict(),
            "model": asdict(self.config),
            "neighbours": self.codes.neighbours,
            "score_kind": self.score_kind,
            "scales": list(self.scales),
            "thresholds": {k: t.to_dict() for k, t in self.thresholds.items()},
            "diagnostics": self.diagnostics,
            "metadata": self.metadata,
        }
        part = folder / "scorer.json.part"
        part.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
        part.replace(folder / "scorer.json")

    @staticmethod
    def load(folder: str | Path, device: str = "auto") -> Scorer:
        """Read a saved scorer, whatever device it was trained on.

        Raises:
            FileNotFoundError: no scorer there.
            ValueError: written by another version, or the device is not to be had.
        """
        folder = Path(folder)
        document = json.loads((folder / "scorer.json").read_text(encoding="utf-8"))
        version = document["schema_version"]
        if version != SCHEMA_VERSION:
            remedy = "update the package" if version > SCHEMA_VERSION else "train it again"
            raise ValueError(
                f"{folder} was saved with scorer schema {version}; this code reads "
                f"{SCHEMA_VERSION}: {remedy}"
            )
        tensors = load_file(folder / "scorer.safetensors")
        encoding = Encoding.from_dict(document["columns"])
        fields = document["model"]
        config = ModelConfig(**{**fields, "hidden": tuple(fields["hidden"])})
        model = build_model(encoding.layout, config)
        model.load_state_dict(_with_prefix(tensors, "model."))
        statistics: dict[str, Any] = {
            k: v.numpy() if v.dim() else v.item()
            for k, v in _with_prefix(tensors, "statistics.").items()
        }
        place = choose_device(device)
        return Scorer(
            encoding=encoding,
            model=model.to(place).eval(),
            codes=Codes(tensors["codes.points"].to(place), document["neighbours"]),
            config=config,
            statistics=ColumnStatistics(**statistics),
            score_kind=document["score_kind"],
            scales=tuple(document["scales"]),
            calibration={k: v.numpy() for k, v in _with_prefix(tensors, "calibration.").items()},
            thresholds={k: Threshold.from_dict(t) for k, t in document["thresholds"].items()},
            diagnostics=document["diagnostics"],
            metadata=document["metadata"],
        )

    def fit_scales(self, validation: Data) -> None:
        """Take the units that joins standardise with from validation rows."""
        elbo_score, error, distance = (s.total for s in self._parts(validation).scores)
        elbo = robust_scale(elbo_score) if self.model.has_elbo else 1.0
        self.scales = (elbo, robust_scale(np.sqrt(error)), robust_scale(distance))

    def _encode(self, data: Data) -> torch.Tensor:
        return torch.from_numpy(self.encoding.encode(data)[0])

    def _parts(self, data: Data) -> RowScores:
        return RowScores.of(self.encoding, self.model, self.codes, data, self.statistics)

    def _weights(self, parts: RowScores) -> np.ndarray:
        """(A, N) row weights of the scores' excess in the primary score."""
        rows = len(parts.kl)
        if self.score_kind not in JOINS:
            weights = np.zeros((len(SINGLE_SCORES), rows))
            weights[SINGLE_SCORES.index(self.score_kind)] = 1.0
            return weights
        # √e − √ē = (e − ē) / (√e + √ē): the root's excess stays a sum over columns
        root = np.sqrt(parts.error.total) + np.sqrt(parts.error.expected)
        slopes = np.ones((len(SINGLE_SCORES), rows))
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
        return parts.scores[SINGLE_SCORES.index(self.score_kind)]


def _latent(parts: RowScores, weights: np.ndarray) -> np.ndarray:
    return sum(w * s.latent for w, s in zip(weights, parts.scores, strict=True))


def check_score_kind(kind: str, has_elbo: bool, variant: str) -> None:
    if kind not in SCORE_KINDS:
        raise ValueError(f"unknown score {kind!r}; known: {', '.join(SCORE_KINDS)}")
    if (kind == "elbo" or kind in JOINS) and not has_elbo:
        raise ValueError(
            f"score {kind!r} needs an ELBO, and a model of variant {variant!r} has none: "
            "use score 'reconstruction_error' or 'latent_distance', or variant 'vae'"
        )


def _with_prefix(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
