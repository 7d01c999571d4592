"""Distances between two samples of features, by torchmetrics; its extractors are not used.

Both depend on the features and, the Fréchet distance, on the number of rows: name the extractor,
and compare only figures from equally many rows.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Points = NDArray[np.floating]

__all__ = ["frechet_distance", "kernel_distance"]


class _AsTheyAre(torch.nn.Identity):
    """What torchmetrics takes for an extractor, for features that are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def frechet_distance(real: Points, other: Points) -> float:
    """Squared Fréchet distance of the Gaussians with the samples' means and covariances; ≥ 0.

    ‖m − m'‖² + tr(C + C' − 2 (C C')^½). Biased upwards by about F² / N.

    Args:
        real, other: (N, F) and (M, F), at least two rows each.

    Reference: Heusel et al. (2017), GANs trained by a two time-scale update rule, eq. 6.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_AsTheyAre(real.shape[1]))
    # torchmetrics sums squares before it takes the mean off: keep them small
    middle = real.mean(axis=0)
    metric.update(_tensor(real - middle), real=True)
    metric.update(_tensor(other - middle), real=False)
    return max(0.0, float(metric.compute()))


def kernel_distance(real: Points, other: Points) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (a·b / F + 1)³.

    0 in expectation for two samples of one law, so it may be slightly negative.

    Args:
        real, other: (N, F) and (M, F).

    Reference: Bińkowski et al. (2018), Demystifying MMD GANs, section 4.
    """
    from torchmetrics.image.kid import poly_mmd

    size = min(len(real), len(other))  # torchmetrics takes samples of equal size
    return float(poly_mmd(_tensor(real[:size]), _tensor(other[:size])))


def _tensor(points: Points) -> torch.Tensor:
    return torch.from_numpy(np.asarray(points, dtype=np.float64))
