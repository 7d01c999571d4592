"""What a prior p(z) must answer, and what a model keeps of it.

Legend: K members, S draws, N rows, L latents; G groups of latents, a term each: one per latent
where they are independent, else one in all; of a ladder whose top has one term, that one last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..latents import Posterior

Encode = Callable[[Tensor], Posterior]


class Prior(ABC):
    """p(z), or p(z|y) where rows have conditions."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats for z (K, S, N, L): (K, S, N, G)."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """z ~ p(z): (K, 1, count, L), on the generator's device."""

    def kl(self, posterior: Posterior, z: Tensor) -> Tensor:
        """KL(q(z|x) ‖ p(z)) in nats, (K, N, G): the mean over the draws z (K, S, N, L) of q
        unless the prior knows better."""
        difference = posterior.log_prob(z).sum(-1) - self.log_prob(z).sum(-1)
        return difference.mean(1).unsqueeze(-1)


class LatentPrior(nn.Module, ABC):
    """The parameters of a prior, a part of the model; `distribution` gives the prior itself."""

    @abstractmethod
    def distribution(self, encode: Encode) -> Prior:
        """p(z), given the model's encoder for priors that are made of encoded rows."""

    def start(self, rows: Tensor, generator: torch.Generator) -> None:
        """Take a first guess from training rows (N, W) before training; most do not."""

    def fit(self, encode: Encode, rows: Tensor, seed: int) -> None:
        """Adapt to training rows (N, W) once training is over; most do not."""
