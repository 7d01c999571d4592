"""The standard normal prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..latents import DiagonalGaussian, Posterior
from .base import Encode, LatentPrior, Prior


class StandardNormal(Prior):
    """p(z) = N(0, I) for K members and L latents."""

    def __init__(self, members: int, latent: int) -> None:
        self.members, self.latent = members, latent

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + math.log(2 * math.pi))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        shape = (self.members, 1, count, self.latent)
        return torch.randn(shape, generator=generator, device=generator.device)

    def kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        if isinstance(posterior, DiagonalGaussian):
            return posterior.kl()
        return super().kl(posterior, z)


class NormalPrior(LatentPrior):
    """Nothing to learn."""

    def __init__(self, members: int, latent: int) -> None:
        super().__init__()
        self.members, self.latent = members, latent

    def distribution(self, encode: Encode) -> StandardNormal:
        return StandardNormal(self.members, self.latent)
