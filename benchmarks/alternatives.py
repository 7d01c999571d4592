"""What the default could have been and is not: ideas that the ablation measures."""

from __future__ import annotations

import copy
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
PACE = 0.01  # of the slow average, a step
FILTERED = 0.1
OF_MODELS = ("elbo", "reconstruction_error", "latent_distance")  # not of the rows themselves


def nearest_alone(scorer: Scorer) -> Scorer:
    """The latent distance is that to the nearest code."""
    return _distance(scorer, [1.0, torch.inf])


def twenty_alone(scorer: Scorer) -> Scorer:
    """The latent distance is that to codes of twenty groups."""
    return _distance(scorer, [torch.inf, 1.0])


def _distance(scorer: Scorer, factors: list[float]) -> Scorer:
    from vae_core import Neighbours, References

    codes, rows = scorer.references
    typical = codes.typical * torch.tensor(factors, device=codes.typical.device)
    return replace(scorer, references=References(Neighbours(codes.points, typical), rows))


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


@contextmanager
def slowly_filtered(train: np.ndarray) -> Iterator[None]:
    """Of each batch the rows that a slow average of the model finds worst are not learned from.

    A step's own losses, as `training.trim` sorts by, waver; an average over some hundred steps has
    not yet learned what the last ones began to memorise.

    Reference: the filter of Nguyen et al. (2020), SELF: Learning to Filter Noisy Labels with
        Self-Ensembling, on losses of a VAE.
    """
    with patch.object(
        sys.modules["vae_core.train"], "share_losses", lambda model, goal, team: _Slow(model, goal)
    ):
        yield


class _Slow(torch.nn.Module):
    """The losses of rows that the average of the model's weights does not find worst."""

    def __init__(self, model: Any, goal: Any) -> None:
        super().__init__()
        self.model, self.goal, self.slow = model, goal, copy.deepcopy(model)

    def forward(
        self, corrupted: torch.Tensor, noise: torch.Tensor, x: torch.Tensor, warmth: float
    ) -> tuple[torch.Tensor, Any]:
        from vae_core import objectives

        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, PACE)
            parts = objectives.run(self.slow, x, noise).parts
            worst = self.goal.beta[:, None] * parts.kl.sum(-1) - parts.reconstruction_log_prob
            kept = max(1, round((1 - FILTERED) * x.shape[1]))
            rows = (
                worst.topk(kept, dim=1, largest=False).indices[..., None].expand(-1, -1, x.shape[2])
            )
        passed = objectives.run(
            self.model, corrupted.gather(1, rows), noise[:, :, :kept], target=x.gather(1, rows)
        )
        return objectives.loss(passed, self.goal, warmth), passed


def trimmed_twice(split: Split) -> Split:
    """Two times the worst 10 % of the training rows are left out and the rest is fitted anew.

    Reference: Shen, Sanghavi (2019), Learning with bad training data via iterative trimmed loss
        minimization, algorithm 1.
    """
    from pipeline import VAEDetector

    train = split.train
    for seed in range(2):
        normality = VAEDetector(random_state=seed).fit(train).score_samples(split.train)
        train = split.train[normality > np.quantile(normality, FILTERED)]
    return Split(train, split.test, split.labels)


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
    """(N,) the sum of the absolute standardised scores, of which `without_rows` is the plain sum.

    Args:
        scorer: of the scores.
        validation: rows whose scores are usual.
        scores: (N,) of the rows, by kind.
    """
    parts = [_standardised(scorer, validation, scores, kind) for kind in OF_MODELS]
    return np.sum(np.abs(parts), axis=0)


def without_rows(
    scorer: Scorer, validation: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(N,) `combined` less the distance to training rows. Arguments as in `two_sided`."""
    return np.sum([_standardised(scorer, validation, scores, k) for k in OF_MODELS], axis=0)


def larger_and_distance(
    scorer: Scorer, validation: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> np.ndarray:
    """(N,) the larger of ELBO score and reconstruction error, and the latent distance beside it.

    Arguments as in `two_sided`.
    """
    elbo, error, distance = (_standardised(scorer, validation, scores, k) for k in OF_MODELS)
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
