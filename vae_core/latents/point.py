"""A latent without uncertainty: the code of a plain autoencoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Point(NamedTuple):
    """All mass of q(z|x) at mu (K, N, L): a mass, not a density, so its log-probability is 0."""

    mu: Tensor

    def of(self, members: slice) -> Point:
        """The codes of some of the members."""
        return Point(self.mu[members])

    def rsample(self, noise: Tensor) -> Tensor:
        """mu as (K, 1, N, L); the noise is not used."""
        return self.mu[:, None]

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.zeros_like(z)
