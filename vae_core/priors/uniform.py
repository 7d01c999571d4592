"""The uniform prior of categorical latents.

Legend: K members, S draws, N rows, L latents, C categories of each; codes are L · C wide.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..latents import CategoricalLatents, Posterior
from .base import Encode, LatentPrior, Prior


class Uniform(Prior):
    """p(z) = C^−L for every combination of categories."""

    def __init__(self, members: int, latents: int, categories: int) -> None:
        self.members, self.latents, self.categories = members, latents, categories

    def log_prob(self, z: Tensor) -> Tensor:
        return z.new_full((*z.shape[:-1], self.latents), -math.log(self.categories))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        shape = (self.members, 1, count, self.latents)
        drawn = torch.randint(self.categories, shape, generator=generator, device=generator.device)
        return one_hot(drawn, self.categories).float().flatten(-2)

    def kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        if isinstance(posterior, CategoricalLatents):
            return posterior.kl()
        return super().kl(posterior, z)


class UniformPrior(LatentPrior):
    """Nothing to learn."""

    def __init__(self, members: int, latents: int, categories: int) -> None:
        super().__init__()
        self.shape = (members, latents, categories)

    def distribution(self, encode: Encode) -> Uniform:
        return Uniform(*self.shape)
