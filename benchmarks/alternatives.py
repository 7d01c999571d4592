"""What the default could have been and is not: ideas that the ablation measures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
from scipy.stats import kurtosis
from sklearn.preprocessing import QuantileTransformer

from benchmarks.adbench import Split

if TYPE_CHECKING:
    from vae_core import Scorer

NORMAL = 3.0  # kurtosis of a Gaussian
MOST = 3.0  # a column's noise lies within this factor of everyone's
ALIKE = 0.99


def nearest_alone(scorer: Scorer) -> Scorer:
    """The latent distance is that to the nearest code."""
    return _distance(scorer, [1.0, torch.inf])


def twenty_alone(scorer: Scorer) -> Scorer:
    """The latent distance is that to codes of twenty groups."""
    return _distance(scorer, [torch.inf, 1.0])


def _distance(scorer: Scorer, factors: list[float]) -> Scorer:
    from vae_core import Codes

    codes = scorer.codes
    typical = codes.typical * torch.tensor(factors, device=codes.typical.device)
    return replace(scorer, codes=Codes(codes.points, typical))


def noise_by_kurtosis(power: float) -> Callable[[np.ndarray], AbstractContextManager[None]]:
    """Training noise per column, its kurtosis over a Gaussian's to a power times everyone's.

    Reference: the idea of Zan, Rabbany, Livernoche (2026), Kurtosis-Guided Denoising Score
    Matching for Tabular Anomaly Detection; their formula is another.
    """

    @contextmanager
    def during(train: np.ndarray) -> Iterator[None]:
        from vae_core.corruption import Corruption

        varying = train[:, np.ptp(train, axis=0) > 0]
        shape = kurtosis(np.arcsinh(varying), axis=0, fisher=False)
        factors = torch.tensor(np.clip((shape / NORMAL) ** power, 1 / MOST, MOST)).float()

        class ByKurtosis(Corruption):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                self.noise = self.noise * factors

        with patch.object(sys.modules["vae_core.train"], "Corruption", ByKurtosis):
            yield

    return during


@contextmanager
def bootstraps(train: np.ndarray) -> Iterator[None]:
    """Every member learns from a sample of its own: as many rows, drawn with replacement.

    Reference: Breiman (1996), Bagging Predictors.
    """
    from vae_core import batches

    samples: dict[int, torch.Tensor] = {}
    shuffled = batches.permutations

    def of_samples(members: int, rows: int, generator: torch.Generator) -> torch.Tensor:
        if members not in samples:
            samples[members] = torch.randint(rows, (members, rows), generator=generator)
        return samples[members].gather(1, shuffled(members, rows, generator))

    with patch.object(batches, "permutations", of_samples):
        yield


def quantiles(split: Split) -> Split:
    """Columns as normal quantiles of their training ranks."""
    transform = QuantileTransformer(
        n_quantiles=min(1000, len(split.train)), output_distribution="normal", random_state=0
    ).fit(split.train)
    return Split(transform.transform(split.train), transform.transform(split.test), split.labels)


def without_duplicates(split: Split) -> Split:
    """Columns whose correlation with an earlier one is above 0.99, left out."""
    varying = split.train.std(axis=0) > 0
    alike = np.zeros((split.train.shape[1],) * 2)
    alike[np.ix_(varying, varying)] = np.abs(np.corrcoef(split.train[:, varying].T))
    kept = ~(np.triu(alike, 1) > ALIKE).any(axis=0)
    return Split(split.train[:, kept], split.test[:, kept], split.labels)


def two_sided(
    scorer: Scorer, validation: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(N,) the sum of the absolute standardised scores, of which `combined` is the plain sum.

    Args:
        scorer: of the scores.
        validation: rows whose scores are usual.
        scores: (N,) of the rows, by kind.
    """
    from vae_core.joining import JOINED

    return np.sum([np.abs(_standardised(scorer, validation, scores, k)) for k in JOINED], axis=0)


def larger_and_distance(
    scorer: Scorer, validation: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(N,) the larger of ELBO score and reconstruction error, and the latent distance beside it.

    Arguments as in `two_sided`.
    """
    from vae_core.joining import JOINED

    elbo, error, distance = (_standardised(scorer, validation, scores, kind) for kind in JOINED)
    return np.maximum(elbo, error) + distance


def _standardised(
    scorer: Scorer,
    validation: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    kind: str,
) -> np.ndarray:
    """(N,) scores less their usual value, over the scale of usual ones."""
    from vae_core.joining import robust_scale

    usual = replace(scorer, score_kind=kind).raw_scores(validation).anomaly_score
    found = scores[kind]
    if kind == "reconstruction_error":
        usual, found = np.sqrt(usual), np.sqrt(found)
    return (found - np.median(usual)) / robust_scale(usual)
