"""A latent without uncertainty: the code of a plain autoencoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Point(NamedTuple):
    """All mass of q(z|x) at mu (K, N, L); it has no prior and no KL."""

    mu: Tensor

    def of(self, members: slice) -> Point:
        """The codes of some of the members."""
        return Point(self.mu[members])

    def rsample(self, noise: Tensor) -> Tensor:
        """mu as (K, 1, N, L); the noise is not used."""
        return self.mu[:, None]

    def kl(self) -> Tensor:
        return torch.zeros_like(self.mu)
